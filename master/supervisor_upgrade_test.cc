#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/supervisor.h"
#include "master/supervisor_driver.h"

namespace baton {
namespace {

using ExecTo = Supervisor::ExecTo;
using Outcome = ReloadResult::Outcome;
using testing::HasSubstr;
using testing::IsEmpty;

SupervisorSettings TwoWorkers() {
  SupervisorSettings settings;
  settings.workers = 2;
  settings.probation = absl::Seconds(2);
  return settings;
}

class SupervisorUpgradeTest : public testing::Test {
 protected:
  SupervisorUpgradeTest() : driver_(TwoWorkers()) { driver_.StartAll(); }

  // To the stage in which the process is to become the other binary.
  void ProveBinary() {
    driver_.Do(event::UpgradeRequested{});
    EXPECT_TRUE(driver_.Has<action::CheckBinary>());
    driver_.Do(event::BinaryChecked{});
    EXPECT_EQ(driver_.Only<action::StartCanary>().generation, 2u);
    driver_.Do(event::CanaryReady{});
    driver_.Advance(absl::Seconds(2));
    EXPECT_TRUE(driver_.Has<action::StopCanary>());
    driver_.Do(event::CanaryEnded{true, "exit code 0"});
    EXPECT_EQ(driver_.supervisor.exec_wanted(), ExecTo::kNewBinary);
  }

  void BecomeOther() {
    const absl::StatusOr<SupervisorState> state =
        SupervisorStateFromJson(ToJson(driver_.supervisor.State()));
    ASSERT_TRUE(state.ok()) << state.status();
    driver_.supervisor = Supervisor(*state);
    driver_.Do(event::TakenUp{});
  }

  // Ends in the new binary, which has loaded the configuration.
  void TakeUp(SupervisorSettings settings = TwoWorkers()) {
    ProveBinary();
    BecomeOther();
    const Generation generation = driver_.Only<action::LoadConfig>().generation;
    driver_.Do(event::ConfigLoaded{generation, settings});
  }

  void RollSlot(int slot) {
    const WorkerId old = driver_.current(slot);
    driver_.Up(driver_.incoming(slot));
    driver_.Leaves(old);
  }

  ReloadResult Result() const {
    return driver_.supervisor.last_reload().value_or(ReloadResult{});
  }

  SupervisorDriver driver_;
};

TEST_F(SupervisorUpgradeTest, RollsToTheNewBinaryWithoutAnotherProbation) {
  TakeUp();
  EXPECT_EQ(driver_.supervisor.state(), ServerState::kUpgrading);
  EXPECT_EQ(driver_.Only<action::Fork>().generation, 2u);
  RollSlot(0);
  RollSlot(1);
  EXPECT_TRUE(driver_.Has<action::CommitConfig>());
  EXPECT_EQ(Result().outcome, Outcome::kOk);
  EXPECT_TRUE(Result().upgrade);
  EXPECT_EQ(driver_.supervisor.state(), ServerState::kRunning);
  EXPECT_EQ(driver_.supervisor.generation(), 2u);
  EXPECT_THAT(driver_.Logged("upgrade_finished"), HasSubstr("outcome=ok"));
}

TEST_F(SupervisorUpgradeTest, RefusesABinaryThatSaysNo) {
  driver_.Do(event::UpgradeRequested{});
  driver_.Do(event::BinaryChecked{"it is no server"});
  EXPECT_FALSE(driver_.Has<action::StartCanary>());
  EXPECT_EQ(Result().outcome, Outcome::kRejected);
  EXPECT_EQ(Result().reason, "it is no server");
  EXPECT_EQ(driver_.supervisor.state(), ServerState::kRunning);
}

TEST_F(SupervisorUpgradeTest, ACanaryThatDiesIsTheEndOfIt) {
  driver_.Do(event::UpgradeRequested{});
  driver_.Do(event::BinaryChecked{});
  driver_.Do(event::CanaryReady{});
  driver_.Advance(absl::Seconds(1));
  driver_.Do(event::CanaryEnded{false, "SIGSEGV"});
  EXPECT_EQ(Result().outcome, Outcome::kRolledBack);
  EXPECT_THAT(Result().reason, HasSubstr("SIGSEGV"));
  EXPECT_EQ(driver_.supervisor.exec_wanted(), std::nullopt);
  // A worker has had that number.
  driver_.Do(event::ReloadRequested{});
  EXPECT_EQ(driver_.Only<action::LoadConfig>().generation, 3u);
}

TEST_F(SupervisorUpgradeTest, ACanaryThatIsNotReadyInTimeIsKilled) {
  driver_.Do(event::UpgradeRequested{});
  driver_.Do(event::BinaryChecked{});
  driver_.Advance(absl::Seconds(10));
  EXPECT_TRUE(driver_.Has<action::KillTrial>());
  EXPECT_EQ(Result().outcome, Outcome::kRolledBack);
}

TEST_F(SupervisorUpgradeTest, ACanaryThatDoesNotEndIsStuck) {
  driver_.Do(event::UpgradeRequested{});
  driver_.Do(event::BinaryChecked{});
  driver_.Do(event::CanaryReady{});
  driver_.Advance(absl::Seconds(2) + Supervisor::kCanaryGrace);
  EXPECT_TRUE(driver_.Has<action::KillTrial>());
  EXPECT_EQ(Result().outcome, Outcome::kRolledBack);
  EXPECT_THAT(Result().reason, HasSubstr("stuck"));
}

TEST_F(SupervisorUpgradeTest, AnExecThatFailsChangesNothing) {
  ProveBinary();
  driver_.Do(event::ExecFailed{"execveat: no memory"});
  EXPECT_EQ(Result().outcome, Outcome::kRolledBack);
  EXPECT_EQ(driver_.supervisor.state(), ServerState::kRunning);
  EXPECT_EQ(driver_.supervisor.exec_wanted(), std::nullopt);
}

TEST_F(SupervisorUpgradeTest, GoesBackWhenTheNewBinaryCannotLoad) {
  ProveBinary();
  BecomeOther();
  driver_.Do(event::ConfigRejected{2, "bind: in use"});
  EXPECT_EQ(driver_.supervisor.exec_wanted(), ExecTo::kOldBinary);
  BecomeOther();
  EXPECT_THAT(driver_.All<action::Fork>(), IsEmpty());
  EXPECT_EQ(Result().outcome, Outcome::kRolledBack);
  EXPECT_EQ(Result().reason, "bind: in use");
  EXPECT_EQ(driver_.supervisor.state(), ServerState::kRunning);
}

TEST_F(SupervisorUpgradeTest, GoesBackFromTheMiddleOfARoll) {
  TakeUp();
  RollSlot(0);
  const WorkerId failing = driver_.incoming(1);
  driver_.Exit(failing, ExitStatus::Signalled(SIGSEGV));
  EXPECT_THAT(driver_.All<action::Fork>(), IsEmpty());
  EXPECT_EQ(driver_.supervisor.exec_wanted(), ExecTo::kOldBinary);
  BecomeOther();
  // The slot that was done is rolled back, the other one never was.
  EXPECT_EQ(driver_.Only<action::Fork>().slot, 0);
  EXPECT_EQ(driver_.Only<action::Fork>().generation, 1u);
  RollSlot(0);
  EXPECT_EQ(driver_.Only<action::DropConfig>().generation, 2u);
  EXPECT_EQ(Result().outcome, Outcome::kRolledBack);
  EXPECT_THAT(Result().reason, HasSubstr("SIGSEGV"));
  EXPECT_EQ(driver_.supervisor.generation(), 1u);
}

TEST_F(SupervisorUpgradeTest, TriesToGoBackUntilItCan) {
  TakeUp();
  driver_.Exit(driver_.incoming(0), ExitStatus::Exited(1));
  driver_.Do(event::ExecFailed{"execveat: no memory"});
  EXPECT_EQ(driver_.supervisor.exec_wanted(), std::nullopt);
  driver_.Advance(Supervisor::kExecRetry);
  EXPECT_EQ(driver_.supervisor.exec_wanted(), ExecTo::kOldBinary);
}

TEST_F(SupervisorUpgradeTest, ReplacesADeadWorkerByOneOfItsOwn) {
  TakeUp();
  // Its turn would be the second.
  driver_.Exit(driver_.current(1), ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver_.Only<action::Fork>().slot, 1);
  EXPECT_EQ(driver_.Only<action::Fork>().generation, 2u);
}

TEST_F(SupervisorUpgradeTest, ReadsTheConfigurationToo) {
  driver_.Do(event::UpgradeRequested{});
  driver_.Do(event::ReloadRequested{});
  EXPECT_FALSE(driver_.Has<action::LoadConfig>());
  driver_.Do(event::BinaryChecked{"no"});
  // It was asked for after the upgrade had begun.
  EXPECT_TRUE(driver_.Has<action::LoadConfig>());
}

TEST_F(SupervisorUpgradeTest, AsksForScalingAndReloadsWaitForItsEnd) {
  ProveBinary();
  driver_.Do(event::ScaleRequested{1});
  EXPECT_FALSE(driver_.Has<action::OpenSlots>());
  BecomeOther();
  driver_.Do(event::ConfigLoaded{2, TwoWorkers()});
  RollSlot(0);
  RollSlot(1);
  EXPECT_EQ(driver_.Only<action::OpenSlots>().slots, 3);
}

TEST_F(SupervisorUpgradeTest, AStopEndsIt) {
  driver_.Do(event::UpgradeRequested{});
  driver_.Do(event::TerminateRequested{});
  EXPECT_TRUE(driver_.Has<action::KillTrial>());
  EXPECT_EQ(Result().outcome, Outcome::kRejected);
  EXPECT_EQ(driver_.supervisor.state(), ServerState::kStopping);
  // What it had asked for is answered late.
  driver_.Do(event::BinaryChecked{});
  EXPECT_FALSE(driver_.Has<action::StartCanary>());
}

TEST_F(SupervisorUpgradeTest, AStopInTheNewBinaryDoesNotGoBack) {
  TakeUp();
  driver_.Do(event::TerminateRequested{});
  driver_.Exit(driver_.incoming(0), ExitStatus::Exited(1));
  EXPECT_EQ(driver_.supervisor.exec_wanted(), std::nullopt);
  EXPECT_EQ(driver_.supervisor.state(), ServerState::kStopping);
}

TEST(SupervisorStateTest, RefusesWhatMakesNoSense) {
  SupervisorState state;
  EXPECT_TRUE(SupervisorStateFromJson(ToJson(state)).ok());
  state.settings.workers = 0;
  EXPECT_FALSE(SupervisorStateFromJson(ToJson(state)).ok());
  state.settings.workers = 1;
  SupervisedWorker& worker = state.workers.emplace_back();
  worker.id = 1;
  worker.slot = 0;
  EXPECT_FALSE(SupervisorStateFromJson(ToJson(state)).ok()) << "no such slot";
  state.slots.resize(1);
  EXPECT_TRUE(SupervisorStateFromJson(ToJson(state)).ok());
  state.slots[0].current = 2;
  EXPECT_FALSE(SupervisorStateFromJson(ToJson(state)).ok()) << "nobody";
  EXPECT_FALSE(SupervisorStateFromJson({{"slots", "three"}}).ok());
}

TEST(SupervisorStateTest, TakesTheFieldsThatItKnows) {
  const absl::StatusOr<SupervisorState> state =
      SupervisorStateFromJson({{"generation", 7}, {"of_a_later_build", "x"}});
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->generation, 7u);
  EXPECT_EQ(state->last_worker, 0u);
}

}  // namespace
}  // namespace baton
