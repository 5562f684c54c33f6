#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/supervisor.h"
#include "master/supervisor_driver.h"

namespace baton {
namespace {

using Outcome = ReloadResult::Outcome;
using testing::HasSubstr;

SupervisorSettings Workers(int count) {
  SupervisorSettings settings;
  settings.workers = count;
  return settings;
}

// Takes the roll through `slot`: the new worker serves, the old one stops.
void RollSlot(SupervisorDriver& driver, int slot) {
  const WorkerId old = driver.current(slot);
  const WorkerId incoming = driver.incoming(slot);
  ASSERT_NE(incoming, 0u) << "slot " << slot;
  driver.Up(incoming);
  EXPECT_EQ(driver.current(slot), incoming);
  if (old != 0) driver.Leaves(old);
}

// The last slot, which nobody serves any more, lingers and is closed.
void Leave(SupervisorDriver& driver, int slot) {
  const SupervisedSlot& left = driver.supervisor.slots().at(slot);
  if (left.sockets.releaser == 0) driver.Advance(absl::Seconds(64));
  driver.Do(event::SocketsReleased{
      left.sockets.releaser, static_cast<SocketsId>(slot),
      left.sockets.release_ticket, /*emptied=*/true});
  EXPECT_EQ(driver.Only<action::CloseSlot>().slot, slot);
}

TEST(SupervisorReloadTest, RollsSlotBySlotAndCommits) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  EXPECT_EQ(driver.supervisor.state(), ServerState::kReloading);

  const action::Fork first = driver.Only<action::Fork>();
  EXPECT_EQ(first.slot, 0);
  EXPECT_EQ(first.generation, 2u);
  driver.Ready(first.worker);
  EXPECT_EQ(driver.Only<action::Serve>().worker, first.worker);
  EXPECT_FALSE(driver.Has<action::StopAccepting>());
  driver.Serving(first.worker);
  EXPECT_EQ(driver.Only<action::StopAccepting>().worker, 1u);
  EXPECT_FALSE(driver.Has<action::Fork>()) << "the slot is not done";
  driver.Leaves(1);
  EXPECT_EQ(driver.Only<action::HandOver>().worker, 1u);

  // Worker 1 drains for as long as it needs, the roll goes on.
  EXPECT_EQ(driver.Only<action::Fork>().slot, 1);
  RollSlot(driver, 1);
  EXPECT_EQ(driver.Only<action::CommitConfig>().generation, 2u);
  EXPECT_EQ(driver.supervisor.state(), ServerState::kRunning);
  EXPECT_EQ(driver.supervisor.generation(), 2u);
  ASSERT_TRUE(driver.supervisor.last_reload().has_value());
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kOk);

  driver.Exit(1);
  driver.Exit(2);
  EXPECT_FALSE(driver.Has<action::Fork>());
  EXPECT_EQ(driver.supervisor.workers().size(), 2u);
}

TEST(SupervisorReloadTest, ARejectedFileChangesNothing) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::ReloadRequested{});
  driver.Do(event::ConfigRejected{2, "line 3: --workers=x"});
  EXPECT_FALSE(driver.Has<action::Fork>());
  EXPECT_THAT(driver.Logged("reload_finished"),
              HasSubstr("outcome=rejected, generation=2, reason=line 3"));
  EXPECT_EQ(driver.supervisor.generation(), 1u);
  EXPECT_EQ(driver.supervisor.state(), ServerState::kRunning);
  // Its number was never given to a worker.
  driver.Reload(Workers(2));
  EXPECT_EQ(driver.Only<action::Fork>().generation, 2u);
}

TEST(SupervisorReloadTest, RequestsDuringAReloadMakeOneMore) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Reload(Workers(1));
  for (int i = 0; i < 10; ++i) {
    driver.Do(event::ReloadRequested{});
    EXPECT_FALSE(driver.Has<action::LoadConfig>());
  }
  RollSlot(driver, 0);
  EXPECT_EQ(driver.Only<action::LoadConfig>().generation, 3u);
  driver.Do(event::ConfigLoaded{3, Workers(1)});
  RollSlot(driver, 0);
  EXPECT_FALSE(driver.Has<action::LoadConfig>());
  EXPECT_EQ(driver.supervisor.generation(), 3u);
}

TEST(SupervisorReloadTest, ARequestDuringTheStartWaitsForIt) {
  SupervisorDriver driver(Workers(1));
  driver.Do(event::Start{});
  driver.Do(event::ReloadRequested{});
  EXPECT_FALSE(driver.Has<action::LoadConfig>());
  driver.Ready(1);
  driver.Serving(1);
  EXPECT_TRUE(driver.Has<action::AnnounceReady>());
  EXPECT_TRUE(driver.Has<action::LoadConfig>());
}

TEST(SupervisorReloadTest, IfTheFirstNewWorkerFailsTheOldOneGoesOn) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  driver.Exit(driver.incoming(0), ExitStatus::Exited(1));
  EXPECT_EQ(driver.Only<action::DropConfig>().generation, 2u);
  EXPECT_FALSE(driver.Has<action::Fork>());
  EXPECT_FALSE(driver.Has<action::StopAccepting>());
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kRolledBack);
  EXPECT_THAT(driver.supervisor.last_reload()->reason,
              HasSubstr("slot 0: exit code 1"));
  EXPECT_EQ(driver.current(0), 1u);
  EXPECT_EQ(driver.supervisor.state(), ServerState::kRunning);
  // The number is used up: a worker had it.
  driver.Reload(Workers(2));
  EXPECT_EQ(driver.Only<action::Fork>().generation, 3u);
}

TEST(SupervisorReloadTest, ANewWorkerThatIsNotReadyInTimeHasFailed) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Reload(Workers(1));
  const WorkerId slow = driver.incoming(0);
  driver.Advance(absl::Seconds(10));
  EXPECT_EQ(driver.Only<action::Kill>().worker, slow);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kRolledBack);
  EXPECT_EQ(driver.current(0), 1u);
}

TEST(SupervisorReloadTest, AFailureInMidRollTakesFinishedSlotsBack) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Reload(Workers(3));
  RollSlot(driver, 0);
  driver.Exit(driver.incoming(1), ExitStatus::Signalled(SIGABRT));
  // Slot 0 goes back to generation 1, by the same handover.
  const action::Fork back = driver.Only<action::Fork>();
  EXPECT_EQ(back.slot, 0);
  EXPECT_EQ(back.generation, 1u);
  EXPECT_FALSE(driver.Has<action::DropConfig>());
  EXPECT_EQ(driver.supervisor.state(), ServerState::kReloading);
  RollSlot(driver, 0);
  EXPECT_EQ(driver.Only<action::DropConfig>().generation, 2u);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kRolledBack);
  EXPECT_THAT(driver.supervisor.last_reload()->reason, HasSubstr("SIGABRT"));
  EXPECT_EQ(driver.supervisor.generation(), 1u);
  for (int slot = 0; slot < 3; ++slot) {
    EXPECT_EQ(driver.supervisor.FindWorker(driver.current(slot))->generation,
              1u);
  }
}

TEST(SupervisorReloadTest, ANewWorkerThatCrashesWhileTheRollGoesOnFailsIt) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  RollSlot(driver, 0);
  const WorkerId discarded = driver.incoming(1);
  driver.Exit(driver.current(0), ExitStatus::Signalled(SIGSEGV));
  EXPECT_EQ(driver.Only<action::StopWorker>().worker, discarded);
  const action::Fork fork = driver.Only<action::Fork>();
  EXPECT_EQ(fork.slot, 0);
  EXPECT_EQ(fork.generation, 1u);
}

TEST(SupervisorReloadTest, ANewWorkerKilledFromOutsideDoesNotFailTheRoll) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  RollSlot(driver, 0);
  driver.Exit(driver.current(0), ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver.Only<action::Fork>().generation, 2u);
  driver.Up(driver.incoming(0));
  RollSlot(driver, 1);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kOk);
}

TEST(SupervisorReloadTest, ForksThatFailForTooLongRollItBack) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.failing_forks = 1'000'000;
  driver.Reload(Workers(1));
  driver.Advance(absl::Seconds(9));
  EXPECT_EQ(driver.supervisor.state(), ServerState::kReloading);
  driver.Advance(absl::Seconds(1));
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kRolledBack);
  EXPECT_THAT(driver.supervisor.last_reload()->reason, HasSubstr("no memory"));
  EXPECT_EQ(driver.current(0), 1u);
}

TEST(SupervisorReloadTest, AForkThatFailsOnceIsTriedAgain) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.failing_forks = 1;
  driver.Reload(Workers(1));
  driver.Advance(absl::Milliseconds(100));
  RollSlot(driver, 0);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kOk);
}

TEST(SupervisorReloadTest, ASlotInBackOffGetsTheNewConfigurationAtOnce) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  for (int i = 0; i < 8; ++i) {
    driver.Exit(driver.current(0), ExitStatus::Exited(1));
    driver.Advance(absl::Seconds(30));
    if (i < 7) driver.Up(driver.incoming(0));
  }
  driver.Exit(driver.incoming(0), ExitStatus::Exited(1));
  EXPECT_FALSE(driver.Has<action::Fork>());
  driver.Reload(Workers(2));
  EXPECT_EQ(driver.Only<action::Fork>().slot, 0);
  EXPECT_EQ(driver.Only<action::Fork>().generation, 2u);
}

TEST(SupervisorReloadTest, ARollBackThatDoesNotComeUpYieldsToANewerRequest) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  RollSlot(driver, 0);
  const WorkerId new_one = driver.current(0);
  driver.Exit(driver.incoming(1), ExitStatus::Exited(1));
  // The old configuration does not start any more either.
  driver.Exit(driver.incoming(0), ExitStatus::Exited(1));
  EXPECT_EQ(driver.current(0), new_one) << "somebody serves";
  EXPECT_EQ(driver.supervisor.state(), ServerState::kReloading);
  driver.Do(event::ReloadRequested{});
  EXPECT_EQ(driver.Only<action::LoadConfig>().generation, 3u);
  driver.Do(event::ConfigLoaded{3, Workers(2)});
  RollSlot(driver, 0);
  RollSlot(driver, 1);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kOk);
  EXPECT_EQ(driver.supervisor.generation(), 3u);
}

TEST(SupervisorReloadTest, MoreWorkersComeAfterTheOthersHaveRolled) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Reload(Workers(3));
  for (int slot = 0; slot < 3; ++slot) {
    EXPECT_EQ(driver.Only<action::Fork>().slot, slot);
    RollSlot(driver, slot);
  }
  EXPECT_EQ(driver.supervisor.generation(), 2u);
  EXPECT_EQ(driver.supervisor.wanted_workers(), 3);
}

TEST(SupervisorReloadTest, FewerWorkersGoFromTheTailOnceTheRestHasRolled) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Reload(Workers(1));
  driver.Up(driver.incoming(0));
  driver.Leaves(1);
  EXPECT_EQ(driver.Only<action::StopAccepting>().worker, 3u);
  driver.Leaves(3);
  EXPECT_EQ(driver.Only<action::StopAccepting>().worker, 2u);
  EXPECT_FALSE(driver.Has<action::CloseSlot>()) << "it may be rolled back";
  driver.Leaves(2);
  EXPECT_TRUE(driver.Has<action::CommitConfig>());
  EXPECT_FALSE(driver.Has<action::CloseSlot>())
      << "handshakes may be under way";
  Leave(driver, 2);
  Leave(driver, 1);
  for (WorkerId id : {1, 2, 3}) driver.Exit(id);
  EXPECT_EQ(driver.supervisor.slots().size(), 1u);
  EXPECT_EQ(driver.supervisor.workers().size(), 1u);
}

TEST(SupervisorReloadTest, ASlotThatIsGoingCanComeBack) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(1));
  RollSlot(driver, 0);
  driver.Leaves(2);
  Leave(driver, 1);
  // Worker 2 still drains.
  driver.Reload(Workers(2));
  RollSlot(driver, 0);
  RollSlot(driver, 1);
  EXPECT_EQ(driver.supervisor.generation(), 3u);
  driver.Exit(2);
  EXPECT_EQ(driver.supervisor.slots().size(), 2u);
  EXPECT_NE(driver.current(1), 0u);
}

TEST(SupervisorReloadTest, AFailedGrowthLeavesTheOldNumber) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Reload(Workers(2));
  RollSlot(driver, 0);
  const WorkerId doomed = driver.incoming(1);
  driver.Exit(doomed, ExitStatus::Exited(1));
  RollSlot(driver, 0);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kRolledBack);
  // Nothing was ever steered to it: it needs not linger.
  Leave(driver, 1);
  EXPECT_EQ(driver.supervisor.slots().size(), 1u);
}

TEST(SupervisorReloadTest, AnOldWorkerThatDoesNotAnswerDoesNotHoldTheRollUp) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Reload(Workers(1));
  driver.Up(driver.incoming(0));
  driver.Advance(Supervisor::kAcceptStopTimeout);
  EXPECT_EQ(driver.Only<action::HandOver>().worker, 1u);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kOk);
  EXPECT_FALSE(driver.Has<action::Kill>());
}

TEST(SupervisorReloadTest, DrainTimeoutEndsADrainingWorker) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  SupervisorSettings settings = Workers(1);
  settings.drain_timeout = absl::Seconds(5);
  driver.Reload(settings);
  driver.Up(driver.incoming(0));
  driver.Leaves(1);
  EXPECT_EQ(driver.Only<action::HandOver>().timeout, absl::Seconds(5));
  driver.Advance(absl::Seconds(5) + Supervisor::kDrainGrace);
  EXPECT_EQ(driver.Only<action::Kill>().worker, 1u);
}

TEST(SupervisorReloadTest, BeyondMaxDrainingTheOldestIsCut) {
  SupervisorSettings settings = Workers(1);
  settings.max_draining = 2;
  SupervisorDriver driver(settings);
  driver.StartAll();
  std::vector<WorkerId> old;
  for (int i = 0; i < 3; ++i) {
    old.push_back(driver.current(0));
    driver.Reload(settings);
    driver.Up(driver.incoming(0));
    EXPECT_EQ(driver.Has<action::StopWorker>(), i == 2);
    if (i == 2) {
      EXPECT_EQ(driver.Only<action::StopWorker>().worker, old[0]);
    }
    driver.Leaves(old.back());
  }
}

TEST(SupervisorReloadTest, ACrashOfASlotYetToRollIsReplacedAsItWas) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  driver.Exit(2, ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver.Only<action::Fork>().slot, 1);
  EXPECT_EQ(driver.Only<action::Fork>().generation, 1u);
  driver.Up(driver.incoming(1));
  RollSlot(driver, 0);
  RollSlot(driver, 1);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kOk);
}

TEST(SupervisorReloadTest, TheOldWorkerDyingMeanwhileLeavesTheNewOneAlone) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Reload(Workers(1));
  driver.Exit(1, ExitStatus::Signalled(SIGSEGV));
  EXPECT_FALSE(driver.Has<action::Fork>()) << "one is on its way";
  driver.Up(driver.incoming(0));
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kOk);
}

}  // namespace
}  // namespace baton
