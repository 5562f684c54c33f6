#include "net/task.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/event_loop.h"
#include "net/scope.h"
#include "net/sleep.h"
#include "net/stop_token.h"
#include "net/when_any.h"
#include "net/with_deadline.h"

namespace baton {
namespace {

class TaskTest : public ::testing::Test {
 protected:
  void Advance(absl::Duration by) {
    const absl::Duration tick = absl::Milliseconds(4);
    for (; by > absl::ZeroDuration(); by -= tick) {
      clock_.Advance(std::min(by, tick));
      loop_->Turn(/*wait=*/false);
    }
    while (loop_->HasReady()) loop_->Turn(/*wait=*/false);
  }

  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
};

using TaskDeathTest = TaskTest;

Task<int> Value(int value) { co_return value; }

Task<int> SleepThen(absl::Duration duration, int value) {
  const IoError error = co_await Sleep(duration);
  co_return error == IoError::kOk ? value : -1;
}

Task<> Store(Task<int> task, int* result) {
  *result = co_await std::move(task);
}

Task<> AddMany(int count, int64_t* sum) {
  for (int i = 0; i < count; ++i) {
    const int value = co_await Value(i);
    *sum += value;
  }
}

TEST_F(TaskTest, RunsWhenItIsSpawnedAndNotBefore) {
  Scope scope;
  int result = 0;
  Task<> task = Store(Value(7), &result);
  EXPECT_EQ(result, 0);
  scope.Spawn(std::move(task));
  EXPECT_EQ(result, 7);
  EXPECT_EQ(scope.live(), 0u);
}

TEST_F(TaskTest, ATaskThatNeverStartedMayBeDropped) {
  auto held = std::make_shared<int>(1);
  {
    Task<> task = [](std::shared_ptr<int>) -> Task<> { co_return; }(held);
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
}

// A million children that complete at once must not use a million stack frames,
// at any optimisation level.
TEST_F(TaskTest, ImmediateChildrenUseNoStack) {
  Scope scope;
  int64_t sum = 0;
  scope.Spawn(AddMany(1'000'000, &sum));
  EXPECT_EQ(sum, 499'999'500'000);
}

TEST_F(TaskTest, SleepIsNeverEarlyAndAtMostATickLate) {
  Scope scope;
  int result = 0;
  scope.Spawn(Store(SleepThen(absl::Milliseconds(100), 5), &result));
  Advance(absl::Milliseconds(99));
  EXPECT_EQ(result, 0);
  Advance(absl::Milliseconds(6));
  EXPECT_EQ(result, 5);
}

TEST_F(TaskTest, SleepOfADayIsNotCutByTheWheelsHorizon) {
  Scope scope;
  int result = 0;
  scope.Spawn(Store(SleepThen(absl::Minutes(5), 5), &result));
  Advance(absl::Minutes(5) - absl::Milliseconds(10));
  EXPECT_EQ(result, 0);
  Advance(absl::Milliseconds(20));
  EXPECT_EQ(result, 5);
}

TEST_F(TaskTest, RequestStopWakesASleeper) {
  Scope scope;
  int result = 0;
  scope.Spawn(Store(SleepThen(absl::Hours(1), 5), &result));
  scope.RequestStop();
  EXPECT_EQ(result, 0);  // resumed by the loop, not inside the call
  Advance(absl::ZeroDuration());
  EXPECT_EQ(result, -1);
}

TEST_F(TaskTest, AStoppedTaskDoesNotWaitAgain) {
  Scope scope;
  int naps = 0;
  scope.Spawn([](int* naps) -> Task<> {
    for (int i = 0; i < 3; ++i) {
      const IoError error = co_await Sleep(absl::Hours(1));
      EXPECT_EQ(error, IoError::kCancelled);
      ++*naps;
    }
  }(&naps));
  scope.RequestStop();
  Advance(absl::ZeroDuration());
  EXPECT_EQ(naps, 3);
}

TEST_F(TaskTest, JoinWaitsForAll) {
  Scope scope;
  Scope outer;
  bool joined = false;
  int one = 0, two = 0;
  scope.Spawn(Store(SleepThen(absl::Seconds(1), 1), &one));
  scope.Spawn(Store(SleepThen(absl::Seconds(2), 2), &two));
  outer.Spawn([](Scope* scope, bool* joined) -> Task<> {
    co_await scope->Join();
    *joined = true;
  }(&scope, &joined));
  Advance(absl::Milliseconds(1500));
  EXPECT_EQ(one, 1);
  EXPECT_FALSE(joined);
  Advance(absl::Seconds(1));
  EXPECT_EQ(two, 2);
  EXPECT_TRUE(joined);
}

TEST_F(TaskTest, CancellingAJoinStopsTheScopeAndStillWaits) {
  Scope outer;
  bool joined = false;
  outer.Spawn([](bool* joined) -> Task<> {
    Scope inner;
    int result = 0;
    inner.Spawn(Store(SleepThen(absl::Hours(1), 1), &result));
    co_await inner.Join();
    EXPECT_EQ(result, -1);
    *joined = true;
  }(&joined));
  outer.RequestStop();
  Advance(absl::ZeroDuration());
  EXPECT_TRUE(joined);
}

TEST_F(TaskDeathTest, AScopeThatEndsWithALiveTaskDies) {
  EXPECT_DEATH(
      {
        int result = 0;
        Scope scope;
        scope.Spawn(Store(SleepThen(absl::Hours(1), 1), &result));
      },
      "live task");
}

TEST_F(TaskDeathTest, ATaskIsAwaitedOnce) {
  EXPECT_DEATH(
      {
        Scope scope;
        scope.Spawn([]() -> Task<> {
          Task<int> task = Value(1);
          int sum = co_await std::move(task);
          sum += co_await std::move(task);  // NOLINT(bugprone-use-after-move)
          EXPECT_EQ(sum, 2);
        }());
      },
      "awaited once");
}

TEST_F(TaskTest, WithDeadlineInTime) {
  Scope scope;
  std::optional<int> result;
  scope.Spawn([](std::optional<int>* result) -> Task<> {
    *result =
        co_await WithDeadline(absl::Seconds(2), SleepThen(absl::Seconds(1), 9));
  }(&result));
  Advance(absl::Milliseconds(1100));
  EXPECT_EQ(result, 9);
}

TEST_F(TaskTest, WithDeadlineTooLate) {
  Scope scope;
  bool done = false;
  scope.Spawn([](bool* done) -> Task<> {
    std::optional<int> result =
        co_await WithDeadline(absl::Seconds(1), SleepThen(absl::Hours(1), 9));
    EXPECT_EQ(result, std::nullopt);
    *done = true;
  }(&done));
  Advance(absl::Milliseconds(990));
  EXPECT_FALSE(done);
  Advance(absl::Milliseconds(20));
  EXPECT_TRUE(done);
}

TEST_F(TaskTest, AnOuterDeadlineReachesThroughAnInnerOne) {
  Scope scope;
  bool done = false;
  scope.Spawn([](bool* done) -> Task<> {
    auto inner = []() -> Task<> {
      const bool in_time =
          co_await WithDeadline(absl::Hours(1), []() -> Task<> {
            const IoError error = co_await Sleep(absl::Hours(2));
            EXPECT_EQ(error, IoError::kCancelled);
          }());
      EXPECT_TRUE(in_time);  // its own deadline did not come
    };
    const bool in_time = co_await WithDeadline(absl::Seconds(1), inner());
    EXPECT_FALSE(in_time);
    *done = true;
  }(&done));
  Advance(absl::Seconds(2));
  EXPECT_TRUE(done);
}

TEST_F(TaskTest, WhenAnyYieldsTheFirstAndCancelsTheRest) {
  Scope scope;
  int loser = 0;
  std::optional<std::variant<int, std::monostate>> first;
  scope.Spawn(
      [](int* loser,
         std::optional<std::variant<int, std::monostate>>* first) -> Task<> {
        *first = co_await WhenAny(SleepThen(absl::Seconds(1), 3),
                                  Store(SleepThen(absl::Seconds(2), 4), loser));
      }(&loser, &first));
  Advance(absl::Milliseconds(1100));
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->index(), 0u);
  EXPECT_EQ(std::get<0>(*first), 3);
  EXPECT_EQ(loser, -1);
}

TEST_F(TaskTest, WhenAnyWithOneThatEndsAtOnce) {
  Scope scope;
  std::optional<std::variant<int, int>> first;
  scope.Spawn([](std::optional<std::variant<int, int>>* first) -> Task<> {
    *first = co_await WhenAny(Value(1), SleepThen(absl::Hours(1), 2));
  }(&first));
  Advance(absl::ZeroDuration());
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->index(), 0u);
}

TEST_F(TaskTest, AStopTokenStopsWhatWasSpawnedWithIt) {
  StopSource source;
  Scope scope;
  int stopped = 0, other = 0;
  scope.Spawn(Store(SleepThen(absl::Seconds(1), 1), &stopped),
              StopToken(source));
  scope.Spawn(Store(SleepThen(absl::Seconds(1), 1), &other));
  source.RequestStop();
  Advance(absl::Seconds(2));
  EXPECT_EQ(stopped, -1);
  EXPECT_EQ(other, 1);
}

TEST(StopToken, CallbacksRunOnceAndMayDestroyEachOther) {
  StopSource source;
  std::vector<int> order;
  auto other = std::make_unique<StopCallback>(StopToken(source),
                                              [&] { order.push_back(1); });
  StopCallback first(StopToken(source), [&] {
    order.push_back(2);
    other.reset();
  });
  source.RequestStop();
  source.RequestStop();
  EXPECT_EQ(order, (std::vector<int>{2}));
  StopCallback late(StopToken(source), [&] { order.push_back(3); });
  EXPECT_EQ(order, (std::vector<int>{2, 3}));
}

}  // namespace
}  // namespace baton
