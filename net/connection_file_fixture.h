#ifndef BATON_NET_CONNECTION_FILE_FIXTURE_H_
#define BATON_NET_CONNECTION_FILE_FIXTURE_H_

// Connections that move in the middle of a file: real sockets with a client
// that reads when the test says so, simulated time.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/connection_handover_fixture.h"
#include "net/connection_image.h"
#include "net/unique_fd.h"
#include "net/wire.h"

namespace baton {

// What a handler that sends files shares with the test.
struct Downloads {
  int file = -1;
  int64_t size = 0;
  std::string log;  // how they ended
};

// A line is a request for the file.
inline Task<> SendFiles(Connection conn, Downloads* downloads) {
  IoError error = IoError::kOk;
  if (std::optional<UnsentFile> rest = conn.TakeUnsentFile()) {
    error = co_await conn.WriteFile(rest->fd.get(), rest->offset, rest->size,
                                    {.movable = true});
  }
  while (error == IoError::kOk) {
    const ReadResult request =
        co_await conn.ReadUntil("\n", 100, {.idle = true});
    error = request.error();
    if (error != IoError::kOk) break;
    error = co_await conn.WriteMore("file: ");
    if (error != IoError::kOk) break;
    error = co_await conn.WriteFile(downloads->file, 0, downloads->size,
                                    {.movable = true});
  }
  absl::StrAppend(&downloads->log, IoErrorName(error), " ");
}

class ConnectionFileTest : public ConnectionHandoverTest {
 protected:
  using Handler = Task<> (*)(Connection, Downloads*);
  static constexpr size_t kFileBytes = 3'000'000;

  ConnectionFileTest() : content_(kFileBytes, ' ') {
    for (size_t i = 0; i < content_.size(); ++i)
      content_[i] = static_cast<char>('a' + i % 25 + i / 25 % 2);
    PCHECK(write(file_.get(), content_.data(), content_.size()) ==
           static_cast<ssize_t>(content_.size()));
    downloads_.file = file_.get();
    downloads_.size = static_cast<int64_t>(content_.size());
  }

  Served ServeFiles(Handler handler = SendFiles,
                    const StreamSettings& settings = {}) {
    int ends[2];
    PCHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                      ends) == 0);
    return ServeFilesOn(UniqueFd(ends[0]), UniqueFd(ends[1]), handler,
                        settings);
  }
  Served ServeFilesOverTcp(Handler handler = SendFiles) {
    const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    PCHECK(bind(listener.get(), name, size) == 0);
    PCHECK(listen(listener.get(), 1) == 0);
    PCHECK(getsockname(listener.get(), name, &size) == 0);
    UniqueFd peer(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int small = 64 * 1024;
    PCHECK(setsockopt(peer.get(), SOL_SOCKET, SO_RCVBUF, &small,
                      sizeof(small)) == 0);
    PCHECK(connect(peer.get(), name, size) == 0);
    PCHECK(fcntl(peer.get(), F_SETFL, O_NONBLOCK) == 0);
    UniqueFd server(accept4(listener.get(), nullptr, nullptr,
                            SOCK_NONBLOCK | SOCK_CLOEXEC));
    PCHECK(setsockopt(server.get(), SOL_SOCKET, SO_SNDBUF, &small,
                      sizeof(small)) == 0);
    return ServeFilesOn(std::move(server), std::move(peer), handler, {});
  }

  // What comes to the peer, `size` bytes or until the end. The handler goes on
  // meanwhile.
  std::string Hear(const Served& served, size_t size) {
    std::string heard(size, ' ');
    size_t got = 0;
    while (got < size) {
      const ssize_t part =
          read(served.peer.get(), heard.data() + got, size - got);
      if (part == 0 || (part < 0 && errno != EAGAIN)) break;
      if (part > 0) got += static_cast<size_t>(part);
      loop_->Turn(/*wait=*/false);
    }
    heard.resize(got);
    return heard;
  }

  // What leaves the process, and comes to another one.
  struct Moved {
    ConnectionImage image;
    UniqueFd fd;
    UniqueFd file;
  };
  Moved TakeAway(const Served& served) {
    CHECK(ConnectionTable::CanDetach(*served.core));
    std::string bytes;
    AppendImage(bytes, table_.Export(*served.core));
    WireReader reader(bytes);
    Moved moved{TakeImage(reader), UniqueFd(),
                UniqueFd(dup(ConnectionTable::FileOf(*served.core)))};
    CHECK(!reader.failed());
    moved.fd = UniqueFd(dup(table_.Detach(*served.core)));
    table_.GiveAway(*served.core);
    Settle();
    return moved;
  }
  void BringBack(Served& served, Moved moved, Handler handler = SendFiles,
                 const StreamSettings& settings = {}) {
    served.core = table_
                      .Import(std::move(moved.fd), table_.AddSettings(settings),
                              moved.image, std::move(moved.file))
                      .value();
    scope_.SpawnBare(handler(Connection(served.core), &downloads_));
    Settle();
  }
  void Move(Served& served) { BringBack(served, TakeAway(served)); }

  const UniqueFd file_{memfd_create("download", MFD_CLOEXEC)};
  std::string content_;
  Downloads downloads_;

 private:
  Served ServeFilesOn(UniqueFd socket, UniqueFd peer, Handler handler,
                      const StreamSettings& settings) {
    int error = 0;
    Served served{
        table_.Add(std::move(socket), table_.AddSettings(settings), &error),
        std::move(peer)};
    PCHECK(served.core != nullptr);
    scope_.SpawnBare(handler(Connection(served.core), &downloads_));
    Settle();
    return served;
  }
};

}  // namespace baton

#endif  // BATON_NET_CONNECTION_FILE_FIXTURE_H_
