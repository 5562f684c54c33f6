#ifndef BATON_NET_CONNECTION_HANDOVER_FIXTURE_H_
#define BATON_NET_CONNECTION_HANDOVER_FIXTURE_H_

// Connections on their way to another process, seen from the one that they
// leave: real sockets, simulated time.

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/connection.h"
#include "net/event_loop.h"
#include "net/scope.h"
#include "net/unique_fd.h"

namespace baton {

// Remembers which connections were offered.
struct Offers final : SafePointObserver {
  void OnSafePoint(internal::ConnectionCore& core) override {
    cores.push_back(&core);
  }

  std::vector<internal::ConnectionCore*> cores;
};

// What a handler shares with the test.
struct Shared {
  Connection* conn = nullptr;  // while the handler lives
  std::string log;             // how its reads ended
  std::optional<IoError> written;
  Scope* writers = nullptr;
};

inline Task<> Echo(Connection conn, Shared* shared) {
  while (true) {
    const ReadResult chunk = co_await conn.ReadSome({.idle = true});
    if (!chunk) {
      shared->log += std::string(IoErrorName(chunk.error()));
      break;
    }
    if (co_await conn.Write(*chunk) != IoError::kOk) break;
  }
}

inline Task<> IdleOnce(Connection* conn, Shared* shared) {
  const ReadResult read = co_await conn->ReadSome({.idle = true});
  shared->log += std::string(read ? *read : IoErrorName(read.error()));
}

// One task waits for the client, others may write.
inline Task<> Duplex(Connection conn, Shared* shared) {
  Scope writers;
  shared->conn = &conn;
  shared->writers = &writers;
  while (shared->log.empty()) co_await IdleOnce(&conn, shared);
  shared->conn = nullptr;
  co_await writers.Join();
  shared->writers = nullptr;
}

inline Task<> Push(Connection* conn, std::string text,
                   std::optional<IoError>* end) {
  *end = co_await conn->Write(text);
}

// A table whose connections leave it, and their peers.
class ConnectionHandoverTest : public ::testing::Test {
 protected:
  struct Served {
    internal::ConnectionCore* core;
    UniqueFd peer;
  };

  void TearDown() override {
    table_.Abort();
    while (scope_.live() > 0) loop_->Turn(/*wait=*/false);
  }

  Served Serve(Task<> (*handler)(Connection, Shared*) = Echo,
               const StreamSettings& settings = {}) {
    int ends[2];
    PCHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                      ends) == 0);
    Served served{nullptr, UniqueFd(ends[1])};
    int error = 0;
    served.core =
        table_.Add(UniqueFd(ends[0]), table_.AddSettings(settings), &error);
    PCHECK(served.core != nullptr);
    scope_.SpawnBare(handler(Connection(served.core), &shared_));
    Settle();
    return served;
  }
  // Runs what can be run without more input, and a little longer than a tick.
  void Settle() {
    for (int i = 0; i < 3; ++i) {
      do {
        loop_->Turn(/*wait=*/false);
      } while (loop_->HasReady());
      clock_.Advance(absl::Milliseconds(5));
    }
  }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    Settle();
  }
  static void Say(const Served& served, absl::string_view bytes) {
    ASSERT_EQ(write(served.peer.get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  // What has come to the peer; "end" at the end of the stream.
  static std::string Heard(const Served& served) {
    char bytes[65536];
    const ssize_t size = read(served.peer.get(), bytes, sizeof(bytes));
    if (size == 0) return "end";
    return size < 0 ? "" : std::string(bytes, static_cast<size_t>(size));
  }

  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  ConnectionTable table_{*loop_, {}};
  Shared shared_;
  Offers offers_;
  Scope scope_;
};

}  // namespace baton

#endif  // BATON_NET_CONNECTION_HANDOVER_FIXTURE_H_
