#include "tools/loadgen/fault_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace baton::loadgen {
namespace {

constexpr int kLateMs = 5;

void SendAll(int fd, const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n =
        ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n < 0) return;  // the peer has gone: the next read says so
    sent += n;
  }
}

void SendUrgent(int fd, char byte) {
  PCHECK(::send(fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL) == 1);
}

void ResetOnClose(int fd) {
  const linger abort = {.l_onoff = 1, .l_linger = 0};  // socket(7)
  CHECK_EQ(::setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)), 0);
}

std::string MakeTemporaryDirectory() {
  std::string name = "/tmp/fault_server.XXXXXX";
  PCHECK(::mkdtemp(name.data()) != nullptr);
  return name;
}

}  // namespace

FaultServer::FaultServer(FaultServerOptions options)
    : options_(std::move(options)), stop_(::eventfd(0, EFD_CLOEXEC)) {
  target_.scheme = options_.scheme;
  target_.transport = options_.transport;
  target_.host = "fault";
  target_.url = "fault server";
  Listen();
  thread_ = std::thread(&FaultServer::Run, this);
}

FaultServer::~FaultServer() {
  const uint64_t one = 1;
  PCHECK(::write(stop_.get(), &one, sizeof(one)) == sizeof(one));
  thread_.join();
  if (directory_.empty()) return;
  ::unlink(std::string(target_.endpoint.path()).c_str());
  ::rmdir(directory_.c_str());
}

void FaultServer::Listen() {
  const bool datagrams = options_.transport == LoadTarget::Transport::kUdp;
  std::string address = "127.0.0.1:0";
  if (options_.transport == LoadTarget::Transport::kUnix) {
    directory_ = MakeTemporaryDirectory();
    address = directory_ + "/socket";
  }
  const auto wanted = Endpoint::Parse(address);
  CHECK(wanted.ok()) << wanted.status();
  listener_.reset(
      ::socket(wanted->family(),
               (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
  PCHECK(::bind(listener_.get(), wanted->sockaddr(), wanted->length()) == 0);
  PCHECK(datagrams || ::listen(listener_.get(), 4096) == 0);
  const auto bound = Endpoint::LocalOf(listener_.get());
  CHECK(bound.ok()) << bound.status();
  target_.endpoint = *bound;
}

void FaultServer::Run() {
  while (true) {
    std::vector<pollfd> fds = {{stop_.get(), POLLIN, 0},
                               {listener_.get(), POLLIN, 0}};
    for (const Client& client : clients_) {
      fds.push_back({client.fd.get(), POLLIN | POLLPRI, 0});
    }
    PCHECK(::poll(fds.data(), fds.size(), -1) > 0);
    if (fds[0].revents != 0) return;
    // Backwards: the last one takes the place of one that is closed.
    for (size_t i = clients_.size(); i-- > 0;) {
      if (fds[i + 2].revents == 0) continue;
      if (Serve(clients_[i], fds[i + 2].revents)) continue;
      std::swap(clients_[i], clients_.back());
      clients_.pop_back();
    }
    if (fds[1].revents == 0) continue;
    if (options_.transport == LoadTarget::Transport::kUdp) {
      ServeDatagram();
    } else {
      Accept();
    }
  }
}

void FaultServer::Accept() {
  UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd) return;  // it has gone again
  clients_.push_back({.fd = std::move(fd), .number = accepted_++});
}

bool FaultServer::Serve(Client& client, short events) {
  if ((events & POLLPRI) != 0) AnswerUrgent(client);
  if ((events & ~POLLPRI) == 0) return true;
  char buffer[65536];
  const ssize_t got =
      ::recv(client.fd.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return true;
  if (got <= 0) return false;
  client.received.append(buffer, got);
  return Answer(client);
}

bool FaultServer::Answer(Client& client) {
  while (true) {
    size_t size = options_.message_bytes;
    if (size == 0) {
      const size_t end = client.received.find("\r\n\r\n");
      if (end == std::string::npos) return true;
      size = end + 4;
    }
    if (client.received.size() < size) return true;
    const Reply reply =
        options_.answer({.connection = client.number,
                         .sequence = client.messages++,
                         .total = total_++,
                         .bytes = client.received.substr(0, size)});
    client.received.erase(0, size);
    SendAll(client.fd.get(), reply.bytes);
    for (const char byte : std::exchange(client.urgent, {})) {
      pollfd stop = {stop_.get(), POLLIN, 0};
      (void)::poll(&stop, 1, kLateMs);
      SendUrgent(client.fd.get(), byte);
    }
    if (reply.then == Reply::Then::kReset) ResetOnClose(client.fd.get());
    if (reply.then != Reply::Then::kKeep) return false;
  }
}

void FaultServer::AnswerUrgent(Client& client) {
  char byte = 0;
  if (::recv(client.fd.get(), &byte, 1, MSG_OOB) != 1) return;
  switch (options_.urgent) {
    case FaultServerOptions::Urgent::kDrop:
      break;
    case FaultServerOptions::Urgent::kEchoLast:
      client.urgent = byte;
      break;
    case FaultServerOptions::Urgent::kChange:
      byte ^= 0x20;
      [[fallthrough]];
    case FaultServerOptions::Urgent::kEcho:
      SendUrgent(client.fd.get(), byte);
  }
}

void FaultServer::ServeDatagram() {
  char buffer[65536];
  sockaddr_storage peer;
  socklen_t length = sizeof(peer);
  auto* address = reinterpret_cast<sockaddr*>(&peer);
  const ssize_t got = ::recvfrom(listener_.get(), buffer, sizeof(buffer),
                                 MSG_DONTWAIT, address, &length);
  if (got < 0) return;
  const Reply reply = options_.answer({.connection = 0,
                                       .sequence = total_,
                                       .total = total_,
                                       .bytes = std::string(buffer, got)});
  ++total_;
  if (reply.bytes.empty()) return;
  ::sendto(listener_.get(), reply.bytes.data(), reply.bytes.size(), 0, address,
           length);
}

}  // namespace baton::loadgen
