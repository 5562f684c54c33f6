#include "tests/test_client.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <limits>

#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "tests/server_process.h"

namespace baton {

TestClient::TestClient(const Endpoint& server) { Connect(server, SOCK_STREAM); }

TestClient TestClient::Udp(const Endpoint& server) {
  TestClient client;
  client.Connect(server, SOCK_DGRAM);
  return client;
}

void TestClient::Connect(const Endpoint& server, int type) {
  fd_.reset(socket(server.family(), type | SOCK_CLOEXEC, 0));
  PCHECK(fd_) << "socket";
  const timeval patience = absl::ToTimeval(kPatience);
  for (int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    PCHECK(setsockopt(fd_.get(), SOL_SOCKET, option, &patience,
                      sizeof(patience)) == 0);
  }
  connected_ = connect(fd_.get(), server.sockaddr(), server.length()) == 0;
  if (!connected_) connect_errno_ = errno;
}

bool TestClient::Send(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent =
        send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN) ADD_FAILURE() << "nobody takes what is sent";
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

std::string TestClient::ReceiveUntil(size_t count) {
  std::string bytes;
  char buffer[65536];
  while (bytes.size() < count) {
    const ssize_t got = recv(fd_.get(), buffer,
                             std::min(sizeof(buffer), count - bytes.size()), 0);
    if (got > 0) {
      bytes.append(buffer, static_cast<size_t>(got));
      continue;
    }
    if (got < 0 && errno == EAGAIN) ADD_FAILURE() << "nothing came";
    break;
  }
  return bytes;
}

std::string TestClient::Receive(size_t count) { return ReceiveUntil(count); }

std::string TestClient::ReceiveAll() {
  return ReceiveUntil(std::numeric_limits<size_t>::max());
}

size_t TestClient::SendUntilStuck() {
  // More than the buffers on the way hold, and no time in which a peer that can
  // go on would not.
  const std::string chunk(1 << 20, 'z');
  const timeval a_while = absl::ToTimeval(absl::Milliseconds(300));
  PCHECK(setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &a_while,
                    sizeof(a_while)) == 0);
  size_t total = 0;
  while (true) {
    const ssize_t sent =
        send(fd_.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL);
    if (sent < 0) return total;
    total += static_cast<size_t>(sent);
  }
}

bool TestClient::Echoes(absl::string_view bytes) {
  return Send(bytes) && Receive(bytes.size()) == bytes;
}

}  // namespace baton
