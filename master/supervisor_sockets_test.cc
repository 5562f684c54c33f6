// How slots and listeners come and go, and nothing is lost.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/supervisor.h"
#include "master/supervisor_driver.h"

namespace baton {
namespace {

using testing::HasSubstr;

SupervisorSettings Workers(int count) {
  SupervisorSettings settings;
  settings.workers = count;
  return settings;
}

template <typename T>
size_t PositionOf(const SupervisorDriver& driver) {
  for (size_t i = 0; i < driver.actions.size(); ++i) {
    if (std::holds_alternative<T>(driver.actions[i])) return i;
  }
  ADD_FAILURE() << "no such action";
  return 0;
}

// `worker` answers the last Release of that slot.
void Released(SupervisorDriver& driver, WorkerId worker, int slot) {
  const uint64_t ticket =
      driver.supervisor.slots().at(slot).sockets.release_ticket;
  driver.Do(event::SocketsReleased{worker, static_cast<SocketsId>(slot), ticket,
                                   true});
}

// One more worker, up and steered to.
void Grow(SupervisorDriver& driver, int to) {
  driver.Do(event::ScaleRequested{1});
  ASSERT_EQ(driver.Only<action::OpenSlots>().slots, to);
  driver.Do(event::SlotsOpened{to});
  driver.Up(driver.incoming(to - 1));
}

// --- one more

TEST(SupervisorSocketsTest, OneMoreGetsConnectionsWhenItServes) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::ScaleRequested{1});
  EXPECT_EQ(driver.Only<action::OpenSlots>().slots, 3);
  EXPECT_FALSE(driver.Has<action::Fork>()) << "it has no sockets yet";
  driver.Do(event::SlotsOpened{3});
  const WorkerId more = driver.Only<action::Fork>().worker;
  EXPECT_EQ(driver.Only<action::Fork>().slot, 2);
  EXPECT_FALSE(driver.Has<action::Steer>());
  driver.Ready(more);
  EXPECT_FALSE(driver.Has<action::Steer>());
  driver.Serving(more);
  EXPECT_EQ(driver.Only<action::Steer>().live, 3);
  EXPECT_THAT(driver.Logged("scale_finished"), HasSubstr("workers=3"));
}

TEST(SupervisorSocketsTest, WithoutSocketsItStaysAsItWas) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::ScaleRequested{1});
  driver.Do(event::SlotsRefused{3, "socket: EMFILE"});
  EXPECT_FALSE(driver.Has<action::Fork>());
  EXPECT_EQ(driver.supervisor.wanted_workers(), 2);
  EXPECT_THAT(driver.Logged("scale_failed"), HasSubstr("EMFILE"));
}

TEST(SupervisorSocketsTest, RequestsMeanwhileAreKept) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::ScaleRequested{1});
  driver.Do(event::ScaleRequested{1});
  driver.Do(event::ScaleRequested{1});
  driver.Do(event::SlotsOpened{2});
  EXPECT_EQ(driver.Only<action::OpenSlots>().slots, 4);
  driver.Do(event::SlotsOpened{4});
  EXPECT_EQ(driver.supervisor.wanted_workers(), 4);
}

TEST(SupervisorSocketsTest, ANumberIsNoDifference) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Reload(Workers(3));
  driver.Do(event::ScaleRequested{1});
  driver.Do(event::ScaleRequested{0, 2});
  EXPECT_TRUE(driver.supervisor.scaling());
  for (int slot = 0; slot < 3; ++slot) {
    const WorkerId old = driver.current(slot);
    driver.Up(driver.incoming(slot));
    if (old != 0) driver.Leaves(old);
  }
  EXPECT_EQ(driver.supervisor.wanted_workers(), 2) << "after the reload";
  // And what comes after it is counted from there.
  driver.Do(event::ScaleRequested{0, 4});
  driver.Do(event::ScaleRequested{-1});
  driver.Do(event::SlotsOpened{4});
  EXPECT_EQ(driver.supervisor.wanted_workers(), 3);
}

// --- one fewer

TEST(SupervisorSocketsTest, OneFewerIsLeftLingersAndIsClosed) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  EXPECT_EQ(driver.Only<action::Steer>().live, 1);
  EXPECT_EQ(driver.Only<action::StopAccepting>().worker, 2u);
  EXPECT_FALSE(driver.Only<action::StopAccepting>().shut_down_listeners);
  EXPECT_LT(PositionOf<action::Steer>(driver),
            PositionOf<action::StopAccepting>(driver));
  EXPECT_EQ(driver.Only<action::Adopt>().worker, 1u);
  EXPECT_EQ(driver.Only<action::Adopt>().sockets, 1u);
  driver.Leaves(2);
  EXPECT_THAT(driver.Logged("scale_finished"), HasSubstr("workers=1"));
  driver.Exit(2);

  driver.Advance(absl::Seconds(62));
  EXPECT_FALSE(driver.Has<action::Release>());
  driver.Advance(absl::Seconds(2));
  EXPECT_EQ(driver.Only<action::Release>().sockets, 1u);
  EXPECT_FALSE(driver.Has<action::CloseSlot>()) << "its queue is not empty yet";
  Released(driver, 1, 1);
  EXPECT_EQ(driver.Only<action::CloseSlot>().slot, 1);
  EXPECT_EQ(driver.supervisor.slots().size(), 1u);
}

// What is queued is worth more than a socket.
TEST(SupervisorSocketsTest, ASlotWaitsForItsAdopterOrTheNextOne) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  driver.Leaves(3);
  driver.Advance(absl::Seconds(64));
  const WorkerId silent = driver.Only<action::Release>().worker;
  driver.Advance(absl::Hours(1));
  EXPECT_FALSE(driver.Has<action::CloseSlot>());
  driver.Exit(silent, ExitStatus::Signalled(SIGKILL));
  const WorkerId next = silent == 1 ? 2 : 1;
  bool adopted = false;
  for (const action::Adopt& adopt : driver.All<action::Adopt>()) {
    adopted = adopted || (adopt.sockets == 2 && adopt.worker == next);
  }
  EXPECT_TRUE(adopted);
  EXPECT_EQ(driver.Only<action::Release>().worker, next);
  Released(driver, next, 2);
  EXPECT_EQ(driver.Only<action::CloseSlot>().slot, 2);
}

TEST(SupervisorSocketsTest, AReleaseFromSomebodyElseMeansNothing) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  driver.Leaves(3);
  driver.Advance(absl::Seconds(64));
  ASSERT_TRUE(driver.Has<action::Release>());
  const WorkerId adopter = driver.Only<action::Release>().worker;
  const WorkerId other = adopter == 1 ? 2 : 1;
  Released(driver, other, 2);
  driver.Do(event::SocketsReleased{adopter, 77, 1, true});
  driver.Do(event::SocketsReleased{adopter, 2, 77, true});
  EXPECT_FALSE(driver.Has<action::CloseSlot>());
  Released(driver, adopter, 2);
  EXPECT_TRUE(driver.Has<action::CloseSlot>());
}

// Full, say: what is left in the queue is for another.
TEST(SupervisorSocketsTest,
     AnAdopterThatCouldNotEmptyTheQueueIsFollowedByAnother) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  driver.Leaves(3);
  driver.Advance(absl::Seconds(64));
  const auto release = driver.Only<action::Release>();
  driver.Do(event::SocketsReleased{release.worker, 2, release.ticket, false});
  EXPECT_FALSE(driver.Has<action::CloseSlot>());
  const WorkerId next = release.worker == 1 ? 2 : 1;
  EXPECT_EQ(driver.Only<action::Adopt>().worker, next);
  Released(driver, next, 2);
  EXPECT_EQ(driver.Only<action::CloseSlot>().slot, 2);
}

// A worker that has not closed its sockets keeps their place in a UDP group.
TEST(SupervisorSocketsTest, NothingIsClosedWhileSomebodyMayHaveACopy) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  driver.Advance(absl::Minutes(10));  // worker 2 hangs
  EXPECT_FALSE(driver.Has<action::Release>());
  driver.Leaves(2);
  EXPECT_TRUE(driver.Has<action::Release>());
  Released(driver, 1, 1);
  EXPECT_EQ(driver.Only<action::CloseSlot>().slot, 1);
}

TEST(SupervisorSocketsTest, SteeringThatFailsIsTriedAgainAndHoldsTheEndUp) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  driver.Do(event::SteerFailed{});
  driver.Leaves(2);
  EXPECT_FALSE(driver.Has<action::Steer>()) << "not at once";
  driver.Advance(absl::Seconds(1));
  EXPECT_EQ(driver.Only<action::Steer>().live, 1);
  driver.Do(event::SteerFailed{});
  driver.Advance(absl::Seconds(30));
  EXPECT_EQ(driver.All<action::Steer>().size(), 1u);
  // Only now are connections steered away: it lingers from here on.
  driver.Advance(absl::Seconds(33));
  EXPECT_FALSE(driver.Has<action::Release>());
  driver.Advance(absl::Seconds(2));
  EXPECT_TRUE(driver.Has<action::Release>());
}

TEST(SupervisorSocketsTest, NeverFewerThanOne) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  for (int i = 0; i < 5; ++i) driver.Do(event::ScaleRequested{-1});
  EXPECT_EQ(driver.supervisor.wanted_workers(), 1);
  // And the surplus is not held against the next one more.
  driver.Leaves(2);
  driver.Do(event::ScaleRequested{1});
  driver.Do(event::SlotsOpened{2});
  EXPECT_EQ(driver.supervisor.wanted_workers(), 2);
}

TEST(SupervisorSocketsTest, GrowingRevivesASlotThatLingers) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  driver.Leaves(2);
  driver.Do(event::ScaleRequested{1});
  // Its sockets are there, but those of a listener that came since.
  driver.Do(event::SlotsOpened{driver.Only<action::OpenSlots>().slots});
  const action::Fork fork = driver.Only<action::Fork>();
  EXPECT_EQ(fork.slot, 1);
  driver.Ready(fork.worker);
  driver.Serving(fork.worker);
  EXPECT_EQ(driver.Only<action::Steer>().live, 2);
  EXPECT_EQ(driver.Only<action::Release>().sockets, 1u);
  driver.Advance(absl::Seconds(200));
  EXPECT_FALSE(driver.Has<action::CloseSlot>());
}

TEST(SupervisorSocketsTest, OnlyTheLastSlotIsClosed) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  driver.Leaves(3);
  driver.Advance(absl::Seconds(40));
  driver.Do(event::ScaleRequested{-1});
  driver.Leaves(2);
  driver.Advance(absl::Seconds(24));
  Released(driver, 1, 2);
  EXPECT_EQ(driver.Only<action::CloseSlot>().slot, 2);
  driver.Advance(absl::Seconds(40));
  Released(driver, 1, 1);
  EXPECT_EQ(driver.Only<action::CloseSlot>().slot, 1);
}

// --- with a reload

TEST(SupervisorSocketsTest, WhatAReloadRemovesIsAdoptedLingersAndIsClosed) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.removed.listeners = {{kFirstRemoved, absl::Seconds(70)}};
  driver.Reload(Workers(1));
  const WorkerId next = driver.Only<action::Fork>().worker;
  driver.Up(next);
  driver.Leaves(1);
  ASSERT_TRUE(driver.Has<action::CommitConfig>());
  EXPECT_EQ(driver.Only<action::Adopt>().worker, next);
  EXPECT_EQ(driver.Only<action::Adopt>().sockets, kFirstRemoved);
  // Its adopter's successor goes on.
  driver.Exit(next, ExitStatus::Signalled(SIGKILL));
  const WorkerId last = driver.Only<action::Fork>().worker;
  driver.Up(last);
  EXPECT_EQ(driver.Only<action::Adopt>().worker, last);
  driver.Advance(absl::Seconds(69));
  EXPECT_FALSE(driver.Has<action::Release>());
  driver.Advance(absl::Seconds(1));
  const auto release = driver.Only<action::Release>();
  EXPECT_EQ(release.sockets, kFirstRemoved);
  driver.Do(event::SocketsReleased{last, kFirstRemoved, release.ticket, true});
  EXPECT_EQ(driver.Only<action::CloseRemoved>().sockets, kFirstRemoved);
  EXPECT_TRUE(driver.supervisor.removed().empty());
}

// New connections come to the end, so nobody may ever empty its queues.
TEST(SupervisorSocketsTest, ARemovedListenerIsClosedThoughItIsNeverEmpty) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.removed.listeners = {{kFirstRemoved, absl::Seconds(70)}};
  driver.Reload(Workers(1));
  const WorkerId next = driver.Only<action::Fork>().worker;
  driver.Up(next);
  driver.Leaves(1);
  driver.Exit(1);
  driver.Advance(absl::Seconds(70));
  driver.Do(event::SocketsReleased{next, kFirstRemoved,
                                   driver.Only<action::Release>().ticket,
                                   /*emptied=*/false});
  EXPECT_FALSE(driver.Has<action::CloseRemoved>());
  driver.Do(event::WorkerImpaired{next, Impairment::kFull, true});
  driver.Advance(absl::Seconds(9));
  EXPECT_FALSE(driver.Has<action::CloseRemoved>());
  driver.Advance(absl::Seconds(1));
  EXPECT_TRUE(driver.Has<action::CloseRemoved>());
}

// What was emptied is not all there is.
TEST(SupervisorSocketsTest, AnAdoptionThatFailedUndoesTheEnd) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  driver.Leaves(2);
  driver.Exit(2);
  driver.Advance(absl::Seconds(63));
  const uint64_t ticket = driver.Only<action::Release>().ticket;
  driver.Do(event::AdoptFailed{1, 1});
  driver.Do(event::SocketsReleased{1, 1, ticket, true});
  EXPECT_FALSE(driver.Has<action::CloseSlot>());
  driver.Advance(absl::Seconds(1));
  EXPECT_EQ(driver.Only<action::Adopt>().sockets, 1u);
  Released(driver, 1, 1);
  EXPECT_TRUE(driver.Has<action::CloseSlot>());
}

// It may come back, and needs the sockets of all slots then.
TEST(SupervisorSocketsTest, NoSlotIsClosedWhileAListenerLingers) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.removed.listeners = {{kFirstRemoved, absl::Seconds(600)}};
  driver.Reload(Workers(2));
  for (WorkerId old = 1; old <= 2; ++old) {
    driver.Up(driver.incoming(static_cast<int>(old) - 1));
    driver.Leaves(old);
    driver.Exit(old);
  }
  driver.Do(event::ScaleRequested{-1});
  driver.Leaves(4);
  driver.Exit(4);
  driver.Advance(absl::Seconds(500));
  EXPECT_FALSE(driver.Has<action::Release>());
  driver.Advance(absl::Seconds(101));
  EXPECT_EQ(driver.Only<action::Release>().sockets, kFirstRemoved);
  driver.Do(event::SocketsReleased{
      3, kFirstRemoved, driver.Only<action::Release>().ticket, true});
  EXPECT_TRUE(driver.Has<action::CloseRemoved>());
  EXPECT_EQ(driver.Only<action::Release>().sockets, 1u);
}

TEST(SupervisorSocketsTest, ANumberSetBySignalOutlivesAReload) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  Grow(driver, 3);
  driver.Do(event::ReloadRequested{});
  const action::LoadConfig load = driver.Only<action::LoadConfig>();
  EXPECT_EQ(load.configured, 2);
  EXPECT_EQ(load.wanted, 3);
  EXPECT_EQ(WorkersAfterReload(2, 3, 2), 3);
  driver.Do(event::ConfigLoaded{load.generation, Workers(2)});
  for (int slot = 0; slot < 3; ++slot) {
    const WorkerId old = driver.current(slot);
    driver.Up(driver.incoming(slot));
    driver.Leaves(old);
  }
  EXPECT_EQ(driver.supervisor.state(), ServerState::kRunning);
  EXPECT_EQ(driver.supervisor.wanted_workers(), 3);
}

TEST(SupervisorSocketsTest, ANewNumberInTheFileWins) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  Grow(driver, 3);
  driver.Reload(Workers(1));
  for (int slot = 0; slot < 1; ++slot) {
    const WorkerId old = driver.current(slot);
    driver.Up(driver.incoming(slot));
    driver.Leaves(old);
  }
  EXPECT_EQ(driver.supervisor.wanted_workers(), 3) << "not committed yet";
  for (WorkerId old : {WorkerId{3}, WorkerId{2}}) {
    driver.Leaves(old);
  }
  EXPECT_EQ(driver.supervisor.wanted_workers(), 1);
}

TEST(SupervisorSocketsTest, ScalingWaitsForAReload) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Reload(Workers(1));
  driver.Do(event::ScaleRequested{1});
  EXPECT_FALSE(driver.Has<action::OpenSlots>());
  driver.Up(driver.incoming(0));
  driver.Leaves(1);
  EXPECT_EQ(driver.supervisor.state(), ServerState::kRunning);
  driver.Do(event::Timer{});
  EXPECT_EQ(driver.supervisor.generation(), 2u);
}

}  // namespace
}  // namespace baton
