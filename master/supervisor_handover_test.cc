// Who takes the connections of workers that leave, and when a worker does.

#include <csignal>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/supervisor.h"
#include "master/supervisor_driver.h"

namespace baton {
namespace {

using Outcome = ReloadResult::Outcome;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

SupervisorSettings Workers(int count) {
  SupervisorSettings settings;
  settings.workers = count;
  return settings;
}

// Worker 1 was replaced by 3, in slot 0 of two, and has stopped accepting.
class WithSuccessorTest : public testing::Test {
 protected:
  WithSuccessorTest() : driver_(Workers(2)) {
    driver_.StartAll();
    driver_.Do(event::ReplaceRequested{1});
    driver_.Advance(Supervisor::kMinReplaceAge);
    driver_.Up(3);
    driver_.Do(event::AcceptStopped{1});
  }
  void BreakHandover() {
    driver_.Do(event::HandoverBroken{
        1, driver_.supervisor.FindWorker(1)->handover_round});
  }

  SupervisorDriver driver_;
};

TEST_F(WithSuccessorTest, ConnectionsGoToWhoeverServesInTheSlot) {
  const auto hand_over = driver_.Only<action::HandOver>();
  EXPECT_EQ(hand_over.worker, 1u);
  EXPECT_THAT(hand_over.to, ElementsAre(3));
  EXPECT_EQ(hand_over.timeout, absl::InfiniteDuration());
  EXPECT_FALSE(driver_.Has<action::Drain>());
  driver_.Do(event::ConnectionsPassed{1, 7});
  EXPECT_THAT(driver_.Logged("connections_passed"),
              HasSubstr("connections_left=7"));
  driver_.Do(event::WorkerDrained{1, 0});
  driver_.Exit(1);
  EXPECT_EQ(driver_.supervisor.workers().size(), 2u);
}

TEST_F(WithSuccessorTest, WithoutASuccessorItServesOn) {
  driver_.Exit(3, ExitStatus::Signalled(SIGKILL));
  EXPECT_FALSE(driver_.Has<action::HandOver>()) << "there is nobody to name";
  EXPECT_FALSE(driver_.Has<action::StopWorker>());
  driver_.Up(driver_.incoming(0));
  EXPECT_THAT(driver_.Only<action::HandOver>().to,
              ElementsAre(driver_.current(0)));
}

TEST_F(WithSuccessorTest, ABrokenHandoverIsToldAgainAfterAWhile) {
  const uint64_t round = driver_.Only<action::HandOver>().round;
  driver_.Do(event::HandoverBroken{1, round + 1000});
  driver_.Do(event::HandoverBroken{2, round});
  driver_.Advance(2 * Supervisor::kHandoverRetry);
  EXPECT_FALSE(driver_.Has<action::HandOver>()) << "no round of theirs";
  driver_.Do(event::HandoverBroken{1, round});
  EXPECT_FALSE(driver_.Has<action::HandOver>());
  driver_.Advance(Supervisor::kHandoverRetry);
  const auto again = driver_.Only<action::HandOver>();
  EXPECT_THAT(again.to, ElementsAre(3));
  EXPECT_GT(again.round, round);
}

TEST_F(WithSuccessorTest, AStuckOrStoppedSuccessorIsNone) {
  for (const Impairment what : {Impairment::kStuck, Impairment::kStopped}) {
    driver_.Do(event::WorkerImpaired{3, what, true});
    BreakHandover();
    driver_.Advance(Supervisor::kHandoverRetry);
    for (const auto& told : driver_.All<action::HandOver>())
      EXPECT_THAT(told.to, IsEmpty());
    driver_.Do(event::WorkerImpaired{3, what, false});
    EXPECT_THAT(driver_.Only<action::HandOver>().to, ElementsAre(3));
  }
}

TEST_F(WithSuccessorTest, AFullSuccessorTakesThem) {
  driver_.Do(event::WorkerImpaired{3, Impairment::kFull, true});
  BreakHandover();
  driver_.Advance(Supervisor::kHandoverRetry);
  EXPECT_THAT(driver_.Only<action::HandOver>().to, ElementsAre(3));
}

TEST_F(WithSuccessorTest, TheNextSuccessorIsToldToo) {
  driver_.Do(event::ConnectionsPassed{1, 1});
  driver_.Do(event::ReplaceRequested{3});
  driver_.Advance(Supervisor::kMinReplaceAge);
  driver_.Up(4);
  std::vector<WorkerId> told;
  for (const auto& hand_over : driver_.All<action::HandOver>()) {
    told.push_back(hand_over.worker);
    EXPECT_THAT(hand_over.to, ElementsAre(4));
  }
  EXPECT_THAT(told, ElementsAre(1)) << "3 still accepts";
  driver_.Do(event::AcceptStopped{3});
  EXPECT_EQ(driver_.Only<action::HandOver>().worker, 3u);
}

TEST_F(WithSuccessorTest, AStopEndsIt) {
  driver_.Do(event::TerminateRequested{});
  EXPECT_EQ(driver_.All<action::Drain>().size(), 1u) << "the others retire";
  EXPECT_EQ(driver_.Only<action::Drain>().worker, 1u);
  BreakHandover();
  driver_.Advance(Supervisor::kHandoverRetry);
  EXPECT_FALSE(driver_.Has<action::HandOver>());
}

TEST_F(WithSuccessorTest, WhatPinsItIsInTheLogWhenItIsCut) {
  driver_.Do(event::ConnectionsPassed{1, 2});
  driver_.Do(event::WorkerPinned{
      1, {2, driver_.now - absl::Seconds(90), "login", "192.0.2.7:1234"}});
  SupervisorSettings one = Workers(2);
  one.max_draining = 1;
  driver_.Reload(one);
  driver_.Up(driver_.incoming(0));
  EXPECT_EQ(driver_.Only<action::StopWorker>().worker, 1u);
  EXPECT_THAT(
      driver_.Logged("worker_cut"),
      AllOf(HasSubstr("reason=max_draining"), HasSubstr("connections=2"),
            HasSubstr("oldest_s=90"), HasSubstr("oldest_service=login"),
            HasSubstr("oldest_peer=192.0.2.7:1234")));
  driver_.Do(event::WorkerDrained{1, 2});
  EXPECT_EQ(driver_.supervisor.cut_while_leaving(), 2u);
}

TEST(SupervisorHandoverTest, OfASlotThatGoesTheyGoToAllOthers) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Do(event::ScaleRequested{-1});
  EXPECT_EQ(driver.Only<action::StopAccepting>().worker, 3u);
  driver.Do(event::AcceptStopped{3});
  EXPECT_THAT(driver.Only<action::HandOver>().to, ElementsAre(1, 2));
  EXPECT_TRUE(driver.supervisor.scaling()) << "until they have gone";
  // One of them dies: the other one is there.
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  EXPECT_THAT(driver.Only<action::HandOver>().to, ElementsAre(2));
  driver.Do(event::ConnectionsPassed{3, 0});
  EXPECT_EQ(driver.Logged("scale_finished"), "");
  driver.Up(driver.incoming(0));
  EXPECT_FALSE(driver.supervisor.scaling());
}

TEST(SupervisorHandoverTest, TheRollWaitsUntilIdleConnectionsHaveGone) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  driver.Up(driver.incoming(0));
  driver.Do(event::AcceptStopped{1});
  EXPECT_FALSE(driver.Has<action::Fork>());
  driver.Do(event::ConnectionsPassed{1, 3});
  EXPECT_EQ(driver.Only<action::Fork>().slot, 1);
}

TEST(SupervisorHandoverTest, ButNotForEver) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  driver.Up(driver.incoming(0));
  driver.Do(event::AcceptStopped{1});
  driver.Advance(Supervisor::kPassTimeout);
  EXPECT_FALSE(driver.Has<action::Kill>());
  EXPECT_NE(driver.Logged("worker_slow_to_hand_over"), "");
  EXPECT_EQ(driver.Only<action::Fork>().slot, 1);
}

TEST(SupervisorHandoverTest, ADrainTimeoutHoldsForPassingToo) {
  SupervisorSettings settings = Workers(1);
  settings.drain_timeout = Supervisor::kPassTimeout - Supervisor::kDrainGrace;
  SupervisorDriver driver(settings);
  driver.StartAll();
  driver.Reload(settings);
  driver.Up(driver.incoming(0));
  driver.Do(event::AcceptStopped{1});
  EXPECT_EQ(driver.Only<action::HandOver>().timeout, settings.drain_timeout);
  driver.Advance(Supervisor::kPassTimeout);
  EXPECT_EQ(driver.Only<action::Kill>().worker, 1u);
}

TEST(SupervisorHandoverTest, WhatADrainTimeoutCutsIsInTheLog) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Reload(Workers(1));
  driver.Up(driver.incoming(0));
  driver.Leaves(1);
  driver.Do(event::WorkerPinned{1, {1, driver.now, "echo", "::1"}});
  driver.Do(event::WorkerDrained{1, ~uint64_t{0}});
  EXPECT_THAT(
      driver.Logged("worker_cut"),
      AllOf(HasSubstr("reason=drain_timeout"), HasSubstr("oldest_peer=::1")));
  EXPECT_EQ(driver.supervisor.cut_while_leaving(),
            Supervisor::kMostConnectionsCut);
}

TEST(SupervisorHandoverTest, InARollBackTheyComeBack) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Reload(Workers(2));
  const WorkerId first = driver.incoming(0);
  driver.Up(first);
  driver.Leaves(1);
  driver.Exit(driver.incoming(1), ExitStatus::Exited(1));
  const WorkerId again = driver.incoming(0);
  EXPECT_EQ(driver.supervisor.FindWorker(again)->generation, 1u);
  driver.Up(again);
  driver.Do(event::AcceptStopped{first});
  EXPECT_EQ(driver.Only<action::HandOver>().worker, first);
  EXPECT_THAT(driver.Only<action::HandOver>().to, ElementsAre(again));
}

// --- recycling

TEST(SupervisorRecycleTest, OneAfterTheOther) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Advance(absl::Minutes(1));
  for (WorkerId id : {1, 2, 3})
    driver.Do(event::RecycleRequested{id, "max_requests"});
  EXPECT_FALSE(driver.Has<action::Fork>()) << "the first one is on its way";
  const WorkerId next = driver.incoming(0);
  driver.Up(next);
  driver.Do(event::AcceptStopped{1});
  EXPECT_FALSE(driver.Has<action::Fork>()) << "it still passes connections";
  driver.Do(event::ConnectionsPassed{1, 0});
  EXPECT_EQ(driver.Only<action::Fork>().slot, 1);
  driver.Up(driver.incoming(1));
  driver.Leaves(2);
  EXPECT_EQ(driver.Only<action::Fork>().slot, 2);
}

// It is not worth anybody's request.
TEST(SupervisorRecycleTest, NobodyIsCutForIt) {
  SupervisorSettings settings = Workers(1);
  settings.max_draining = 1;
  SupervisorDriver driver(settings);
  driver.StartAll();
  driver.Do(event::RecycleRequested{1, "max_requests"});
  driver.Advance(Supervisor::kMinReplaceAge);
  driver.Up(2);
  driver.Leaves(1);  // but a connection keeps it
  driver.Do(event::RecycleRequested{2, "max_requests"});
  driver.Advance(absl::Minutes(1));
  EXPECT_EQ(driver.incoming(0), 0u);
  driver.Do(event::WorkerDrained{1, 0});
  EXPECT_NE(driver.incoming(0), 0u);
}

TEST(SupervisorRecycleTest, AReloadGoesBeforeIt) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Advance(absl::Minutes(1));
  driver.Reload(Workers(2));
  driver.Do(event::RecycleRequested{2, "max_rss"});
  EXPECT_EQ(driver.incoming(1), 0u);
  for (int slot : {0, 1}) {
    const WorkerId old = driver.current(slot);
    driver.Up(driver.incoming(slot));
    driver.Leaves(old);
  }
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kOk);
  EXPECT_FALSE(driver.Has<action::Fork>()) << "who asked is gone";
}

TEST(SupervisorRecycleTest, WhoLeavesIsNotRecycled) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Advance(absl::Minutes(1));
  driver.Do(event::ReplaceRequested{1});
  driver.Do(event::RecycleRequested{1, "max_requests"});
  EXPECT_EQ(driver.Logged("worker_recycle_requested"), "");
}

// --- probation

SupervisorSettings WithProbation(int workers) {
  SupervisorSettings settings = Workers(workers);
  settings.probation = absl::Seconds(2);
  return settings;
}

TEST(SupervisorProbationTest, TheFirstNewWorkerIsWatchedBeforeItAccepts) {
  SupervisorDriver driver(WithProbation(2));
  driver.StartAll();
  driver.Reload(WithProbation(2));
  const WorkerId first = driver.incoming(0);
  driver.Ready(first);
  EXPECT_FALSE(driver.Has<action::Serve>());
  EXPECT_TRUE(
      driver.supervisor.OnProbation(*driver.supervisor.FindWorker(first)));
  driver.Advance(absl::Seconds(2));
  EXPECT_EQ(driver.Only<action::Serve>().worker, first);
  driver.Serving(first);
  driver.Leaves(1);
  driver.Ready(driver.incoming(1));
  EXPECT_TRUE(driver.Has<action::Serve>()) << "the others are not";
}

TEST(SupervisorProbationTest, WhoDiesThenHasHurtNobody) {
  for (const ExitStatus status :
       {ExitStatus::Signalled(SIGSEGV), ExitStatus::Signalled(SIGKILL),
        ExitStatus::Exited(0)}) {
    SupervisorDriver driver(WithProbation(2));
    driver.StartAll();
    driver.Reload(WithProbation(2));
    driver.Ready(driver.incoming(0));
    driver.Exit(driver.incoming(0), status);
    EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kRolledBack);
    EXPECT_FALSE(driver.Has<action::StopAccepting>());
    EXPECT_EQ(driver.current(0), 1u);
  }
}

TEST(SupervisorProbationTest, WhoIsStuckHasFailed) {
  SupervisorDriver driver(WithProbation(1));
  driver.StartAll();
  driver.Reload(WithProbation(1));
  const WorkerId first = driver.incoming(0);
  driver.Ready(first);
  driver.Do(event::WorkerImpaired{first, Impairment::kStuck, true});
  EXPECT_EQ(driver.Only<action::Kill>().worker, first);
  EXPECT_EQ(driver.supervisor.last_reload()->outcome, Outcome::kRolledBack);
  EXPECT_EQ(driver.current(0), 1u);
}

TEST(SupervisorProbationTest, ReplacementsAreNotWatched) {
  SupervisorDriver driver(WithProbation(1));
  driver.StartAll();
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  driver.Ready(driver.incoming(0));
  EXPECT_TRUE(driver.Has<action::Serve>());
}

}  // namespace
}  // namespace baton
