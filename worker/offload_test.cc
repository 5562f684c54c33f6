#include "worker/offload.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/scope.h"
#include "net/with_deadline.h"
#include "pool/job_pool.h"

namespace baton {
namespace {

using testing::ElementsAre;

// What jobs share with the test: they get it as an argument.
struct Shared {
  absl::Notification gate;
  std::atomic<int> begun{0}, run{0}, destroyed{0};
};
using SharedPtr = std::shared_ptr<Shared>;

int WaitAtGate(SharedPtr shared) {
  ++shared->begun;
  shared->gate.WaitForNotification();
  return ++shared->run;
}

class OffloadTest : public testing::Test {
 protected:
  ~OffloadTest() override {
    if (!shared_->gate.HasBeenNotified()) shared_->gate.Notify();
    pool_->Stop();
    EXPECT_TRUE(pool_->Join(absl::InfiniteDuration()));
    while (desk_ != nullptr && desk_->pending() != 0) loop_->Turn(true);
  }

  void Start(JobPool::Options options = {}, JobDesk::Options desk = {}) {
    pool_ = JobPool::Create(options).value();
    desk_ = JobDesk::Create(*loop_, *pool_, std::move(desk)).value();
  }
  void RunUntilIdle() {
    while (scope_.live() != 0) loop_->Turn(/*wait=*/true);
  }
  // One job at the gate, so that a single thread is busy.
  Task<> Occupy() {
    EXPECT_TRUE(
        (co_await Offload({.name = "occupies"}, WaitAtGate, shared_)).ok());
  }
  void AwaitBegun(int count) {
    while (shared_->begun < count) std::this_thread::yield();
  }

  std::unique_ptr<EventLoop> loop_ = EventLoop::Create().value();
  SharedPtr shared_ = std::make_shared<Shared>();
  std::unique_ptr<JobPool> pool_;
  std::unique_ptr<JobDesk> desk_;
  Scope scope_;
};

// What may go to another thread.
using internal::kOwnsItself;
static_assert(kOwnsItself<std::string> && kOwnsItself<std::unique_ptr<int>>);
static_assert(kOwnsItself<std::vector<std::string>>);
static_assert(!kOwnsItself<const char*> && !kOwnsItself<int&>);
static_assert(!kOwnsItself<absl::string_view>);
static_assert(!kOwnsItself<std::vector<absl::string_view>>);
static_assert(!kOwnsItself<absl::StatusOr<const char*>>);
static_assert(!kOwnsItself<std::function<void()>>);
static_assert(!kOwnsItself<std::pair<int, int*>>);

TEST_F(OffloadTest, RunsElsewhereAndResumesHere) {
  Start();
  const std::thread::id here = std::this_thread::get_id();
  bool elsewhere = false, back = false;
  const auto task = [](std::thread::id loop_thread, bool* is_elsewhere,
                       bool* is_back) -> Task<> {
    const absl::StatusOr<std::thread::id> ran_on =
        co_await Offload({.name = "where"}, std::this_thread::get_id);
    EXPECT_TRUE(ran_on.ok()) << ran_on.status();
    *is_elsewhere = *ran_on != loop_thread;
    *is_back = std::this_thread::get_id() == loop_thread;
  };
  scope_.Spawn(task(here, &elsewhere, &back));
  RunUntilIdle();
  EXPECT_TRUE(elsewhere);
  EXPECT_TRUE(back);
  EXPECT_EQ(desk_->pending(), 0u);
}

std::string Doubled(std::string text) { return text + text; }

TEST_F(OffloadTest, ArgumentsAreMovedInAndResultsOut) {
  Start();
  std::vector<std::string> seen;
  const auto task = [](std::vector<std::string>* out) -> Task<> {
    std::string text(100, 'x');
    absl::StatusOr<std::string> doubled =
        co_await Offload({.name = "double"}, Doubled, std::move(text));
    out->push_back(absl::StrCat(doubled.value().size()));
    // Move-only, and a Status, a StatusOr and nothing as results.
    absl::StatusOr<std::unique_ptr<int>> boxed = co_await Offload(
        {.name = "box"},
        [](std::unique_ptr<int> number) {
          ++*number;
          return number;
        },
        std::make_unique<int>(41));
    out->push_back(absl::StrCat(**boxed));
    const absl::Status status = co_await Offload(
        {.name = "status"}, [] { return absl::NotFoundError("no such"); });
    out->push_back(std::string(status.message()));
    const absl::StatusOr<int> flat = co_await Offload(
        {.name = "flat"}, [](int n) -> absl::StatusOr<int> { return n; }, 7);
    out->push_back(absl::StrCat(*flat));
    const absl::Status done = co_await Offload({.name = "void"}, [] {});
    out->push_back(std::string(absl::StatusCodeToString(done.code())));
  };
  scope_.Spawn(task(&seen));
  RunUntilIdle();
  EXPECT_THAT(seen, ElementsAre("200", "42", "no such", "7", "OK"));
}

TEST_F(OffloadTest, AFullQueueRefusesAtOnceOrLetsWait) {
  Start({.max_threads = 1, .queue = 1});
  scope_.Spawn(Occupy());
  AwaitBegun(1);
  std::vector<absl::Status> statuses(3);
  const auto task = [](bool wait, SharedPtr shared,
                       absl::Status* out) -> Task<> {
    *out = (co_await Offload({.name = "job", .wait_for_room = wait}, WaitAtGate,
                             shared))
               .status();
  };
  scope_.Spawn(task(false, shared_, &statuses[0]));  // the one that may wait
  scope_.Spawn(task(false, shared_, &statuses[1]));
  scope_.Spawn(task(true, shared_, &statuses[2]));
  EXPECT_EQ(scope_.live(), 3u) << "one was refused";
  EXPECT_TRUE(absl::IsResourceExhausted(statuses[1])) << statuses[1];
  shared_->gate.Notify();
  RunUntilIdle();
  EXPECT_TRUE(statuses[0].ok());
  EXPECT_TRUE(statuses[2].ok());
  EXPECT_EQ(shared_->run, 3);
}

TEST_F(OffloadTest, ThoseThatWaitForRoomGetItInTheirOrder) {
  Start({.max_threads = 1, .queue = 2});
  scope_.Spawn(Occupy());
  AwaitBegun(1);
  std::vector<int> order;
  const auto task = [](int number, std::vector<int>* out) -> Task<> {
    const absl::StatusOr<int> mine = co_await Offload(
        {.name = "number", .wait_for_room = true}, [](int n) { return n; },
        number);
    out->push_back(mine.value_or(-1));
  };
  std::vector<int> wanted;
  for (int i = 0; i < 200; ++i) {
    scope_.Spawn(task(i, &order));
    wanted.push_back(i);
  }
  EXPECT_EQ(desk_->pending(), 201u);
  shared_->gate.Notify();
  RunUntilIdle();
  EXPECT_EQ(order, wanted);
}

TEST_F(OffloadTest, ADeadlineEndsTheWaitAndTheResultIsDropped) {
  Start({.max_threads = 1});
  std::vector<absl::Status> statuses(2);
  const auto task = [](SharedPtr shared, absl::Status* out) -> Task<> {
    *out =
        (co_await Offload({.name = "late", .deadline = absl::Milliseconds(20)},
                          WaitAtGate, shared))
            .status();
  };
  scope_.Spawn(task(shared_, &statuses[0]));
  AwaitBegun(1);
  scope_.Spawn(task(shared_, &statuses[1]));
  RunUntilIdle();
  EXPECT_TRUE(absl::IsDeadlineExceeded(statuses[0])) << statuses[0];
  EXPECT_TRUE(absl::IsDeadlineExceeded(statuses[1])) << statuses[1];
  EXPECT_EQ(desk_->pending(), 2u) << "they are not back yet";
  shared_->gate.Notify();
  while (desk_->pending() != 0) loop_->Turn(true);
  EXPECT_EQ(shared_->run, 1) << "the one that had not begun does not";
  EXPECT_EQ(shared_.use_count(), 1) << "arguments are gone with their jobs";
}

// The results are there; that the loop comes late must not turn them away.
TEST_F(OffloadTest, WhatWasDoneInTimeIsNotLateBecauseTheLoopIs) {
  Start({.max_threads = 1, .queue = 1000});
  std::vector<absl::Status> statuses(300, absl::UnknownError(""));
  const auto task = [](absl::Status* out) -> Task<> {
    *out = co_await Offload(
        {.name = "quick", .deadline = absl::Milliseconds(50)}, [] {});
  };
  for (absl::Status& status : statuses) scope_.Spawn(task(&status));
  // All are done, and then the deadline passes before the loop's next turn.
  while (pool_->stats().run < statuses.size()) std::this_thread::yield();
  const int64_t late = MonotonicClock::Get()->NowNanos() + 100'000'000;
  while (MonotonicClock::Get()->NowNanos() < late) std::this_thread::yield();
  RunUntilIdle();
  for (const absl::Status& status : statuses)
    EXPECT_TRUE(status.ok()) << status;
}

TEST_F(OffloadTest, ADeadlineHoldsForTheWaitForRoomToo) {
  Start({.max_threads = 1, .queue = 1});
  scope_.Spawn(Occupy());
  AwaitBegun(1);
  scope_.Spawn(Occupy());
  absl::Status status;
  const auto task = [](absl::Status* out) -> Task<> {
    *out = co_await Offload({.name = "late",
                             .deadline = absl::Milliseconds(10),
                             .wait_for_room = true},
                            [] {});
  };
  scope_.Spawn(task(&status));
  while (scope_.live() == 3) loop_->Turn(true);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(desk_->pending(), 2u);
  shared_->gate.Notify();
  RunUntilIdle();
}

TEST_F(OffloadTest, ACancelledTaskLeavesItsJob) {
  Start({.max_threads = 1});
  absl::Status status;
  const auto task = [](SharedPtr shared, absl::Status* out) -> Task<> {
    *out = (co_await Offload({.name = "job"}, WaitAtGate, shared)).status();
    // One that is asked to stop does not even begin another.
    EXPECT_TRUE(absl::IsCancelled(co_await Offload(
        {.name = "never"}, [](SharedPtr never) { never->begun = 99; },
        shared)));
  };
  scope_.Spawn(task(shared_, &status));
  AwaitBegun(1);
  scope_.RequestStop();
  RunUntilIdle();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_EQ(desk_->pending(), 1u);
  shared_->gate.Notify();
  while (desk_->pending() != 0) loop_->Turn(true);
  EXPECT_EQ(shared_->run, 1);
  EXPECT_EQ(shared_->begun, 1);
}

TEST_F(OffloadTest, WithDeadlineAroundItWorksAsWell) {
  Start({.max_threads = 1});
  bool ended = true;
  const auto task = [](SharedPtr shared, bool* in_time) -> Task<> {
    const auto inner = [](SharedPtr mine) -> Task<> {
      EXPECT_TRUE(absl::IsCancelled(
          (co_await Offload({.name = "job"}, WaitAtGate, mine)).status()));
    };
    *in_time = co_await WithDeadline(absl::Milliseconds(10), inner(shared));
  };
  scope_.Spawn(task(shared_, &ended));
  RunUntilIdle();
  EXPECT_FALSE(ended);
}

TEST_F(OffloadTest, AStoppingPoolSaysSo) {
  Start({.max_threads = 1, .queue = 1});
  scope_.Spawn(Occupy());
  AwaitBegun(1);
  scope_.Spawn(Occupy());
  absl::Status waits, late;
  const auto task = [](bool wait, absl::Status* out) -> Task<> {
    *out = co_await Offload({.name = "job", .wait_for_room = wait}, [] {});
  };
  scope_.Spawn(task(true, &waits));
  pool_->Stop();
  scope_.Spawn(task(false, &late));
  shared_->gate.Notify();
  RunUntilIdle();
  EXPECT_TRUE(absl::IsUnavailable(waits)) << waits;
  EXPECT_FALSE(late.ok());
  EXPECT_EQ(shared_->run, 2);
}

TEST_F(OffloadTest, ManyComeBackInBatches) {
  Start({.max_threads = 2, .queue = 1000});
  int sum = 0;
  const auto task = [](int number, int* out) -> Task<> {
    *out += (co_await Offload(
                 {.name = "number"}, [](int n) { return n; }, number))
                .value();
  };
  for (int i = 0; i < 1000; ++i) scope_.Spawn(task(i, &sum));
  RunUntilIdle();
  EXPECT_EQ(sum, 999 * 1000 / 2);
}

TEST_F(OffloadTest, OneThatDoesNotComeBackIsReportedOnceByName) {
  std::vector<std::string> stalled;
  JobDesk::Options options;
  options.stalled_after = absl::Seconds(1);
  options.on_stalled = [&](const char* name, absl::Duration running) {
    stalled.push_back(name);
    EXPECT_GE(running, absl::Seconds(1));
    if (!shared_->gate.HasBeenNotified()) shared_->gate.Notify();
  };
  Start({}, std::move(options));
  scope_.Spawn(Occupy());
  RunUntilIdle();
  EXPECT_THAT(stalled, ElementsAre("occupies"));
}

}  // namespace
}  // namespace baton
