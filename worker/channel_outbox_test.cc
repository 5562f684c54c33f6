#include "worker/channel_outbox.h"

#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "net/clock.h"

namespace baton {
namespace {

TEST(ChannelOutboxTest, WhatDoesNotFitComesLaterAndInOrder) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  auto [here, there] = FdChannel::CreatePair().value();
  ChannelOutbox outbox(*loop, here);
  constexpr uint64_t kMany = 2000;  // more than a socket's queue holds
  for (uint64_t i = 0; i < kMany; ++i) outbox.Send(PassedMessage{i});
  uint64_t next = 0;
  int rounds = 0;
  for (; next < kMany && rounds < 1000; ++rounds) {
    while (true) {
      const FdChannel::Received received = there.Receive();
      if (received.code != FdChannel::ReceiveCode::kMessage) break;
      const auto decoded = DecodeMessage(received.bytes);
      ASSERT_TRUE(decoded.ok());
      EXPECT_EQ(std::get<PassedMessage>(decoded->message).left, next++);
    }
    clock.Advance(2 * ChannelOutbox::kRetry);
    loop->Turn(/*wait=*/false);
  }
  EXPECT_EQ(next, kMany);
  EXPECT_GT(rounds, 1) << "nothing had to wait";
}

TEST(ChannelOutboxTest, AMasterThatIsGoneIsNoReasonToWait) {
  auto loop = EventLoop::Create().value();
  auto [here, there] = FdChannel::CreatePair().value();
  ChannelOutbox outbox(*loop, here);
  there = FdChannel();
  for (int i = 0; i < 3; ++i) outbox.Send(ReadyMessage{});
  loop->Turn(/*wait=*/false);
  EXPECT_FALSE(loop->HasReady());
}

}  // namespace
}  // namespace baton
