#include "worker/periodic_task.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/event_loop.h"
#include "pool/job_pool.h"
#include "worker/job_desk.h"

namespace baton {
namespace {

using testing::ElementsAre;

class PeriodicTaskTest : public testing::Test {
 protected:
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    loop_->Turn(/*wait=*/false);
  }

  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  std::vector<uint64_t> runs_;  // what each was told
};

TEST_F(PeriodicTaskTest, RunsAtEachTick) {
  const PeriodicTask task = RunEvery(
      absl::Seconds(1), [this](uint64_t missed) { runs_.push_back(missed); });
  Pass(absl::Milliseconds(900));
  EXPECT_TRUE(runs_.empty());
  for (int i = 0; i < 30; ++i) Pass(absl::Milliseconds(100));
  EXPECT_THAT(runs_, ElementsAre(0, 0, 0));
  EXPECT_TRUE(task.active());
}

TEST_F(PeriodicTaskTest, MissedTicksAreToldAndNotMadeUpFor) {
  const PeriodicTask task = RunEvery(absl::Seconds(1), [this](uint64_t missed) {
    runs_.push_back(missed);
    // Takes longer than its period, once.
    if (runs_.size() == 1) clock_.Advance(absl::Milliseconds(3200));
  });
  Pass(absl::Milliseconds(1010));
  Pass(absl::ZeroDuration());  // at 4.21 s
  Pass(absl::Milliseconds(10));
  EXPECT_THAT(runs_, ElementsAre(0, 2));
  Pass(absl::Milliseconds(700));
  EXPECT_EQ(runs_.size(), 2u) << "not before 5 s";
  Pass(absl::Milliseconds(100));
  EXPECT_THAT(runs_, ElementsAre(0, 2, 0));
}

TEST_F(PeriodicTaskTest, ATickDoesNotDrift) {
  const PeriodicTask task =
      RunEvery(absl::Milliseconds(100), [this](uint64_t missed) {
        runs_.push_back(missed);
        clock_.Advance(absl::Milliseconds(30));
      });
  for (int i = 0; i < 1000; ++i) Pass(absl::Milliseconds(7));
  // 7 s and 30 ms for each run.
  const double elapsed = 7.0 + 0.03 * static_cast<double>(runs_.size());
  EXPECT_NEAR(static_cast<double>(runs_.size()), elapsed / 0.1, 2);
}

TEST_F(PeriodicTaskTest, ItMayCancelItself) {
  PeriodicTask task;
  task = RunEvery(absl::Seconds(1), [&](uint64_t missed) {
    runs_.push_back(missed);
    if (runs_.size() == 2) task.Cancel();
  });
  for (int i = 0; i < 5; ++i) Pass(absl::Seconds(1.01));
  EXPECT_EQ(runs_.size(), 2u);
  EXPECT_FALSE(task.active());
}

TEST_F(PeriodicTaskTest, AHandleThatGoesCancels) {
  {
    const PeriodicTask task = RunEvery(
        absl::Seconds(1), [this](uint64_t missed) { runs_.push_back(missed); });
    Pass(absl::Seconds(1.01));
  }
  Pass(absl::Seconds(5));
  EXPECT_EQ(runs_.size(), 1u);
}

TEST_F(PeriodicTaskTest, RunAfterRunsOnce) {
  int runs = 0;
  const PeriodicTask task = RunAfter(absl::Seconds(3), [&runs] { ++runs; });
  Pass(absl::Seconds(2.9));
  EXPECT_EQ(runs, 0);
  EXPECT_TRUE(task.active());
  for (int i = 0; i < 5; ++i) Pass(absl::Seconds(3));
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(task.active());
}

// What a run on the pool, a plain function, shares with its test.
struct OnPool {
  std::atomic<bool> open{false};
  std::atomic<int> runs{0};
  std::atomic<uint64_t> missed{0};
};
OnPool* on_pool;

void Tick(uint64_t missed) {
  on_pool->missed = missed;
  ++on_pool->runs;
  on_pool->open.wait(false);
}

TEST_F(PeriodicTaskTest, OnThePoolRunsDoNotPileUp) {
  OnPool shared;
  on_pool = &shared;
  auto pool = JobPool::Create({.max_threads = 4}).value();
  auto desk = JobDesk::Create(*loop_, *pool, {}).value();
  PeriodicTask task = RunEveryOnPool("tick", absl::Seconds(1), Tick);
  for (int i = 0; i < 4; ++i) Pass(absl::Seconds(1.01));
  while (shared.runs < 1) std::this_thread::yield();
  EXPECT_EQ(pool->stats().threads, 1) << "the other three were missed";
  shared.open = true;
  shared.open.notify_all();
  while (desk->pending() != 0) loop_->Turn(/*wait=*/true);
  Pass(absl::Seconds(1.01));
  while (desk->pending() != 0) loop_->Turn(/*wait=*/true);
  EXPECT_EQ(shared.runs, 2);
  EXPECT_EQ(shared.missed, 3u);
  task.Cancel();
  pool->Stop();
  EXPECT_TRUE(pool->Join(absl::InfiniteDuration()));
}

TEST_F(PeriodicTaskTest, ACancelledRunOnThePoolComesBackToNobody) {
  OnPool shared;
  on_pool = &shared;
  auto pool = JobPool::Create({}).value();
  auto desk = JobDesk::Create(*loop_, *pool, {}).value();
  PeriodicTask task = RunEveryOnPool("tick", absl::Seconds(1), Tick);
  Pass(absl::Seconds(1.01));
  while (shared.runs < 1) std::this_thread::yield();
  task.Cancel();
  EXPECT_EQ(desk->pending(), 1u);
  shared.open = true;
  shared.open.notify_all();
  while (desk->pending() != 0) loop_->Turn(/*wait=*/true);
  pool->Stop();
  EXPECT_TRUE(pool->Join(absl::InfiniteDuration()));
}

}  // namespace
}  // namespace baton
