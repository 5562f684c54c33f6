// Who accepts from a slot's sockets when its own worker can't.

#include <csignal>

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

TEST(SupervisorAdoptionTest, ASiblingAdoptsTheSlotOfADeadWorker) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(driver.Only<action::Adopt>().worker, 2u);
  EXPECT_EQ(driver.Only<action::Adopt>().sockets, 0u);
  EXPECT_THAT(driver.Logged("slot_adopted"), HasSubstr("adopted_slot=0"));
  const WorkerId replacement = driver.Only<action::Fork>().worker;
  driver.Ready(replacement);
  EXPECT_FALSE(driver.Has<action::Release>()) << "it does not serve yet";
  driver.Serving(replacement);
  EXPECT_EQ(driver.Only<action::Release>().worker, 2u);
  EXPECT_EQ(driver.Only<action::Release>().sockets, 0u);
}

TEST(SupervisorAdoptionTest, WithOneWorkerThereIsNobodyToAdopt) {
  SupervisorDriver driver(Workers(1));
  driver.StartAll();
  driver.Exit(1, ExitStatus::Signalled(SIGKILL));
  EXPECT_FALSE(driver.Has<action::Adopt>());
  EXPECT_TRUE(driver.Has<action::Fork>());
}

TEST(SupervisorAdoptionTest, AnImpairedWorkerKeepsItsSlotAndIsHelped) {
  for (Impairment what :
       {Impairment::kFull, Impairment::kStuck, Impairment::kStopped}) {
    SupervisorDriver driver(Workers(2));
    driver.StartAll();
    driver.Do(event::WorkerImpaired{1, what, true});
    EXPECT_EQ(driver.Only<action::Adopt>().worker, 2u);
    EXPECT_FALSE(driver.Has<action::Fork>()) << "it lives";
    driver.Do(event::WorkerImpaired{1, what, false});
    if (what == Impairment::kFull) driver.Advance(Supervisor::kRoomLasts);
    EXPECT_EQ(driver.Only<action::Release>().worker, 2u);
  }
}

TEST(SupervisorAdoptionTest, TwoImpairmentsMustBothEnd) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::WorkerImpaired{1, Impairment::kFull, true});
  driver.Do(event::WorkerImpaired{1, Impairment::kStuck, true});
  driver.Do(event::WorkerImpaired{1, Impairment::kFull, false});
  driver.Advance(Supervisor::kRoomLasts);
  EXPECT_FALSE(driver.Has<action::Release>());
  driver.Do(event::WorkerImpaired{1, Impairment::kStuck, false});
  EXPECT_TRUE(driver.Has<action::Release>());
}

TEST(SupervisorAdoptionTest, AnAdopterThatFailsHandsItOn) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Do(event::WorkerImpaired{1, Impairment::kStopped, true});
  EXPECT_EQ(driver.Only<action::Adopt>().worker, 2u);
  driver.Do(event::WorkerImpaired{2, Impairment::kFull, true});
  const auto adopted = driver.All<action::Adopt>();
  ASSERT_EQ(adopted.size(), 2u);  // slot 0 again, and slot 1
  EXPECT_EQ(adopted[0].worker, 3u);
  EXPECT_EQ(adopted[1].worker, 3u);
  EXPECT_EQ(driver.Only<action::Release>().worker, 2u);
  driver.Exit(3, ExitStatus::Signalled(SIGSEGV));
  EXPECT_FALSE(driver.Has<action::Adopt>()) << "nobody is left who could";
  driver.Do(event::WorkerImpaired{2, Impairment::kFull, false});
  driver.Advance(Supervisor::kRoomLasts);
  EXPECT_EQ(driver.All<action::Adopt>().size(), 2u);
}

TEST(SupervisorAdoptionTest, AWorkerThatChangesItsMindTiresNobody) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  int told = 0;
  for (int i = 0; i < 1000; ++i) {
    driver.Do(event::WorkerImpaired{1, Impairment::kFull, i % 2 == 0});
    told += static_cast<int>(driver.All<action::Adopt>().size() +
                             driver.All<action::Release>().size());
  }
  EXPECT_EQ(told, 1);
}

TEST(SupervisorAdoptionTest, AdoptedSlotsAreSharedOut) {
  SupervisorDriver driver(Workers(4));
  driver.StartAll();
  driver.Do(event::WorkerImpaired{1, Impairment::kFull, true});
  const WorkerId first = driver.Only<action::Adopt>().worker;
  driver.Do(event::WorkerImpaired{2, Impairment::kFull, true});
  for (const action::Adopt& adopt : driver.All<action::Adopt>()) {
    EXPECT_GE(adopt.worker, 3u);
  }
  EXPECT_EQ(first, 2u);
  EXPECT_NE(driver.supervisor.slots()[0].sockets.adopter,
            driver.supervisor.slots()[1].sockets.adopter);
}

TEST(SupervisorAdoptionTest, ARetiringAdopterIsFollowedAtOnce) {
  SupervisorDriver driver(Workers(2));
  driver.StartAll();
  driver.Do(event::WorkerImpaired{2, Impairment::kStopped, true});
  EXPECT_EQ(driver.Only<action::Adopt>().worker, 1u);
  driver.Reload(Workers(2));
  const WorkerId next = driver.Only<action::Fork>().worker;
  driver.Ready(next);
  driver.Serving(next);
  EXPECT_EQ(driver.Only<action::Adopt>().worker, next);
  EXPECT_FALSE(driver.Has<action::Release>()) << "it closes everything anyway";
}

TEST(SupervisorAdoptionTest, AWorkerThatCouldNotAdoptIsPassedOverForASecond) {
  SupervisorDriver driver(Workers(3));
  driver.StartAll();
  driver.Exit(3, ExitStatus::Signalled(SIGKILL));
  const WorkerId first = driver.Only<action::Adopt>().worker;
  driver.Do(event::AdoptFailed{first, 2});
  // Of what it adopted all the same it is rid.
  EXPECT_EQ(driver.Only<action::Release>().worker, first);
  const WorkerId second = driver.Only<action::Adopt>().worker;
  EXPECT_NE(second, first);
  driver.Do(event::AdoptFailed{second, 2});
  EXPECT_FALSE(driver.Has<action::Adopt>()) << "nobody is left";
  driver.Do(event::AdoptFailed{first, 2});
  EXPECT_TRUE(driver.actions.empty()) << "it is not the adopter";
  driver.Advance(absl::Seconds(1));
  EXPECT_EQ(driver.Only<action::Adopt>().sockets, 2u);
}

}  // namespace
}  // namespace baton
