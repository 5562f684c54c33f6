// Receivers that are gone, mad or in another turn, images that are too long,
// and a kernel that says no.

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/fd_channel.h"
#include "worker/handover_messages.h"
#include "worker/handover_sender.h"
#include "worker/handover_sender_fixture.h"

namespace baton {
namespace {

// --- channels that end

TEST_F(HandoverSenderTest, AReceiverThatIsGoneLeavesEverythingHere) {
  Serve(300);
  sender_.BeginRound(1);
  {
    FdChannel channel = AddChannel(1);
    ASSERT_TRUE(Take(channel).has_value());
    EXPECT_EQ(Served(), 300u - 253u);
  }
  Settle();
  EXPECT_EQ(log_.ended, std::vector<uint64_t>{1});
  EXPECT_EQ(log_.passed, 0);
  // What they said meanwhile is answered too.
  for (size_t i = 0; i < 253; ++i) {
    char line[2];
    EXPECT_EQ(recv(clients_[i].get(), line, 2, 0), 2) << i;
  }
  EXPECT_EQ(Served(), 300u);
  EXPECT_EQ(handed_over(), 0u);
  EXPECT_EQ(table_.counters().open.value(), 300);
  // Whoever comes next in this round gets them.
  FdChannel channel = AddChannel(1);
  EXPECT_EQ(Take(channel)->size(), 253u);
}

// It is there and will never answer: what it was sent would be lost.
TEST_F(HandoverSenderTest,
       AReceiverThatHearsNothingAnyMoreIsLikeOneThatIsGone) {
  Serve(2);
  sender_.BeginRound(1);
  auto [ours, theirs] = FdChannel::CreatePair().value();
  PCHECK(shutdown(theirs.fd(), SHUT_RD) == 0);
  sender_.AddChannel(1, std::move(ours));
  Settle();
  EXPECT_EQ(log_.ended, std::vector<uint64_t>{1});
  EXPECT_EQ(Served(), 2u);
  FdChannel channel = AddChannel(1);
  EXPECT_EQ(Take(channel)->size(), 2u);
}

// What it has answered before it went counts.
TEST_F(HandoverSenderTest, AnAnswerBeforeTheEndIsHeard) {
  Serve(2);
  sender_.BeginRound(1);
  {
    FdChannel channel = AddChannel(1);
    const std::optional<Batch> batch = Take(channel);
    const std::vector<HandoverResult> results = {kTaken, kRefused};
    CHECK(channel.Send(EncodeAnswer(batch->header.batch, results)).code ==
          FdChannel::SendCode::kSent);
  }
  Settle();
  EXPECT_EQ(handed_over(), 1u);
  EXPECT_TRUE(IsServed(clients_[1]));
  EXPECT_EQ(log_.ended, std::vector<uint64_t>{1});
}

class NonsenseTest : public HandoverSenderTest {
 protected:
  // Whether the channel is closed for it and everything is back.
  void ExpectEnd(std::string (*message)(const Batch&)) {
    Serve(2);
    sender_.BeginRound(1);
    FdChannel channel = AddChannel(1);
    const std::optional<Batch> batch = Take(channel);
    Send(channel, message(*batch));
    EXPECT_TRUE(HasEnded(channel));
    EXPECT_EQ(log_.ended, std::vector<uint64_t>{1});
    EXPECT_EQ(Served(), 2u);
    EXPECT_EQ(handed_over(), 0u);
  }
};

TEST_F(NonsenseTest, Garbage) {
  ExpectEnd([](const Batch&) -> std::string { return "garbage"; });
}

TEST_F(NonsenseTest, AnotherBatchsAnswer) {
  ExpectEnd([](const Batch& batch) {
    return EncodeAnswer(batch.header.batch + 1, std::vector(2, kTaken));
  });
}

TEST_F(NonsenseTest, TooManyResults) {
  ExpectEnd([](const Batch& batch) {
    return EncodeAnswer(batch.header.batch, std::vector(3, kTaken));
  });
}

TEST_F(NonsenseTest, FewerResultsThanItSays) {
  ExpectEnd([](const Batch& batch) {
    std::string answer =
        EncodeAnswer(batch.header.batch, std::vector(2, kTaken));
    answer.pop_back();
    return answer;
  });
}

TEST_F(NonsenseTest, ABatch) {
  ExpectEnd([](const Batch& batch) {
    std::string answer =
        EncodeAnswer(batch.header.batch, std::vector(2, kTaken));
    answer[0] = 1;
    return answer;
  });
}

TEST_F(HandoverSenderTest, AnAnswerToNothingEndsTheChannel) {
  Serve(1);
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  const std::optional<Batch> batch = Take(channel);
  AnswerAll(channel, *batch, kRefused);
  EXPECT_TRUE(log_.ended.empty());
  AnswerAll(channel, *batch, kTaken);
  EXPECT_TRUE(HasEnded(channel));
  EXPECT_EQ(Served(), 1u);
}

// The loop hears of an answer in the turn in which everything is cut.
TEST_F(HandoverSenderTest, AnAnswerInTheTurnOfACutDoesNoHarm) {
  Serve(3);
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  const std::optional<Batch> batch = Take(channel);
  ASSERT_EQ(batch->size(), 3u);
  const std::vector<HandoverResult> results = {kTaken, kRefused, kLater};
  CHECK(channel.Send(EncodeAnswer(batch->header.batch, results)).code ==
        FdChannel::SendCode::kSent);
  sender_.Stop();
  table_.Abort();
  Settle();
  EXPECT_EQ(scope_.live(), 0u);
  EXPECT_EQ(handed_over(), 1u);
}

// --- what does not go as it should

// Whose state is longer than a message.
struct LongState {
  static constexpr uint32_t kVersion = 7;
  std::string Encode() const { return std::string(100'000, 's'); }
  static absl::StatusOr<LongState> Decode(uint32_t /*version*/,
                                          absl::string_view /*bytes*/) {
    return LongState();
  }
};

Task<> Remember(Connection conn) {
  conn.state<LongState>();
  IoError error = IoError::kOk;
  while (error == IoError::kOk) {
    const ReadResult chunk = co_await conn.ReadSome({.idle = true});
    error = chunk.error();
  }
}

TEST_F(HandoverSenderTest, OneThatIsTooLongForAMessageComesAsAFile) {
  Serve(2, Remember, TypedStateCodec<LongState>::Get());
  Serve(2);
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  std::vector<size_t> states;
  while (const std::optional<Batch> batch = Take(channel)) {
    for (const HandoverConnection& each : batch->connections) {
      EXPECT_EQ(each.listener, "echo://127.0.0.1:0");
      states.push_back(each.image.state.value_or("").size());
    }
    EXPECT_EQ(batch->header.type == HandoverHeader::Type::kBatchInFile,
              states.back() > 0);
    if (states.back() > 0) {
      EXPECT_EQ(batch->size(), 1u);
    }
    AnswerAll(channel, *batch, kTaken);
  }
  EXPECT_EQ(states, (std::vector<size_t>{100'000, 100'000, 0, 0}));
  EXPECT_EQ(log_.passed, 1);
  EXPECT_EQ(handed_over(), 4u);
}

struct Nobody final : LoopClient {
  void OnEvents(uint32_t, uint32_t, uint32_t) override {}
  void OnTimer(TimerNode*) override {}
};

// epoll_ctl(2) says EEXIST here; it may say ENOMEM or ENOSPC.
TEST_F(HandoverSenderTest, WhatEpollDoesNotTakeBackIsTriedAgain) {
  Serve(2);
  internal::ConnectionCore* core = nullptr;
  table_.ForEach([&](internal::ConnectionCore& each) {
    if (core == nullptr) core = &each;
  });
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  const std::optional<Batch> batch = Take(channel);
  Nobody nobody;
  const uint8_t client = loop_->AddClient(&nobody);
  ASSERT_EQ(loop_->AddFd(core->fd, 0, client, 0, 0), 0);
  AnswerAll(channel, *batch, kRefused);
  EXPECT_EQ(Served(), 1u);
  EXPECT_EQ(log_.passed, 0) << "nobody knows what becomes of it";
  AdvanceToRetry();
  EXPECT_EQ(Served(), 1u);
  loop_->RemoveFd(core->fd);
  AdvanceToRetry();
  AnswerAll(channel, *Take(channel), kRefused);
  EXPECT_EQ(log_.passed, 1);
  EXPECT_TRUE(IsServed(clients_[0]) && IsServed(clients_[1]));
}

// No more descriptors may be under way than one process may have open, which
// the kernel says to those who have no rights: unix(7), ETOOMANYREFS.
class HandoverSenderWithoutRightsTest : public HandoverSenderTest {
 protected:
  HandoverSenderWithoutRightsTest() {
    PCHECK(getrlimit(RLIMIT_NOFILE, &limit_) == 0);
    // Root has rights, but not in a sandbox, where it may be the only user.
    [[maybe_unused]] const int only_user = seteuid(65'534);
  }
  ~HandoverSenderWithoutRightsTest() override {
    SetLimit(limit_.rlim_cur);
    PCHECK(seteuid(getuid()) == 0);
  }
  void SetLimit(rlim_t soft) {
    const rlimit limit = {soft, limit_.rlim_max};
    PCHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }

  static bool HasMessage(const FdChannel& channel) {
    pollfd poll_fd = {channel.fd(), POLLIN, 0};
    return poll(&poll_fd, 1, 0) == 1;
  }

  rlimit limit_{};
};

TEST_F(HandoverSenderWithoutRightsTest, WhatMayNotBeSentIsSentLater) {
  Serve(2 * FdChannel::kMaxFds);
  sender_.BeginRound(1);
  auto [our_first, first] = FdChannel::CreatePair().value();
  auto [our_second, second] = FdChannel::CreatePair().value();
  sender_.AddChannel(1, std::move(our_first));
  sender_.AddChannel(1, std::move(our_second));
  SetLimit(FdChannel::kMaxFds - 1);
  // What others of this user have under way counts too: at first there may be
  // no room at all.
  do {
    AdvanceToRetry();
  } while (!HasMessage(first) && !HasMessage(second));
  FdChannel& sent = HasMessage(first) ? first : second;
  FdChannel& unsent = HasMessage(first) ? second : first;
  EXPECT_FALSE(HasMessage(unsent)) << "no limit was met";
  EXPECT_EQ(Served(), FdChannel::kMaxFds) << "they are served meanwhile";
  SetLimit(limit_.rlim_cur);
  EXPECT_EQ(Take(sent)->size(), FdChannel::kMaxFds);
  EXPECT_TRUE(HasNothing(unsent));
  AdvanceToRetry();
  EXPECT_EQ(Take(unsent)->size(), FdChannel::kMaxFds);
  EXPECT_TRUE(log_.ended.empty());
}

}  // namespace
}  // namespace baton
