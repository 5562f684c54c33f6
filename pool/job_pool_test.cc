#include "pool/job_pool.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "glog/logging.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::unique_ptr<JobPool> Make(const JobPool::Options& options) {
  return JobPool::Create(options).value();
}

// For what other threads do: looks again until it is so.
template <typename Condition>
void Until(Condition condition) {
  while (!condition()) std::this_thread::yield();
}

// Holds threads of a pool until it opens.
class Gate {
 public:
  // Nobody is in it any more then.
  ~Gate() {
    Open();
    Until([this] { return waiting_ == 0; });
  }
  void Open() {
    open_ = true;
    open_.notify_all();
  }
  void Pass() {
    ++waiting_;
    open_.wait(false);
    --waiting_;
  }
  // Submits jobs that wait here.
  void Occupy(JobPool& pool, int count) {
    for (int i = 0; i < count; ++i) {
      const int before = waiting_;
      ASSERT_TRUE(pool.TrySubmit({"wait", [this] { Pass(); }}).ok());
      Until([&] { return waiting_ > before; });
    }
  }

 private:
  std::atomic<bool> open_{false};
  std::atomic<int> waiting_{0};
};

TEST(JobPoolTest, RunsWhatItAcceptsInOrder) {
  auto pool = Make({.max_threads = 1, .queue = 100});
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(
        pool->Submit({"note", [&order, i] { order.push_back(i); }}).ok());
  }
  pool->Stop();
  ASSERT_TRUE(pool->Join(absl::InfiniteDuration()));
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
  EXPECT_EQ(pool->stats().run, 100u);
}

TEST(JobPoolTest, AFullQueueRefusesAndLeavesTheJob) {
  for (const uint32_t capacity : {1u, 3u, 4u}) {
    auto pool = Make({.max_threads = 1, .queue = capacity});
    Gate gate;
    gate.Occupy(*pool, 1);
    int run = 0;
    for (uint32_t i = 0; i < capacity; ++i) {
      ASSERT_TRUE(pool->TrySubmit({"count", [&run] { ++run; }}).ok()) << i;
    }
    Job one_more("count", [&run] { ++run; });
    EXPECT_TRUE(absl::IsResourceExhausted(pool->TrySubmit(one_more)));
    EXPECT_TRUE(one_more);
    EXPECT_EQ(pool->stats().refused, 1u);
    EXPECT_EQ(pool->stats().queued, capacity);
    gate.Open();
    EXPECT_TRUE(pool->Submit(one_more).ok());
    EXPECT_FALSE(one_more);
    pool.reset();
    EXPECT_EQ(run, static_cast<int>(capacity) + 1);
  }
}

TEST(JobPoolTest, AStopRunsWhatWasAcceptedAndRefusesTheRest) {
  auto pool = Make({.max_threads = 2});
  Gate gate;
  gate.Occupy(*pool, 2);
  std::atomic<int> run{0};
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(pool->TrySubmit({"count", [&run] { ++run; }}).ok());
  }
  pool->Stop();
  Job late("late", [] {});
  EXPECT_TRUE(absl::IsUnavailable(pool->TrySubmit(late)));
  EXPECT_TRUE(absl::IsUnavailable(pool->Submit(late)));
  EXPECT_FALSE(pool->Join(absl::Milliseconds(1))) << "two jobs still run";
  gate.Open();
  EXPECT_TRUE(pool->Join(absl::InfiniteDuration()));
  EXPECT_EQ(run, 50);
  EXPECT_EQ(pool->stats().threads, 0);
}

TEST(JobPoolTest, SubmitWaitsForRoomAsLongAsItIsTold) {
  auto pool = Make({.max_threads = 1, .queue = 1});
  Gate gate;
  gate.Occupy(*pool, 1);
  ASSERT_TRUE(pool->TrySubmit({"fills", [] {}}).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      pool->Submit({"late", [] {}}, absl::Milliseconds(10))));
  std::atomic<int> accepted{0};
  std::vector<std::thread> submitters;
  for (int i = 0; i < 3; ++i) {
    submitters.emplace_back(
        [&] { accepted += pool->Submit({"waits", [] {}}).ok() ? 1 : 0; });
  }
  gate.Open();
  for (std::thread& submitter : submitters) submitter.join();
  EXPECT_EQ(accepted, 3);
}

TEST(JobPoolTest, AStopEndsASubmitThatWaits) {
  auto pool = Make({.max_threads = 1, .queue = 1});
  Gate gate;
  gate.Occupy(*pool, 1);
  ASSERT_TRUE(pool->TrySubmit({"fills", [] {}}).ok());
  std::thread submitter([&] {
    EXPECT_TRUE(absl::IsUnavailable(pool->Submit({"waits", [] {}})));
  });
  Until([&] { return pool->room_waiters() > 0; });
  pool->Stop();
  submitter.join();
}

struct CountingWaiter final : JobPool::RoomWaiter {
  void OnRoom() override { ++told; }
  std::atomic<int> told{0};
};

TEST(JobPoolTest, WhoAwaitsRoomIsToldOnce) {
  auto pool = Make({.max_threads = 1, .queue = 1});
  CountingWaiter waiter, forgotten;
  pool->AwaitRoom(&waiter);
  EXPECT_EQ(waiter.told, 1) << "there is room";
  Gate gate;
  gate.Occupy(*pool, 1);
  ASSERT_TRUE(pool->TrySubmit({"fills", [] {}}).ok());
  pool->AwaitRoom(&waiter);
  pool->AwaitRoom(&forgotten);
  pool->ForgetWaiter(&forgotten);
  EXPECT_EQ(waiter.told, 1);
  gate.Open();
  Until([&] { return waiter.told == 2; });
  pool.reset();
  EXPECT_EQ(waiter.told, 2);
  EXPECT_EQ(forgotten.told, 0);
}

TEST(JobPoolTest, GrowsWhenAllAreBusyAndShrinksWhenIdle) {
  auto pool = Make({.min_threads = 1,
                    .max_threads = 4,
                    .idle_timeout = absl::Milliseconds(20)});
  EXPECT_EQ(pool->stats().threads, 1);
  {
    Gate gate;
    gate.Occupy(*pool, 4);
    EXPECT_EQ(pool->stats().threads, 4);
    EXPECT_EQ(pool->stats().busy, 4);
    ASSERT_TRUE(pool->TrySubmit({"waits", [] {}}).ok());
    EXPECT_EQ(pool->stats().threads, 4) << "never more than the maximum";
  }
  Until([&] { return pool->stats().threads == 1; });
  EXPECT_EQ(pool->stats().spawned, 4u);
  // And again: places of threads that have ended are used anew.
  {
    Gate gate;
    gate.Occupy(*pool, 4);
    EXPECT_EQ(pool->stats().threads, 4);
  }
  Until([&] { return pool->stats().threads == 1; });
  EXPECT_EQ(pool->stats().spawned, 7u);
}

TEST(JobPoolTest, OneThreadThatSufficesStaysOne) {
  auto pool = Make({.min_threads = 1, .max_threads = 8});
  for (int i = 0; i < 1000; ++i) {
    absl::Notification done;
    ASSERT_TRUE(pool->TrySubmit({"notify", [&done] { done.Notify(); }}).ok());
    done.WaitForNotification();
    Until([&] { return pool->stats().busy == 0; });
  }
  EXPECT_EQ(pool->stats().spawned, 1u);
}

TEST(JobPoolTest, GrowingWaitsForGrowAfter) {
  auto pool = Make({.max_threads = 2, .grow_after = absl::Hours(1)});
  Gate gate;
  gate.Occupy(*pool, 1);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(pool->TrySubmit({"waits", [] {}}).ok());
  }
  EXPECT_EQ(pool->stats().threads, 1);
}

// The thread that finds the first of two jobs must see to the second one.
TEST(JobPoolTest, NoJobWaitsBehindALongOneWhileAThreadMayBeMade) {
  for (int i = 0; i < 300; ++i) {
    auto pool = Make({.min_threads = 1, .max_threads = 2});
    Gate gate;
    absl::Notification second;
    ASSERT_TRUE(pool->TrySubmit({"long", [&gate] { gate.Pass(); }}).ok());
    ASSERT_TRUE(
        pool->TrySubmit({"second", [&second] { second.Notify(); }}).ok());
    second.WaitForNotification();
    gate.Open();
    pool.reset();
  }
}

TEST(JobPoolTest, AFullQueueDoesNotKeepThreadsAway) {
  auto pool = Make(
      {.max_threads = 2, .queue = 1, .grow_after = absl::Milliseconds(20)});
  Gate gate;
  gate.Occupy(*pool, 1);
  ASSERT_TRUE(pool->TrySubmit({"waits", [&gate] { gate.Pass(); }}).ok());
  // Refused again and again, until there is a second thread.
  Until([&] { return pool->TrySubmit({"fits", [] {}}).ok(); });
  EXPECT_EQ(pool->stats().threads, 2);
}

TEST(JobPoolTest, SaysWhatRunsAndForHowMany) {
  auto pool = Make({.max_threads = 2, .timed_job_interval = 1});
  EXPECT_TRUE(pool->running().empty());
  Gate gate;
  gate.Occupy(*pool, 1);
  const std::vector<RunningJob> running = pool->running();
  ASSERT_EQ(running.size(), 1u);
  EXPECT_STREQ(running[0].name, "wait");
  gate.Open();
  pool->Stop();
  ASSERT_TRUE(pool->Join(absl::InfiniteDuration()));
  EXPECT_TRUE(pool->running().empty());
  uint64_t waits = 0, runs = 0;
  for (const uint64_t count : pool->stats().wait_nanos) waits += count;
  for (const uint64_t count : pool->stats().run_nanos) runs += count;
  EXPECT_EQ(waits, 1u);
  EXPECT_EQ(runs, 1u);
}

TEST(JobPoolTest, ThreadsBlockSignalsAndHaveNames) {
  auto pool = Make({.thread_name = "resize"});
  sigset_t blocked;
  sigemptyset(&blocked);
  std::string name;
  ASSERT_TRUE(pool->TrySubmit({"look",
                               [&] {
                                 pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
                                 std::getline(std::ifstream(absl::StrCat(
                                                  "/proc/self/task/", gettid(),
                                                  "/comm")),
                                              name);
                               }})
                  .ok());
  pool->Stop();
  ASSERT_TRUE(pool->Join(absl::InfiniteDuration()));
  EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
  EXPECT_EQ(sigismember(&blocked, SIGUSR1), 1);
  EXPECT_EQ(sigismember(&blocked, SIGSEGV), 0) << "a crash is reported";
  EXPECT_EQ(name, "resize-0");
  sigset_t mine;
  pthread_sigmask(SIG_BLOCK, nullptr, &mine);
  EXPECT_EQ(sigismember(&mine, SIGTERM), 0) << "the submitter's are as before";
}

TEST(JobPoolTest, ItsThreadsAreAsNiceAsTheyAreTold) {
  const int mine = getpriority(PRIO_PROCESS, 0);
  auto pool = Make({.min_threads = 1, .max_threads = 2, .nice = 3});
  // The second thread is made by the first, which is nice already.
  int first = mine, second = mine;
  absl::Notification looked;
  const auto look = [&] {
    second = getpriority(PRIO_PROCESS, 0);
    looked.Notify();
  };
  ASSERT_TRUE(pool->TrySubmit({"submits",
                               [&] {
                                 first = getpriority(PRIO_PROCESS, 0);
                                 CHECK(pool->TrySubmit({"look", look}).ok());
                                 looked.WaitForNotification();
                               }})
                  .ok());
  looked.WaitForNotification();
  pool->Stop();
  ASSERT_TRUE(pool->Join(absl::InfiniteDuration()));
  EXPECT_EQ(first, std::min(mine + 3, 19));
  EXPECT_EQ(second, first);
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), mine)
      << "the submitter's is as before";
}

struct CountsEnds {
  explicit CountsEnds(int* counter) : ends(counter) {}
  CountsEnds(CountsEnds&& other) noexcept
      : ends(std::exchange(other.ends, nullptr)) {}
  ~CountsEnds() {
    if (ends != nullptr) ++*ends;
  }
  int* ends;
};

TEST(JobTest, ACallableIsDestroyedOnceRunOrNot) {
  int ends = 0, runs = 0;
  {
    Job job("counts", [&runs, guard = CountsEnds(&ends)] { ++runs; });
    Job moved = std::move(job);
    moved.Run();
    EXPECT_EQ(ends, 1);
    EXPECT_FALSE(moved);
    Job unrun("counts", [&runs, guard = CountsEnds(&ends)] { ++runs; });
    job = std::move(unrun);
    job = Job();
    EXPECT_EQ(ends, 2);
    const Job dropped("counts", [guard = CountsEnds(&ends)] {});
  }
  EXPECT_EQ(ends, 3);
  EXPECT_EQ(runs, 1);
}

TEST(JobTest, OneThatIsTooLargeOrMayThrowIsBoxed) {
  int ends = 0, sum = 0;
  std::array<int, 100> numbers{};
  numbers.fill(1);
  {
    Job job("sums", [&sum, numbers, guard = CountsEnds(&ends)] {
      for (const int number : numbers) sum += number;
    });
    Job moved = std::move(job);
    moved.Run();
  }
  EXPECT_EQ(sum, 100);
  EXPECT_EQ(ends, 1);
  {
    const Job unrun("sums", [&sum, numbers, guard = CountsEnds(&ends)] {
      sum += numbers[0];
    });
  }
  EXPECT_EQ(sum, 100);
  EXPECT_EQ(ends, 2);
}

using JobPoolDeathTest = testing::Test;

void RunOneThatThrows() {
  auto pool = Make({});
  CHECK(pool->TrySubmit({"throws", [] { throw 1; }}).ok());
}

TEST(JobPoolDeathTest, AJobThatThrowsEndsTheProcess) {
  EXPECT_DEATH(RunOneThatThrows(), "");
}

}  // namespace
}  // namespace baton
