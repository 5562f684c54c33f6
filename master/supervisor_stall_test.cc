// The supervisor and workers that are stuck for too long.

#include <csignal>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/supervisor.h"
#include "master/supervisor_driver.h"

namespace baton {
namespace {

using testing::HasSubstr;
using Outcome = ReloadResult::Outcome;

SupervisorSettings Workers(int count) {
  SupervisorSettings settings;
  settings.workers = count;
  return settings;
}

event::WorkerStalled Stalled(WorkerId worker) {
  return {worker, absl::Seconds(30)};
}

void ExpectKill(const SupervisorDriver& driver, WorkerId worker, int signal) {
  EXPECT_EQ(driver.Only<action::Kill>().worker, worker);
  EXPECT_EQ(driver.Only<action::Kill>().signal, signal);
}

bool Killed(const SupervisorDriver& driver, WorkerId worker) {
  for (const action::Kill& kill : driver.All<action::Kill>()) {
    if (kill.worker == worker && kill.signal == SIGKILL) return true;
  }
  return false;
}

TEST(SupervisorStallTest, AbortedThenKilledAndReplacedBeforeItIsGone) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(Stalled(1));
  ExpectKill(driver, 1, SIGABRT);
  EXPECT_THAT(driver.Logged("worker_stalled"), HasSubstr("in_turn_ms=30000"));
  // Its own fault, and soon after it began: the back-off.
  EXPECT_FALSE(driver.Has<action::Fork>());
  driver.Advance(absl::Milliseconds(100));
  EXPECT_EQ(driver.Only<action::Fork>().slot, 0);
  driver.Up(driver.incoming(0));
  driver.Do(Stalled(1));
  EXPECT_TRUE(driver.actions.empty()) << "said again";
  driver.Advance(Supervisor::kAbortGrace);
  ExpectKill(driver, 1, SIGKILL);
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  EXPECT_FALSE(driver.Has<action::Fork>());
  EXPECT_EQ(driver.supervisor.slots()[0].restarts, 1u);
}

TEST(SupervisorStallTest, OneThatEndsBySigabrtIsNotKilled) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Advance(absl::Minutes(2));
  driver.Do(Stalled(1));
  ExpectKill(driver, 1, SIGABRT);
  EXPECT_EQ(driver.Only<action::Fork>().slot, 0) << "it had served for long";
  driver.Exit(1, ExitStatus::Signalled(SIGABRT, true));
  EXPECT_THAT(driver.Logged("worker_exited"), HasSubstr("SIGABRT"));
  driver.Advance(Supervisor::kAbortGrace);
  EXPECT_FALSE(driver.Has<action::Kill>());
}

TEST(SupervisorStallTest, OneWhoseCoreIsWrittenIsKilledWhenThatTakesTooLong) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(Stalled(1));
  ExpectKill(driver, 1, SIGABRT);
  constexpr absl::Duration kLook = absl::Milliseconds(500);
  absl::Duration since;
  while (since < Supervisor::kCoreDumpLimit) {
    EXPECT_FALSE(Killed(driver, 1)) << since;
    driver.Do(event::WorkerDumpsCore{1});
    EXPECT_FALSE(Killed(driver, 1)) << since;
    driver.Advance(kLook);
    since += kLook;
  }
  EXPECT_TRUE(Killed(driver, 1));
  driver.Do(event::WorkerDumpsCore{1});
  EXPECT_TRUE(driver.actions.empty()) << "too late";
}

TEST(SupervisorStallTest, OneWhoseCoreIsWrittenAndThatStaysIsKilledThen) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(Stalled(1));
  driver.Advance(absl::Milliseconds(1500));
  driver.Do(event::WorkerDumpsCore{1});
  driver.Advance(Supervisor::kAbortGrace - absl::Milliseconds(1));
  EXPECT_FALSE(Killed(driver, 1));
  driver.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(Killed(driver, 1));
}

TEST(SupervisorStallTest, AStopWaitsForNoCoreBeyondItsDeadline) {
  SupervisorSettings settings = Workers(1);
  settings.stop_timeout = absl::Seconds(5);
  SupervisorDriver driver(settings);
  driver.StartAll();
  driver.Do(Stalled(1));
  driver.Do(event::TerminateRequested{});
  absl::Duration since;
  for (; since < settings.stop_timeout; since += absl::Seconds(1)) {
    driver.Do(event::WorkerDumpsCore{1});
    driver.Advance(absl::Seconds(1));
    EXPECT_FALSE(Killed(driver, 1)) << since;
  }
  driver.Do(event::WorkerDumpsCore{1});
  driver.Advance(Supervisor::kStopGrace);
  EXPECT_TRUE(Killed(driver, 1));
}

TEST(SupervisorStallTest, AQuitWaitsForNone) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(Stalled(1));
  driver.Do(event::QuitRequested{});
  driver.Do(event::WorkerDumpsCore{1});
  driver.Advance(Supervisor::kStopGrace);
  EXPECT_TRUE(Killed(driver, 1));
}

// Whoever was not sent SIGABRT has no core to write for us.
TEST(SupervisorStallTest, NobodyElseLivesLongerByIt) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::WorkerDumpsCore{1});
  driver.Do(event::WorkerDumpsCore{99});
  EXPECT_TRUE(driver.actions.empty());
  EXPECT_EQ(driver.supervisor.FindWorker(1)->phase, WorkerPhase::kServing);
}

TEST(SupervisorStallTest, ItsSlotStaysAdoptedUntilTheNextOneServes) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::WorkerImpaired{1, Impairment::kStuck, true});
  EXPECT_EQ(driver.Only<action::Adopt>().worker, 2u);
  driver.Do(Stalled(1));
  EXPECT_FALSE(driver.Has<action::Release>());
  driver.Exit(1, ExitStatus::Signalled(SIGABRT));
  EXPECT_FALSE(driver.Has<action::Release>());
  driver.Advance(absl::Milliseconds(100));
  driver.Ready(driver.incoming(0));
  EXPECT_FALSE(driver.Has<action::Release>());
  driver.Serving(driver.incoming(0));
  EXPECT_EQ(driver.Only<action::Release>().worker, 2u);
}

TEST(SupervisorStallTest, WhatItHadAdoptedGoesToAnother) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Do(event::WorkerImpaired{1, Impairment::kFull, true});
  const WorkerId adopter = driver.Only<action::Adopt>().worker;
  driver.Do(Stalled(adopter));
  for (const action::Adopt& adopt : driver.All<action::Adopt>()) {
    EXPECT_EQ(adopt.worker, 5 - adopter);
  }
  EXPECT_EQ(driver.All<action::Adopt>().size(), 2u) << "and its own slot";
}

TEST(SupervisorStallTest, ANewWorkerOfAReloadIsTheReloadsFailure) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  const WorkerId first = driver.incoming(0);
  driver.Up(first);
  driver.Do(Stalled(first));
  ExpectKill(driver, first, SIGABRT);
  EXPECT_THAT(driver.Logged("reload_rolling_back"),
              HasSubstr("stalled for 30s"));
}

TEST(SupervisorStallTest, OneThatHasNotServedYetIsReplaced) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  const WorkerId next = driver.incoming(0);
  driver.Ready(next);
  driver.Do(Stalled(next));
  ExpectKill(driver, next, SIGABRT);
  driver.Advance(absl::Milliseconds(100));
  EXPECT_TRUE(driver.Has<action::Fork>());
}

TEST(SupervisorStallTest, OneThatLeavesIsEndedAndHoldsUpNothing) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Advance(absl::Seconds(5));
  driver.Do(event::ReplaceRequested{1});
  driver.Up(driver.incoming(0));
  driver.Do(event::AcceptStopped{1});
  driver.Do(Stalled(1));
  ExpectKill(driver, 1, SIGABRT);
  EXPECT_FALSE(driver.Has<action::Fork>());
  driver.Exit(1, ExitStatus::Signalled(SIGABRT));
  EXPECT_EQ(driver.supervisor.workers().size(), 1u);
  EXPECT_EQ(driver.supervisor.slots()[0].restarts, 0u);
}

TEST(SupervisorStallTest, DuringAStopItCountsAsCut) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  driver.Do(event::AcceptStopped{1});
  driver.Do(Stalled(1));
  ExpectKill(driver, 1, SIGABRT);
  driver.Exit(1, ExitStatus::Signalled(SIGABRT));
  EXPECT_EQ(driver.Only<action::Exit>().code, 3);
}

TEST(SupervisorStallTest, AStopDoesNotWaitForItsTrace) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(Stalled(1));
  driver.Do(event::QuitRequested{});
  driver.Advance(Supervisor::kStopGrace);
  EXPECT_EQ(driver.All<action::Kill>().size(), 1u);
}

TEST(SupervisorStallTest, WhoIsEndedAlreadyIsLeftToThat) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::QuitRequested{});
  driver.Do(Stalled(1));
  EXPECT_TRUE(driver.actions.empty());
  driver.Do(Stalled(99));
  EXPECT_TRUE(driver.actions.empty());
}

}  // namespace
}  // namespace baton
