#include "worker/handover_sender.h"

#include <unistd.h>

#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "net/fd_channel.h"
#include "net/unique_fd.h"
#include "worker/handover_messages.h"
#include "worker/handover_sender_fixture.h"

namespace baton {
namespace {

TEST_F(HandoverSenderTest, AllThatAreIdleGoInBatchesOneAfterTheOther) {
  Serve(600);
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  std::vector<size_t> sizes;
  std::vector<UniqueFd> fds;
  uint64_t last = 0;
  while (std::optional<Batch> batch = Take(channel)) {
    EXPECT_EQ(log_.passed, 0);
    EXPECT_GT(batch->header.batch, last);
    last = batch->header.batch;
    EXPECT_EQ(batch->connections.front().listener, "echo://127.0.0.1:0");
    Settle();
    EXPECT_TRUE(HasNothing(channel)) << "two batches are unanswered";
    sizes.push_back(batch->size());
    AnswerAll(channel, *batch, kTaken);
    std::move(batch->fds.begin(), batch->fds.end(), std::back_inserter(fds));
  }
  EXPECT_EQ(sizes, (std::vector<size_t>{253, 253, 94}));
  EXPECT_EQ(log_.passed, 1);
  EXPECT_EQ(handed_over(), 600u);
  EXPECT_EQ(scope_.live(), 0u);
  EXPECT_EQ(fds.size(), 600u);
  for (size_t i = 0; i < fds.size(); ++i) {
    ASSERT_EQ(write(fds[i].get(), "x", 1), 1);
    char byte;
    ASSERT_EQ(read(clients_[i].get(), &byte, 1), 1) << "in the order of places";
  }
}

TEST_F(HandoverSenderTest, TwoChannelsShareAlike) {
  Serve(100);
  sender_.BeginRound(1);
  auto [our_first, first] = FdChannel::CreatePair().value();
  auto [our_second, second] = FdChannel::CreatePair().value();
  sender_.AddChannel(1, std::move(our_first));
  sender_.AddChannel(1, std::move(our_second));
  Settle();
  const std::optional<Batch> one = Take(first), other = Take(second);
  ASSERT_TRUE(one.has_value() && other.has_value());
  EXPECT_EQ(one->size(), 50u);
  EXPECT_EQ(other->size(), 50u);
  EXPECT_NE(one->header.batch, other->header.batch);
  AnswerAll(first, *one, kTaken);
  EXPECT_EQ(log_.passed, 0) << "the other half is under way";
  AnswerAll(second, *other, kTaken);
  EXPECT_EQ(log_.passed, 1);
  EXPECT_EQ(handed_over(), 100u);
}

TEST_F(HandoverSenderTest, OneThatIsBusyGoesWhenItHasBeenAnswered) {
  Serve(2);
  ASSERT_EQ(write(clients_[1].get(), "wor", 3), 3);
  Settle();
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  std::optional<Batch> batch = Take(channel);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->size(), 1u);
  AnswerAll(channel, *batch, kTaken);
  EXPECT_EQ(log_.passed, 1) << "the busy one is not waited for";
  EXPECT_TRUE(HasNothing(channel));
  ASSERT_EQ(write(clients_[1].get(), "ld\n", 3), 3);
  Settle();
  char line[7] = {};
  EXPECT_EQ(read(clients_[1].get(), line, 6), 6);
  EXPECT_STREQ(line, "world\n");
  batch = Take(channel);
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->size(), 1u);
  EXPECT_EQ(batch->connections[0].image.bytes_in, 6u);
  AnswerAll(channel, *batch, kTaken);
  EXPECT_EQ(log_.passed, 1) << "told twice";
  EXPECT_EQ(handed_over(), 2u);
}

// It becomes busy between its offer and its turn.
TEST_F(HandoverSenderTest, OneThatIsBusyWhenItsTurnComesIsPassedOver) {
  Serve(1);
  sender_.BeginRound(1);
  ASSERT_EQ(write(clients_[0].get(), "wor", 3), 3);
  Settle();
  FdChannel channel = AddChannel(1);
  EXPECT_TRUE(HasNothing(channel));
  EXPECT_EQ(log_.passed, 1);
  ASSERT_EQ(write(clients_[0].get(), "ld\n", 3), 3);
  Settle();
  EXPECT_TRUE(Take(channel).has_value());
}

TEST_F(HandoverSenderTest, WithoutAChannelNothingMoves) {
  Serve(3);
  sender_.BeginRound(1);
  Settle();
  EXPECT_EQ(Served(), 3u);
  EXPECT_EQ(log_.passed, 0);
  FdChannel late = AddChannel(1);
  EXPECT_EQ(Take(late)->size(), 3u);
}

TEST_F(HandoverSenderTest, AChannelOfAnotherRoundIsClosed) {
  Serve(1);
  sender_.BeginRound(2);
  FdChannel older = AddChannel(1);
  EXPECT_TRUE(HasEnded(older));
  EXPECT_TRUE(log_.ended.empty());
  EXPECT_EQ(Served(), 1u);
}

// --- refusals

TEST_F(HandoverSenderTest, OneThatIsRefusedIsServedHereUntilANewRound) {
  Serve(3);
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  const std::optional<Batch> batch = Take(channel);
  ASSERT_EQ(batch->size(), 3u);
  EXPECT_EQ(Served(), 0u) << "on their way, nobody serves them";
  Answer(channel, *batch, {kTaken, kRefused, kTaken});
  EXPECT_EQ(log_.passed, 1);
  char line[2];
  EXPECT_EQ(recv(clients_[1].get(), line, 2, 0), 2) << "what came meanwhile";
  EXPECT_TRUE(IsServed(clients_[1]));
  AdvanceToRetry();
  EXPECT_TRUE(HasNothing(channel)) << "it has said no";
  EXPECT_EQ(handed_over(), 2u);

  sender_.BeginRound(2);
  FdChannel next = AddChannel(2);
  EXPECT_TRUE(HasEnded(channel));
  EXPECT_EQ(Take(next)->size(), 1u);
}

TEST_F(HandoverSenderTest, WhatThereIsNoRoomForIsAskedAgainInSmallerBatches) {
  Serve(8);
  sender_.BeginRound(1);
  FdChannel channel = AddChannel(1);
  std::optional<Batch> batch = Take(channel);
  ASSERT_EQ(batch->size(), 8u);
  Answer(channel, *batch,
         {kTaken, kTaken, kLater, kLater, kLater, kLater, kLater, kLater});
  EXPECT_TRUE(HasNothing(channel)) << "not before some time has passed";
  EXPECT_TRUE(IsServed(clients_[7]));
  EXPECT_EQ(log_.passed, 1) << "nobody waits for room";
  absl::Duration pause = HandoverSender::kRetry;
  for (const size_t expected : {4u, 2u, 1u, 1u}) {
    EXPECT_TRUE(HasNothing(channel)) << "each pause is longer";
    AdvanceToRetry(std::exchange(pause, 2 * pause));
    batch = Take(channel);
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(batch->size(), expected);
    AnswerAll(channel, *batch, kLater);
  }
  EXPECT_EQ(Served(), 6u);
  // And in larger ones when there is room again.
  AdvanceToRetry(pause);
  for (const size_t expected : {1u, 2u, 3u}) {
    batch = Take(channel);
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(batch->size(), expected);
    AnswerAll(channel, *batch, kTaken);
  }
  EXPECT_EQ(handed_over(), 8u);
  const TrafficCounters& counters = table_.counters();
  EXPECT_EQ(counters.handover_later.value(), 6u + 4 + 2 + 1 + 1);
  EXPECT_EQ(counters.handover_refused.value(), 0u);
}

// --- rounds, and the end

TEST_F(HandoverSenderTest, AnOlderRoundsBatchIsWaitedFor) {
  Serve(300);
  sender_.BeginRound(1);
  FdChannel older = AddChannel(1);
  const std::optional<Batch> first = Take(older);
  ASSERT_EQ(first->size(), 253u);
  sender_.BeginRound(2);
  FdChannel newer = AddChannel(2);
  std::optional<Batch> second = Take(newer);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->size(), 47u) << "what is under way is not offered";
  EXPECT_TRUE(HasNothing(older)) << "it is closed before it has answered";
  AnswerAll(newer, *second, kTaken);
  EXPECT_EQ(log_.passed, 0);
  std::vector<HandoverResult> results(first->size(), kTaken);
  results[0] = kRefused;
  results[1] = kLater;
  Answer(older, *first, results);
  EXPECT_TRUE(HasEnded(older));
  EXPECT_EQ(log_.ended.size(), 0u) << "an older one's end is of no interest";
  EXPECT_EQ(handed_over(), 298u);
  AdvanceToRetry();
  // Both may go to somebody of the newer round.
  second = Take(newer);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->size(), 2u);
  AnswerAll(newer, *second, kTaken);
  EXPECT_EQ(log_.passed, 1);
  EXPECT_EQ(scope_.live(), 0u);
}

TEST_F(HandoverSenderTest, AnOlderRoundsEndIsNotTold) {
  Serve(1);
  sender_.BeginRound(1);
  FdChannel newer;
  {
    FdChannel older = AddChannel(1);
    ASSERT_TRUE(Take(older).has_value());
    sender_.BeginRound(2);
    newer = AddChannel(2);
    EXPECT_TRUE(HasNothing(newer));
  }
  Settle();
  EXPECT_TRUE(log_.ended.empty());
  EXPECT_EQ(Take(newer)->size(), 1u);
}

TEST_F(HandoverSenderTest, AfterAStopWhatIsUnansweredIsSettled) {
  Serve(300);
  sender_.BeginRound(1);
  FdChannel first = AddChannel(1);
  const std::optional<Batch> batch = Take(first);
  FdChannel idle = AddChannel(1);
  ASSERT_EQ(Take(idle)->size(), 47u);
  sender_.Stop();
  std::vector<HandoverResult> results(batch->size(), kTaken);
  results[3] = kRefused;
  results[4] = kLater;
  Answer(first, *batch, results);
  EXPECT_TRUE(HasEnded(first));
  EXPECT_EQ(handed_over(), 251u);
  idle = FdChannel();
  AdvanceToRetry();
  EXPECT_EQ(Served(), 49u);
  EXPECT_TRUE(log_.ended.empty());
  EXPECT_EQ(log_.passed, 0);
  FdChannel late = AddChannel(1);
  EXPECT_TRUE(HasEnded(late));
}

}  // namespace
}  // namespace baton
