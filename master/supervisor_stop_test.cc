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

TEST(SupervisorStopTest, TerminateDrainsAndEndsWith0) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  const auto stops = driver.All<action::StopAccepting>();
  ASSERT_EQ(stops.size(), 2u);
  EXPECT_TRUE(stops[0].shut_down_listeners);
  EXPECT_EQ(driver.supervisor.state(), ServerState::kStopping);
  driver.Leaves(1);
  EXPECT_EQ(driver.Only<action::Drain>().worker, 1u);
  EXPECT_EQ(driver.Only<action::Drain>().timeout, absl::Seconds(8));
  EXPECT_FALSE(driver.Has<action::CloseListeners>()) << "worker 2 accepts";
  driver.Leaves(2);
  EXPECT_TRUE(driver.Has<action::CloseListeners>());
  driver.Do(event::WorkerDrained{1, 0});
  driver.Exit(1);
  EXPECT_FALSE(driver.Has<action::Exit>());
  driver.Exit(2);
  EXPECT_EQ(driver.Only<action::Exit>().code, 0);
  EXPECT_FALSE(driver.Has<action::CloseListeners>()) << "once";
}

// The shell gives it up when it sees that, or it is done already.
TEST(SupervisorStopTest, ALoadThatIsAnsweredDuringAStopChangesNothing) {
  for (const bool loaded : {false, true}) {
    SupervisorSettings settings = Workers(1);
    settings.drain_delay = absl::Seconds(1);
    SupervisorDriver driver(settings);
    driver.StartAll();
    driver.Do(event::ReloadRequested{});
    const Generation asked = driver.Only<action::LoadConfig>().generation;
    driver.Do(event::TerminateRequested{});
    if (loaded) {
      driver.Do(event::ConfigLoaded{asked, Workers(3)});
      EXPECT_EQ(driver.Only<action::DropConfig>().generation, asked);
    } else {
      driver.Do(event::ConfigRejected{asked, "the server is stopping"});
    }
    EXPECT_EQ(driver.supervisor.last_reload()->outcome,
              ReloadResult::Outcome::kRejected);
    EXPECT_EQ(driver.supervisor.last_reload()->reason,
              "the server is stopping");
    driver.Advance(absl::Seconds(1));
    driver.Leaves(1);
    driver.Do(event::WorkerDrained{1, 0});
    driver.Exit(1);
    EXPECT_EQ(driver.Only<action::Exit>().code, 0);
  }
}

TEST(SupervisorStopTest, RequestsCutByStopTimeoutMakeIt3) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  driver.Leaves(1);
  driver.Advance(absl::Seconds(8));
  driver.Do(event::WorkerDrained{1, 5});
  driver.Exit(1);
  EXPECT_EQ(driver.Only<action::Exit>().code, 3);
  EXPECT_THAT(driver.Logged("stopped"), HasSubstr("connections_cut=5"));
}

TEST(SupervisorStopTest, AWorkerThatDoesNotEndIsKilledAndMakesIt3) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  driver.Leaves(1);
  driver.Advance(absl::Seconds(8) + Supervisor::kDrainGrace);
  EXPECT_EQ(driver.Only<action::Kill>().worker, 1u);
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver.Only<action::Exit>().code, 3);
  EXPECT_THAT(driver.Logged("stopped"), HasSubstr("workers_cut=1"));
}

TEST(SupervisorStopTest, AWorkerThatCanNotEvenBeKilledDoesNotHoldUpTheStop) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::QuitRequested{});
  driver.Advance(Supervisor::kStopGrace + Supervisor::kUnkillableTimeout);
  EXPECT_TRUE(driver.Has<action::Exit>());
}

TEST(SupervisorStopTest, DrainDelayKeepsServingAndReplacing) {
  SupervisorSettings settings = Workers(2);
  settings.drain_delay = absl::Seconds(5);
  SupervisorDriver driver(settings);
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  EXPECT_EQ(driver.supervisor.state(), ServerState::kStopping);
  EXPECT_FALSE(driver.Has<action::StopAccepting>());
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  EXPECT_TRUE(driver.Has<action::Fork>());
  driver.Up(driver.incoming(0));
  // A TERM for the whole group reaches workers too: nothing more happens.
  driver.Do(event::ReplaceRequested{2});
  EXPECT_TRUE(driver.actions.empty());
  driver.Advance(absl::Seconds(5));
  EXPECT_EQ(driver.All<action::StopAccepting>().size(), 2u);
}

TEST(SupervisorStopTest, ASecondTerminateAtOnceMeansNothing) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  driver.Advance(absl::Seconds(1));
  driver.Do(event::TerminateRequested{});
  EXPECT_TRUE(driver.actions.empty());
}

TEST(SupervisorStopTest, ASecondTerminateLaterStopsAtOnce) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  driver.Advance(absl::Milliseconds(1001));
  driver.Do(event::TerminateRequested{});
  EXPECT_EQ(driver.Only<action::StopWorker>().worker, 1u);
  driver.Exit(1);
  EXPECT_EQ(driver.Only<action::Exit>().code, 0);
}

TEST(SupervisorStopTest, QuitIsOverWithinASecond) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::QuitRequested{});
  EXPECT_EQ(driver.All<action::StopWorker>().size(), 2u);
  EXPECT_TRUE(driver.Has<action::CloseListeners>());
  driver.Exit(1);
  driver.Advance(Supervisor::kStopGrace);
  EXPECT_EQ(driver.Only<action::Kill>().worker, 2u);
  driver.Exit(2, ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver.Only<action::Exit>().code, 0);
  EXPECT_THAT(driver.Logged("stopped"), HasSubstr("workers_cut=1"));
}

// It was asked to: no reason for another exit code.
TEST(SupervisorStopTest, WhatAQuitCutsIsCounted) {
  for (const bool terminated : {false, true}) {
    SupervisorDriver driver(Workers(2));
    driver.StartAll();
    if (terminated) {
      driver.Do(event::TerminateRequested{});
      driver.Leaves(1);
    }
    driver.Do(event::QuitRequested{});
    driver.Do(event::WorkerDrained{1, 5});
    driver.Do(event::WorkerDrained{2, 2});
    driver.Exit(1);
    driver.Exit(2);
    EXPECT_EQ(driver.Only<action::Exit>().code, 0);
    EXPECT_THAT(driver.Logged("stopped"),
                HasSubstr("connections_cut=7, workers_cut=0"));
  }
}

// What stop_timeout has cut stays that, whatever comes next.
TEST(SupervisorStopTest, AQuitAfterStopTimeoutHasCutIsStill3) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  driver.Leaves(1);
  driver.Leaves(2);
  driver.Advance(absl::Seconds(8));
  driver.Do(event::WorkerDrained{1, 5});
  driver.Do(event::QuitRequested{});
  driver.Do(event::WorkerDrained{2, 1});
  driver.Exit(1);
  driver.Exit(2);
  EXPECT_EQ(driver.Only<action::Exit>().code, 3);
  EXPECT_THAT(driver.Logged("stopped"), HasSubstr("connections_cut=6"));
}

// They say so a moment later, and the SIGQUIT may come first.
TEST(SupervisorStopTest, WhatStopTimeoutHasCutMayBeToldAfterAQuit) {
  for (const bool in_time : {false, true}) {
    SupervisorDriver driver(Workers(1));
    driver.StartAll();
    driver.Do(event::TerminateRequested{});
    driver.Leaves(1);
    driver.Advance(absl::Seconds(8) - absl::Milliseconds(in_time ? 1 : 0));
    driver.Do(event::QuitRequested{});
    driver.Advance(absl::Milliseconds(100));
    driver.Do(event::WorkerDrained{1, 5});
    driver.Exit(1);
    EXPECT_EQ(driver.Only<action::Exit>().code, in_time ? 0 : 3);
    EXPECT_THAT(driver.Logged("stopped"), HasSubstr("connections_cut=5"));
  }
}

TEST(SupervisorStopTest, NorDoesAQuitExcuseOneThatHangsByThen) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  driver.Leaves(1);
  driver.Advance(absl::Seconds(8));
  driver.Do(event::QuitRequested{});
  driver.Advance(Supervisor::kStopGrace);
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver.Only<action::Exit>().code, 3);
  EXPECT_THAT(driver.Logged("stopped"), HasSubstr("workers_cut=1"));
}

TEST(SupervisorStopTest, AWorkerIsCutOnce) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  driver.Leaves(1);
  driver.Leaves(2);
  driver.Do(event::WorkerStalled{1, absl::Seconds(30)});
  driver.Do(event::QuitRequested{});
  // It has said what it cut, and then does not end.
  driver.Do(event::WorkerDrained{2, 7});
  driver.Advance(Supervisor::kStopGrace);
  EXPECT_EQ(driver.All<action::Kill>().size(), 2u);
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  driver.Exit(2, ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver.Only<action::Exit>().code, 3);
  EXPECT_THAT(driver.Logged("stopped"),
              HasSubstr("connections_cut=7, workers_cut=1"));
}

TEST(SupervisorStopTest, WhoServedNobodyWhenTheStopBeganIsNotCut) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::WorkerStalled{1, absl::Seconds(30)});
  driver.Advance(absl::Milliseconds(100));
  ASSERT_NE(driver.incoming(0), 0u) << "it starts";
  driver.Do(event::QuitRequested{});
  driver.Exit(2);
  driver.Advance(Supervisor::kStopGrace);
  EXPECT_EQ(driver.All<action::Kill>().size(), 2u);
  driver.Exit(3, ExitStatus::Signalled(SIGKILL));
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  EXPECT_THAT(driver.Logged("stopped"), HasSubstr("workers_cut=0"));
}

TEST(SupervisorStopTest, NobodyIsReplacedOnceTheDrainHasBegun) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::TerminateRequested{});
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  driver.Advance(absl::Seconds(2));
  EXPECT_FALSE(driver.Has<action::Fork>());
  driver.Exit(2);
  EXPECT_EQ(driver.Only<action::Exit>().code, 0);
}

TEST(SupervisorStopTest, TerminateDuringTheStartEndsItAtOnce) {
  SupervisorDriver driver(Workers(2));
  driver.Do(event::Start{});
  driver.Ready(1);
  driver.Do(event::TerminateRequested{});
  EXPECT_EQ(driver.All<action::StopWorker>().size(), 2u);
  driver.Exit(1);
  driver.Exit(2);
  EXPECT_EQ(driver.Only<action::Exit>().code, 0);
}

TEST(SupervisorStopTest, TerminateDuringAReloadEndsBothGenerations) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  driver.Up(driver.incoming(0));
  driver.Leaves(1);
  const WorkerId starting = driver.incoming(1);
  driver.Do(event::TerminateRequested{});
  EXPECT_EQ(driver.Only<action::StopWorker>().worker, starting);
  EXPECT_EQ(driver.All<action::StopAccepting>().size(), 2u);
  // The one that was free to take its time has to end too.
  EXPECT_EQ(driver.Only<action::Drain>().worker, 1u);
  EXPECT_EQ(driver.Only<action::Drain>().timeout, absl::Seconds(8));
  driver.Do(event::ReloadRequested{});
  EXPECT_TRUE(driver.actions.empty());
  EXPECT_THAT(driver.supervisor.last_reload()->reason, HasSubstr("stopping"));
}

TEST(SupervisorStopTest, AForkAnsweredAfterTheStopIsEnded) {
  Supervisor supervisor(Workers(1));
  supervisor.Handle(absl::ZeroDuration(), event::Start{});
  supervisor.Handle(absl::ZeroDuration(), event::TerminateRequested{});
  const auto actions =
      supervisor.Handle(absl::ZeroDuration(), event::Forked{1, 1234});
  bool stopped = false;
  for (const Action& action : actions) {
    stopped = stopped || std::holds_alternative<action::StopWorker>(action);
  }
  EXPECT_TRUE(stopped);
  supervisor.Handle(absl::ZeroDuration(),
                    event::WorkerExited{1, ExitStatus::Exited(0)});
  EXPECT_TRUE(supervisor.exited());
}

// --- crash loop

TEST(SupervisorStopTest, ACrashLoopEndsTheServerWithCode4) {
  SupervisorSettings settings = Workers(2);
  settings.crash_loop_limit = 3;
  SupervisorDriver driver(settings);
  driver.StartAll();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(driver.supervisor.state(), ServerState::kRunning);
    driver.Exit(driver.current(0), ExitStatus::Signalled(SIGSEGV));
    if (i == 2) break;
    driver.Advance(absl::Seconds(5));
    driver.Up(driver.incoming(0));
  }
  EXPECT_EQ(driver.supervisor.state(), ServerState::kStopping);
  driver.Do(event::Timer{});
  driver.Leaves(2);
  driver.Exit(2);
  EXPECT_EQ(driver.Only<action::Exit>().code, 4);
}

TEST(SupervisorStopTest, AStopThatAnExpiredWorkerBeginsHasNoTimeLeftBehind) {
  SupervisorSettings settings = Workers(2);
  settings.crash_loop_limit = 1;
  settings.stop_timeout = absl::ZeroDuration();
  SupervisorDriver driver(settings);
  driver.StartAll();
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  const WorkerId late = driver.incoming(0);
  driver.now += settings.ready_timeout;
  driver.Do(event::Timer{});
  EXPECT_EQ(driver.supervisor.state(), ServerState::kStopping);
  EXPECT_GT(driver.supervisor.next_deadline(), driver.now);
  driver.Exit(2);
  driver.Exit(late);
  EXPECT_EQ(driver.Only<action::Exit>().code, 4);
}

TEST(SupervisorStopTest, FailuresFarApartAndKillsAreNoCrashLoop) {
  SupervisorSettings settings = Workers(1);
  settings.crash_loop_limit = 2;
  SupervisorDriver driver(settings);
  driver.StartAll();
  for (int i = 0; i < 10; ++i) {
    const bool killed = i % 2 == 0;
    driver.Exit(driver.current(0),
                ExitStatus::Signalled(killed ? SIGKILL : SIGSEGV));
    driver.Advance(absl::Seconds(1));
    driver.Up(driver.incoming(0));
    driver.Advance(absl::Seconds(31));
  }
  EXPECT_EQ(driver.supervisor.state(), ServerState::kRunning);
}

TEST(SupervisorStopTest, AReloadThatFailsIsNoCrashLoop) {
  SupervisorSettings settings = Workers(1);
  settings.crash_loop_limit = 1;
  SupervisorDriver driver(settings);
  driver.StartAll();
  driver.Reload(settings);
  driver.Exit(driver.incoming(0), ExitStatus::Exited(1));
  EXPECT_EQ(driver.supervisor.state(), ServerState::kRunning);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome,
            ReloadResult::Outcome::kRolledBack);
}

}  // namespace
}  // namespace baton
