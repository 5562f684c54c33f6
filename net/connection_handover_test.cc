// What happens to a connection while it is detached, and what then.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/connection_handover_fixture.h"
#include "net/connection_image.h"
#include "net/event_loop.h"
#include "net/unique_fd.h"
#include "net/with_deadline.h"

namespace baton {
namespace {

using internal::ConnectionCore;

TEST_F(ConnectionHandoverTest, OneThatIsReattachedAnswersWhatCameMeanwhile) {
  const Served served = Serve();
  Say(served, "one");
  Settle();
  EXPECT_EQ(Heard(served), "one");
  ASSERT_TRUE(table_.CanDetach(*served.core));
  EXPECT_EQ(table_.Detach(*served.core), served.core->fd);
  EXPECT_FALSE(table_.CanDetach(*served.core)) << "it is gone already";
  Say(served, "two");
  Settle();
  EXPECT_EQ(Heard(served), "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(Heard(served), "two");
  Say(served, "three");
  Settle();
  EXPECT_EQ(Heard(served), "three");
  EXPECT_EQ(shared_.log, "");
  const TrafficCounters& counters = table_.counters();
  EXPECT_EQ(counters.open.value(), 1);
  EXPECT_EQ(counters.handed_over.value(), 0u);
}

TEST_F(ConnectionHandoverTest, APeerThatWentMeanwhileIsNoticedAfterReattach) {
  Served served = Serve();
  table_.Detach(*served.core);
  served.peer.reset();
  Settle();
  EXPECT_EQ(shared_.log, "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.log, "eof");
  EXPECT_EQ(table_.counters().closed.value(), 1u);
}

// Another worker may serve the socket by then.
TEST_F(ConnectionHandoverTest, AShutdownWaitsUntilItIsKnownWhoseItIs) {
  const Served back = Serve(Duplex);
  table_.Detach(*back.core);
  shared_.conn->ShutdownWrite();
  EXPECT_EQ(Heard(back), "");
  EXPECT_EQ(table_.Reattach(*back.core), 0);
  EXPECT_EQ(Heard(back), "end");

  const Served away = Serve(Duplex);
  const UniqueFd copy(dup(table_.Detach(*away.core)));
  shared_.conn->ShutdownWrite();
  shared_.conn->ResetOnClose();
  table_.GiveAway(*away.core);
  Settle();
  EXPECT_EQ(write(copy.get(), "x", 1), 1);
  EXPECT_EQ(Heard(away), "x");
}

TEST_F(ConnectionHandoverTest, WhoIsGivenAwayIsNotOpenHereAnyMore) {
  const Served served = Serve();
  table_.Detach(*served.core);
  table_.GiveAway(*served.core);
  const TrafficCounters& counters = table_.counters();
  EXPECT_EQ(counters.open.value(), 0) << "whatever its handler still does";
  EXPECT_EQ(counters.handed_over.value(), 1u);
  Settle();
  EXPECT_EQ(counters.open.value(), 0);
  EXPECT_EQ(counters.handed_over.value(), 1u);
  EXPECT_EQ(counters.closed.value(), 0u);
}

// Whoever reads first takes the other one out of epoll.
ConnectionCore* rivals[2];
Task<> DetachTheOther(Connection conn, Shared* shared) {
  while (true) {
    const ReadResult chunk = co_await conn.ReadSome({.idle = true});
    if (!chunk) break;
    shared->log += std::string(*chunk);
    for (ConnectionCore* core : rivals) {
      if (ConnectionTable::Current().CanDetach(*core))
        ConnectionTable::Current().Detach(*core);
    }
  }
}

TEST_F(ConnectionHandoverTest, AnEventOfTheSameBatchFindsNothingToRead) {
  const Served first = Serve(DetachTheOther);
  const Served second = Serve(DetachTheOther);
  rivals[0] = first.core;
  rivals[1] = second.core;
  Say(first, "x");
  Say(second, "x");
  Settle();
  EXPECT_EQ(shared_.log, "x");
  EXPECT_NE(first.core->IsMoving(), second.core->IsMoving());
  ConnectionCore& moving = first.core->IsMoving() ? *first.core : *second.core;
  char byte;
  EXPECT_EQ(recv(moving.fd, &byte, 1, MSG_PEEK), 1) << "it was read";
  EXPECT_EQ(moving.bytes_in, 0u);
  EXPECT_EQ(table_.Reattach(moving), 0);
  Settle();
  EXPECT_EQ(shared_.log, "xx");
}

TEST_F(ConnectionHandoverTest, AnIdleDeadlinePassesWhenItIsKnownWhoseItIs) {
  const Served served = Serve(Echo, {.idle_timeout = absl::Seconds(1)});
  table_.Detach(*served.core);
  Advance(absl::Seconds(5));
  EXPECT_EQ(shared_.log, "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.log, "timeout");
  EXPECT_EQ(table_.counters().reaped_idle.value(), 1u);
  EXPECT_EQ(Heard(served), "end");
}

// Its answer comes as an event, and behind events come timers.
struct ReattachOnEvent final : EventHandler {
  void OnEvents(uint32_t /*events*/) override {
    EXPECT_EQ(ConnectionTable::Current().Reattach(*core), 0);
  }
  ConnectionCore* core = nullptr;
};

TEST_F(ConnectionHandoverTest, OneThatHasSpokenMeanwhileIsNotReaped) {
  const Served served = Serve(Echo, {.idle_timeout = absl::Seconds(1)});
  table_.Detach(*served.core);
  ReattachOnEvent answer;
  answer.core = served.core;
  const UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const FdWatch watch =
      FdWatch::Start(*loop_, event.get(), EPOLLIN, &answer).value();
  Say(served, "alive");
  Advance(absl::Seconds(5));
  ASSERT_EQ(eventfd_write(event.get(), 1), 0);
  clock_.Advance(absl::Milliseconds(50));
  Settle();
  EXPECT_EQ(Heard(served), "alive");
  EXPECT_EQ(shared_.log, "");
}

TEST_F(ConnectionHandoverTest, WhatIsLeftOfTheIdleTimeGoesAlong) {
  const Served served = Serve(Echo, {.idle_timeout = absl::Seconds(10)});
  Advance(absl::Seconds(4));
  const ConnectionImage image = table_.Export(*served.core);
  EXPECT_GT(image.idle_left, absl::Milliseconds(5'900));
  EXPECT_LT(image.idle_left, absl::Milliseconds(6'100));
  EXPECT_GT(image.age, absl::Milliseconds(3'900));
  UniqueFd copy(dup(table_.Detach(*served.core)));
  table_.GiveAway(*served.core);
  Settle();
  shared_.log.clear();
  const auto next = table_.Import(
      std::move(copy), table_.AddSettings({.idle_timeout = absl::Seconds(10)}),
      image);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(table_.AgeOf(**next), absl::Milliseconds(3'900));
  scope_.SpawnBare(Echo(Connection(*next), &shared_));
  Advance(absl::Milliseconds(5'700));
  EXPECT_EQ(shared_.log, "");
  Advance(absl::Milliseconds(400));
  EXPECT_EQ(shared_.log, "timeout");
}

// --- operations that end, or begin, while nobody knows whose it is

Task<> IdleForASecond(Connection conn, Shared* shared) {
  co_await WithDeadline(absl::Seconds(1), IdleOnce(&conn, shared));
  shared->log += ", ";
  co_await IdleOnce(&conn, shared);
}

TEST_F(ConnectionHandoverTest, ACancellationIsDeliveredAfterReattach) {
  const Served served = Serve(IdleForASecond);
  table_.Detach(*served.core);
  Advance(absl::Seconds(2));
  EXPECT_EQ(shared_.log, "");
  Say(served, "x");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.log, "cancelled, x") << "nothing that came is lost";
}

TEST_F(ConnectionHandoverTest, ACancellationOfOneThatIsGoneIsItsEnd) {
  const Served served = Serve(IdleForASecond);
  table_.Detach(*served.core);
  Advance(absl::Seconds(2));
  EXPECT_EQ(shared_.log, "");
  table_.GiveAway(*served.core);
  Settle();
  EXPECT_EQ(shared_.log, "draining, draining");
}

TEST_F(ConnectionHandoverTest, AWriteMeanwhileGoesOutAfterReattach) {
  const Served served = Serve(Duplex);
  table_.Detach(*served.core);
  shared_.writers->Spawn(Push(shared_.conn, "late", &shared_.written));
  Advance(absl::Minutes(1));
  EXPECT_FALSE(shared_.written.has_value());
  EXPECT_EQ(Heard(served), "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.written, IoError::kOk);
  EXPECT_EQ(Heard(served), "late");
}

TEST_F(ConnectionHandoverTest, AWriteMeanwhileOnOneThatIsGoneIsNotSent) {
  const Served served = Serve(Duplex);
  const UniqueFd copy(dup(table_.Detach(*served.core)));
  shared_.writers->Spawn(Push(shared_.conn, "late", &shared_.written));
  Settle();
  EXPECT_FALSE(shared_.written.has_value());
  table_.GiveAway(*served.core);
  Settle();
  EXPECT_EQ(shared_.written, IoError::kDraining);
  EXPECT_EQ(shared_.log, "draining");
  EXPECT_EQ(Heard(served), "") << "the other process has sent nothing";
}

TEST_F(ConnectionHandoverTest, ACancelledWriteIsNotSentAfterReattach) {
  const Served served = Serve(Duplex);
  table_.Detach(*served.core);
  shared_.writers->Spawn(Push(shared_.conn, "late", &shared_.written));
  shared_.writers->RequestStop();
  Settle();
  EXPECT_FALSE(shared_.written.has_value());
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.written, IoError::kCancelled);
  EXPECT_EQ(Heard(served), "");
}

TEST_F(ConnectionHandoverTest, OneThatIsGivenAwayIsClosedHereOnly) {
  const Served served = Serve();
  const UniqueFd copy(dup(table_.Detach(*served.core)));
  table_.GiveAway(*served.core);
  Settle();
  EXPECT_EQ(shared_.log, "draining");
  const TrafficCounters& counters = table_.counters();
  EXPECT_EQ(counters.open.value(), 0);
  EXPECT_EQ(counters.closed.value(), 0u);
  EXPECT_EQ(counters.handed_over.value(), 1u);
  EXPECT_EQ(table_.open(), 0u);
  ASSERT_EQ(write(copy.get(), "on", 2), 2);
  EXPECT_EQ(Heard(served), "on") << "and the client has not noticed";
  EXPECT_EQ(Heard(served), "");
  Say(served, "x");
  Settle();
  EXPECT_EQ(loop_->stale_events(), 0u) << "it is in our epoll still";
}

}  // namespace
}  // namespace baton
