#ifndef BATON_WORKER_WORKER_FIXTURE_H_
#define BATON_WORKER_WORKER_FIXTURE_H_

// A worker in a process of its own, with the test as its master.

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/endpoint.h"
#include "net/fd_channel.h"
#include "net/listen_socket.h"
#include "net/listen_url.h"
#include "net/task.h"
#include "net/unique_fd.h"
#include "worker/channel_messages.h"
#include "worker/scoreboard.h"
#include "worker/services.h"
#include "worker/settings.h"
#include "worker/worker.h"

namespace baton {

inline constexpr int kPatience_ms = 20'000;

inline bool IsReadable(int fd, int timeout_ms = kPatience_ms) {
  pollfd poll_fd = {fd, POLLIN, 0};
  return poll(&poll_fd, 1, timeout_ms) == 1;
}

inline UniqueFd Listen(const ListenUrl& url) {
  return OpenListener(url, {}).value();
}

inline Task<> Echo(Connection conn) {
  while (auto chunk = co_await conn.ReadSome({.idle = true})) {
    if (co_await conn.Write(*chunk) != IoError::kOk) break;
  }
}

class WorkerTest : public testing::Test {
 protected:
  ~WorkerTest() override {
    if (pid_ < 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  // The worker finds `waiting` in its channel.
  void Start(absl::string_view scheme, WorkerSettings settings = {},
             const std::vector<ChannelMessage>& waiting = {}) {
    url_ = ParseListenUrl(absl::StrCat(scheme, "://127.0.0.1:0")).value();
    listener_ = Listen(url_);
    address_ = Endpoint::LocalOf(listener_.get()).value();
    auto [here, there] = FdChannel::CreatePair().value();
    for (const ChannelMessage& message : waiting) {
      CHECK(here.Send(EncodeMessage(message)).code ==
            FdChannel::SendCode::kSent);
    }
    const UniqueFd file = CreateScoreboardFile().value();
    view_.emplace(ScoreboardView::Open(file.get()).value());
    pid_ = fork();
    PCHECK(pid_ >= 0);
    if (pid_ == 0) {
      PCHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
      here = FdChannel();
      WorkerStart start{.settings = settings,
                        .listeners = {},
                        .access_logs = {},
                        .channel = std::move(there),
                        .scoreboard = Scoreboard::Open(file.get()).value(),
                        .services = &services_,
                        .reopen_log = nullptr};
      start.listeners.push_back({url_, UniqueFd(dup(listener_.get()))});
      _exit(RunWorker(std::move(start)));
    }
    channel_ = std::move(here);
  }
  void Serve() {
    ASSERT_TRUE(Receive<ReadyMessage>());
    Send(ServeMessage{});
    ASSERT_TRUE(Receive<ServingMessage>());
  }

  void Send(const ChannelMessage& message, absl::Span<const int> fds = {}) {
    CHECK(channel_.Send(EncodeMessage(message), fds).code ==
          FdChannel::SendCode::kSent);
  }
  // Whether the next message is a T.
  template <typename T>
  bool Receive() {
    if (!IsReadable(channel_.fd())) return false;
    const FdChannel::Received received = channel_.Receive();
    if (received.code != FdChannel::ReceiveCode::kMessage) return false;
    last_ = DecodeMessage(received.bytes).value().message;
    return std::holds_alternative<T>(last_);
  }
  // The exit code, once the worker has closed its end of the channel.
  int Exit() {
    if (!IsReadable(channel_.fd())) return -1;
    int status = 0;
    PCHECK(waitpid(std::exchange(pid_, -1), &status, 0) > 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  UniqueFd Connect() const { return ConnectTo(address_); }
  static UniqueFd ConnectTo(const Endpoint& address) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    PCHECK(connect(fd.get(), address.sockaddr(), address.length()) == 0);
    return fd;
  }
  static bool Echoes(const UniqueFd& client) {
    char byte = 'e';
    return send(client.get(), &byte, 1, MSG_NOSIGNAL) == 1 &&
           IsReadable(client.get()) && recv(client.get(), &byte, 1, 0) == 1;
  }
  static bool IsClosed(const UniqueFd& client) {
    char byte;
    return IsReadable(client.get()) && recv(client.get(), &byte, 1, 0) <= 0;
  }

  Services services_;
  ListenUrl url_;
  UniqueFd listener_;
  Endpoint address_;
  FdChannel channel_;
  ChannelMessage last_;
  std::optional<ScoreboardView> view_;
  pid_t pid_ = -1;
};

}  // namespace baton

#endif  // BATON_WORKER_WORKER_FIXTURE_H_
