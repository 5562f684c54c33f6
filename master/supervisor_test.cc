// Start, deaths and replacements. Reload and stop have files of their own.

#include "master/supervisor.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/supervisor_driver.h"

namespace baton {
namespace {

using testing::HasSubstr;

SupervisorSettings Workers(int count) {
  SupervisorSettings settings;
  settings.workers = count;
  return settings;
}

// --- first start

TEST(SupervisorStartTest, ForksOneWorkerPerSlot) {
  SupervisorDriver driver(Workers(3));
  driver.Do(event::Start{});
  const auto forks = driver.All<action::Fork>();
  ASSERT_EQ(forks.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(forks[i].slot, i);
    EXPECT_EQ(forks[i].generation, 1u);
  }
  EXPECT_EQ(driver.supervisor.state(), ServerState::kStarting);
}

TEST(SupervisorStartTest, NobodyServesBeforeAllAreReady) {
  SupervisorDriver driver(Workers(2));
  driver.Do(event::Start{});
  driver.Ready(1);
  EXPECT_FALSE(driver.Has<action::Serve>());
  driver.Ready(2);
  EXPECT_EQ(driver.All<action::Serve>().size(), 2u);
  EXPECT_FALSE(driver.Has<action::AnnounceReady>());
  driver.Serving(2);
  EXPECT_FALSE(driver.Has<action::AnnounceReady>());
  driver.Serving(1);
  EXPECT_TRUE(driver.Has<action::AnnounceReady>());
  EXPECT_EQ(driver.supervisor.state(), ServerState::kRunning);
}

TEST(SupervisorStartTest, ADeathBeforeReadyEndsItWithCode1) {
  SupervisorDriver driver(Workers(2));
  driver.Do(event::Start{});
  driver.Ready(1);
  driver.Exit(2, ExitStatus::Exited(7));
  EXPECT_THAT(driver.Logged("start_failed"), HasSubstr("slot 1"));
  EXPECT_THAT(driver.Logged("start_failed"), HasSubstr("exit code 7"));
  EXPECT_EQ(driver.Only<action::StopWorker>().worker, 1u);
  EXPECT_FALSE(driver.Has<action::Exit>());
  driver.Exit(1);
  EXPECT_EQ(driver.Only<action::Exit>().code, 1);
}

TEST(SupervisorStartTest, AWorkerThatIsNeverReadyEndsItWithCode1) {
  SupervisorDriver driver(Workers(2));
  driver.Do(event::Start{});
  driver.Ready(1);
  driver.Advance(absl::Seconds(10) - absl::Nanoseconds(1));
  EXPECT_TRUE(driver.actions.empty());
  driver.Advance(absl::Nanoseconds(1));
  EXPECT_THAT(driver.Logged("start_failed"),
              HasSubstr("slot 1 was not ready within ready_timeout"));
  EXPECT_EQ(driver.All<action::StopWorker>().size(), 2u);
  driver.Exit(1);
  driver.Advance(absl::Seconds(1));
  EXPECT_EQ(driver.Only<action::Kill>().worker, 2u);
  driver.Exit(2, ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver.Only<action::Exit>().code, 1);
}

TEST(SupervisorStartTest, FailedForksAreTriedAgain) {
  SupervisorDriver driver(Workers(2));
  driver.failing_forks = 5;
  driver.Do(event::Start{});
  EXPECT_THAT(driver.Logged("fork_failed"), HasSubstr("no memory"));
  driver.Advance(absl::Seconds(1));
  EXPECT_EQ(driver.failing_forks, 0);
  const WorkerId first = driver.incoming(0), second = driver.incoming(1);
  driver.Ready(first);
  driver.Ready(second);
  driver.Serving(first);
  driver.Serving(second);
  EXPECT_TRUE(driver.Has<action::AnnounceReady>());
}

TEST(SupervisorStartTest, ForksThatNeverSucceedEndItWithCode1) {
  SupervisorDriver driver(Workers(2));
  driver.failing_forks = 1'000'000;
  driver.Do(event::Start{});
  driver.Advance(absl::Seconds(10));
  EXPECT_THAT(driver.Logged("start_failed"), HasSubstr("fork: no memory"));
  EXPECT_EQ(driver.Only<action::Exit>().code, 1);
}

// --- deaths

TEST(SupervisorTest, AWorkerKilledFromOutsideIsReplacedAtOnceEachTime) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  for (int i = 0; i < 100; ++i) {
    driver.Exit(driver.current(1), ExitStatus::Signalled(SIGKILL));
    const action::Fork fork = driver.Only<action::Fork>();
    EXPECT_EQ(fork.slot, 1);
    EXPECT_EQ(fork.generation, 1u);
    driver.Up(fork.worker);
    EXPECT_EQ(driver.current(1), fork.worker);
  }
  EXPECT_EQ(driver.supervisor.slots()[1].restarts, 100u);
}

TEST(SupervisorTest, ACrashSoonAfterTheStartWaitsTwiceAsLongEachTime) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  for (int ms : {100, 200, 400, 800}) {
    driver.Exit(driver.current(0), ExitStatus::Signalled(SIGSEGV));
    EXPECT_FALSE(driver.Has<action::Fork>());
    driver.Advance(absl::Milliseconds(ms - 1));
    EXPECT_FALSE(driver.Has<action::Fork>());
    driver.Advance(absl::Milliseconds(1));
    driver.Up(driver.Only<action::Fork>().worker);
  }
}

TEST(SupervisorTest, AMinuteOfHealthForgivesEarlierCrashes) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  for (int i = 0; i < 5; ++i) {
    driver.Exit(driver.current(0), ExitStatus::Exited(1));
    driver.Advance(absl::Seconds(30));
    driver.Up(driver.incoming(0));
  }
  driver.Advance(absl::Seconds(60));
  driver.Exit(driver.current(0), ExitStatus::Exited(1));
  driver.Up(driver.Only<action::Fork>().worker);
  driver.Exit(driver.current(0), ExitStatus::Exited(1));
  EXPECT_EQ(driver.supervisor.next_deadline(),
            driver.now + absl::Milliseconds(100));
}

TEST(SupervisorTest, ToExitUnaskedIsAFaultEvenWithCode0) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Exit(1, ExitStatus::Exited(0));
  EXPECT_FALSE(driver.Has<action::Fork>());
  EXPECT_THAT(driver.Logged("worker_exited"), HasSubstr("exit code 0"));
}

TEST(SupervisorTest, AReplacementThatDiesBeforeReadyWaits) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  driver.Exit(driver.incoming(0), ExitStatus::Exited(1));
  EXPECT_FALSE(driver.Has<action::Fork>());
  driver.Advance(absl::Milliseconds(100));
  EXPECT_TRUE(driver.Has<action::Fork>());
}

TEST(SupervisorTest, KillsBeforeReadyAreForgottenOnceOneServes) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  for (int round = 0; round < 20; ++round) {
    driver.Exit(driver.current(0), ExitStatus::Signalled(SIGKILL));
    driver.Exit(driver.incoming(0), ExitStatus::Signalled(SIGKILL));
    driver.Advance(absl::Milliseconds(100));
    driver.Up(driver.Only<action::Fork>().worker);
  }
}

TEST(SupervisorTest, AReplacementThatIsNotReadyInTimeIsKilledAndReplaced) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  const WorkerId slow = driver.incoming(0);
  driver.Advance(absl::Seconds(10));
  EXPECT_EQ(driver.Only<action::Kill>().worker, slow);
  // The next one does not wait for the exit: it may be long in coming.
  driver.Advance(absl::Milliseconds(100));
  EXPECT_EQ(driver.Only<action::Fork>().slot, 0);
  driver.Up(driver.incoming(0));
  driver.Exit(slow, ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver.supervisor.workers().size(), 2u);
}

TEST(SupervisorTest, AWorkerWhoseChannelBreaksIsKilledUnlessItExits) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::WorkerBroken{1, "channel closed"});
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  EXPECT_TRUE(driver.Has<action::Fork>());
  driver.Advance(Supervisor::kBrokenGrace);
  EXPECT_FALSE(driver.Has<action::Kill>());

  driver.Do(event::WorkerBroken{2, "a message of 3 bytes"});
  driver.Advance(Supervisor::kBrokenGrace);
  EXPECT_EQ(driver.Only<action::Kill>().worker, 2u);
  EXPECT_THAT(driver.Logged("worker_killed"), HasSubstr("3 bytes"));
  driver.Advance(absl::Milliseconds(100));
  EXPECT_EQ(driver.Only<action::Fork>().slot, 1);
}

TEST(SupervisorTest, FailedForksBackOffWhileTheRestGoesOn) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.failing_forks = 3;
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  driver.Advance(absl::Milliseconds(100 + 200 + 400));
  EXPECT_EQ(driver.failing_forks, 0);
  EXPECT_NE(driver.incoming(0), 0u);
  EXPECT_EQ(driver.current(1), 2u);
}

// --- what a worker claims

TEST(SupervisorTest, ClaimsThatDoNotFitTheWorkersPhaseAreIgnored) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  for (const Event& claim : std::vector<Event>{
           event::WorkerReady{1}, event::WorkerServing{1},
           event::AcceptStopped{1}, event::WorkerDrained{1, 99},
           event::WorkerReady{77}, event::WorkerServing{77},
           event::AcceptStopped{77}, event::WorkerDrained{77, 99},
           event::ReplaceRequested{77}, event::WorkerBroken{77, "x"}}) {
    driver.Do(claim);
    EXPECT_TRUE(driver.actions.empty());
  }
  EXPECT_EQ(driver.current(0), 1u);
}

TEST(SupervisorTest, AWorkerThatAsksIsReplacedWithoutAGap) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Advance(absl::Seconds(5));
  driver.Do(event::ReplaceRequested{2});
  const action::Fork fork = driver.Only<action::Fork>();
  EXPECT_EQ(fork.slot, 1);
  EXPECT_EQ(fork.generation, 1u);
  driver.Do(event::ReplaceRequested{2});
  EXPECT_TRUE(driver.actions.empty());
  driver.Ready(fork.worker);
  EXPECT_FALSE(driver.Has<action::StopAccepting>());
  driver.Serving(fork.worker);
  EXPECT_EQ(driver.Only<action::StopAccepting>().worker, 2u);
  EXPECT_FALSE(driver.Only<action::StopAccepting>().shut_down_listeners);
  driver.Leaves(2);
  EXPECT_EQ(driver.Only<action::HandOver>().timeout, absl::InfiniteDuration());
  driver.Exit(2);
  EXPECT_FALSE(driver.Has<action::Fork>());
}

TEST(SupervisorTest, IfTheReplacementFailsTheOldOneGoesOnAndItIsTriedAgain) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Advance(absl::Seconds(5));
  driver.Do(event::ReplaceRequested{1});
  driver.Exit(driver.incoming(0), ExitStatus::Exited(1));
  EXPECT_EQ(driver.current(0), 1u);
  driver.Advance(absl::Milliseconds(100));
  EXPECT_TRUE(driver.Has<action::Fork>());
}

TEST(SupervisorTest, WorkersThatAskAllTheTimeDoNotMakeItForkAllTheTime) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  int forks = 0;
  for (int ms = 0; ms < 10'000; ms += 10) {
    driver.Do(event::ReplaceRequested{driver.current(0)});
    if (driver.Has<action::Fork>()) ++forks;
    driver.Advance(absl::Milliseconds(10));
    if (driver.Has<action::Fork>()) ++forks;
    if (driver.incoming(0) != 0) driver.Up(driver.incoming(0));
  }
  EXPECT_LE(forks, 20);
  EXPECT_GE(forks, 15);
}

}  // namespace
}  // namespace baton
