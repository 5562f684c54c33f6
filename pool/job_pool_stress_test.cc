// Many producers, stops at any time, queues of all sizes, threads that come and
// go: each job is run exactly once or refused exactly once.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "pool/job_pool.h"

namespace baton {
namespace {

int64_t WantedJobs() {
  const char* const text = getenv("BATON_STRESS_JOBS");
  int64_t jobs = 2'000'000;
  if (text != nullptr) CHECK(absl::SimpleAtoi(text, &jobs)) << text;
  return jobs;
}

constexpr int kProducers = 3;
constexpr int kJobsEach = 10'000;

// What became of a job. Anything but 1 of one and 0 of the other is a fault.
struct Fate {
  std::atomic<uint8_t> run{0};
  uint8_t refused = 0;
};

// Until nothing is left to do, or for a while: others may go on submitting.
void LetRest(const JobPool& pool) {
  for (int i = 0; i < 200; ++i) {
    const JobPoolStats stats = pool.stats();
    if (stats.queued == 0 && stats.busy == 0) return;
    std::this_thread::yield();
  }
}

// Producers that try, wait, wait for a while, and sometimes let everybody come
// to rest, so that threads fall asleep and are woken.
void Produce(JobPool& pool, std::vector<Fate>& fates, uint32_t seed) {
  std::mt19937 random(seed);
  for (Fate& fate : fates) {
    Job job;
    if (random() % 16 == 0) {
      job = Job("boxed", [&fate, padding = std::string(20, 'x'),
                          more = std::string(20, 'y')] { ++fate.run; });
    } else {
      job = Job("inline", [&fate] { ++fate.run; });
    }
    absl::Status status;
    switch (random() % 8) {
      case 0:
        status = pool.Submit(job);
        break;
      case 1:
        status = pool.Submit(job, absl::Microseconds(random() % 50));
        break;
      default:
        status = pool.TrySubmit(job);
    }
    fate.refused += status.ok() ? 0 : 1;
    CHECK_EQ(status.ok(), !job);
    if (random() % 1024 == 0) LetRest(pool);
  }
}

TEST(JobPoolStressTest, EachJobIsRunOnceOrRefusedOnce) {
  std::mt19937 random(20260101);
  int64_t jobs = 0, refused = 0;
  uint64_t spawned = 0;
  while (jobs < WantedJobs()) {
    const int min_threads = 1 + static_cast<int>(random() % 3);
    auto pool =
        JobPool::Create(
            {.min_threads = min_threads,
             .max_threads = min_threads + static_cast<int>(random() % 4),
             .queue = static_cast<uint32_t>(
                 1 + random() % (random() % 2 == 0 ? 8 : 1000)),
             .idle_timeout = absl::Microseconds(random() % 400),
             .timed_job_interval = 4})
            .value();
    std::vector<std::vector<Fate>> fates;
    std::vector<std::thread> producers;
    for (int i = 0; i < kProducers; ++i) fates.emplace_back(kJobsEach);
    for (int i = 0; i < kProducers; ++i) {
      producers.emplace_back([&pool, &mine = fates[i], seed = random()] {
        Produce(*pool, mine, static_cast<uint32_t>(seed));
      });
    }
    if (random() % 2 == 0) {
      for (uint64_t i = random() % 3000; i > 0; --i) std::this_thread::yield();
      pool->Stop();
    }
    for (std::thread& producer : producers) producer.join();
    pool->Stop();
    ASSERT_TRUE(pool->Join(absl::InfiniteDuration()));
    const JobPoolStats stats = pool->stats();
    EXPECT_EQ(stats.threads, 0);
    EXPECT_EQ(stats.queued, 0u);
    spawned += stats.spawned;
    uint64_t run = 0;
    for (const auto& mine : fates) {
      for (const Fate& fate : mine) {
        ASSERT_EQ(fate.run + fate.refused, 1);
        run += fate.run;
        refused += fate.refused;
      }
    }
    EXPECT_EQ(stats.run, run);
    jobs += int64_t{kProducers} * kJobsEach;
  }
  RecordProperty("jobs", std::to_string(jobs));
  std::printf("%lld jobs, %lld refused, %llu threads made\n",
              static_cast<long long>(jobs), static_cast<long long>(refused),
              static_cast<unsigned long long>(spawned));
}

}  // namespace
}  // namespace baton
