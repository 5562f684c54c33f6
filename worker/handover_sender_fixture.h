#ifndef BATON_WORKER_HANDOVER_SENDER_FIXTURE_H_
#define BATON_WORKER_HANDOVER_SENDER_FIXTURE_H_

// The worker that leaves, with the test as those that take its connections:
// real sockets, simulated time.

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
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
#include "net/fd_channel.h"
#include "net/listen_url.h"
#include "net/scope.h"
#include "net/unique_fd.h"
#include "worker/handover_messages.h"
#include "worker/handover_sender.h"
#include "worker/services.h"

namespace baton {
inline constexpr HandoverResult kTaken = HandoverResult::kTaken;
inline constexpr HandoverResult kLater = HandoverResult::kLater;
inline constexpr HandoverResult kRefused = HandoverResult::kRefused;

// A request is a line; between two lines it is idle.
inline Task<> EchoLines(Connection conn) {
  while (true) {
    const ReadResult begin = co_await conn.Peek(1, {.idle = true});
    if (!begin) break;
    const ReadResult line = co_await conn.ReadUntil("\n", 100);
    if (!line || co_await conn.Write(*line) != IoError::kOk) break;
  }
}

// What the sender has told.
struct SenderLog final : HandoverSender::Observer {
  void OnPassed() override { ++passed; }
  void OnChannelEnd(uint64_t round) override { ended.push_back(round); }

  int passed = 0;
  std::vector<uint64_t> ended;
};

// A batch as it came.
struct Batch {
  HandoverHeader header;
  std::vector<HandoverConnection> connections;
  std::vector<UniqueFd> fds;

  size_t size() const { return connections.size(); }
};

// The sender, its connections and their clients.
class HandoverSenderTest : public ::testing::Test {
 protected:
  void TearDown() override {
    sender_.Stop();
    table_.Abort();
    while (scope_.live() > 0) loop_->Turn(/*wait=*/false);
  }

  void Serve(size_t count, StreamHandler handler = EchoLines,
             const StateCodec* codec = nullptr) {
    const uint16_t settings =
        table_.AddSettings({.url = &url_, .state_codec = codec});
    for (size_t i = 0; i < count; ++i) {
      int ends[2];
      PCHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                        ends) == 0);
      clients_.emplace_back(ends[1]);
      int error = 0;
      internal::ConnectionCore* core =
          table_.Add(UniqueFd(ends[0]), settings, &error);
      PCHECK(core != nullptr);
      scope_.SpawnBare(handler(Connection(core)));
    }
    Settle();
  }
  // Runs what can be run without more input and without time.
  void Settle() {
    for (int i = 0; i < 3; ++i) {
      do {
        loop_->Turn(/*wait=*/false);
      } while (loop_->HasReady());
    }
  }
  void AdvanceToRetry(absl::Duration pause = HandoverSender::kRetry) {
    clock_.Advance(pause + absl::Milliseconds(10));
    Settle();
  }
  // Adds a channel of that round; the other end of it.
  FdChannel AddChannel(uint64_t round) {
    auto [ours, theirs] = FdChannel::CreatePair().value();
    sender_.AddChannel(round, std::move(ours));
    Settle();
    return std::move(theirs);
  }

  static std::optional<Batch> Take(FdChannel& channel) {
    FdChannel::Received received = channel.Receive();
    if (received.code != FdChannel::ReceiveCode::kMessage) return std::nullopt;
    Batch batch;
    absl::string_view rest = received.bytes;
    batch.header = TakeHandoverHeader(rest).value();
    batch.fds = std::move(received.fds);
    std::string file;
    if (batch.header.type == HandoverHeader::Type::kBatchInFile) {
      file.resize(1'000'000);
      const ssize_t size =
          pread(batch.fds.back().get(), file.data(), file.size(), 0);
      PCHECK(size >= 0);
      rest = absl::string_view(file).substr(0, static_cast<size_t>(size));
      batch.fds.pop_back();
    }
    batch.connections = DecodeBatch(batch.header, rest).value();
    CHECK_EQ(DescriptorsOf(batch.connections), batch.fds.size());
    return batch;
  }
  static bool HasNothing(FdChannel& channel) {
    return channel.Receive().code == FdChannel::ReceiveCode::kAgain;
  }
  static bool HasEnded(FdChannel& channel) {
    return channel.Receive().code == FdChannel::ReceiveCode::kEof;
  }
  void Send(FdChannel& channel, absl::string_view message) {
    CHECK(channel.Send(message).code == FdChannel::SendCode::kSent);
    Settle();
  }
  void Answer(FdChannel& channel, const Batch& batch,
              const std::vector<HandoverResult>& results) {
    Send(channel, EncodeAnswer(batch.header.batch, results));
  }
  void AnswerAll(FdChannel& channel, const Batch& batch,
                 HandoverResult result) {
    Answer(channel, batch, std::vector(batch.size(), result));
  }

  // By the worker that leaves.
  bool IsServed(const UniqueFd& client) {
    if (send(client.get(), "x\n", 2, MSG_NOSIGNAL) != 2) return false;
    Settle();
    char line[2];
    return recv(client.get(), line, 2, 0) == 2;
  }
  size_t Served() {
    return static_cast<size_t>(
        std::count_if(clients_.begin(), clients_.end(),
                      [this](const UniqueFd& each) { return IsServed(each); }));
  }
  uint64_t handed_over() { return table_.counters().handed_over.value(); }

  const ListenUrl url_ = ParseListenUrl("echo://127.0.0.1:0").value();
  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  ConnectionTable table_{*loop_, {}};
  SenderLog log_;
  HandoverSender sender_{table_, log_};
  Scope scope_;
  std::vector<UniqueFd> clients_;
};

}  // namespace baton

#endif  // BATON_WORKER_HANDOVER_SENDER_FIXTURE_H_
