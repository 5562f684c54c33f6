#include "master/usable_cpus.h"

#include <sched.h>

#include <cstdint>
#include <vector>

#include "absl/algorithm/container.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::ElementsAre;

constexpr int64_t kMiB = int64_t{1} << 20;

int Auto(int cpus, CgroupLimits limits, int64_t worker_memory = 0) {
  return ResolveWorkerCount(0, worker_memory, cpus, limits);
}

TEST(ResolveWorkerCount, WhatIsAskedForIsGiven) {
  const CgroupLimits tight{.cpus = 0.5, .memory_bytes = kMiB};
  EXPECT_EQ(ResolveWorkerCount(7, 0, 1, {}), 7);
  EXPECT_EQ(ResolveWorkerCount(7, 64 * kMiB, 1, tight), 7);
  EXPECT_EQ(ResolveWorkerCount(kMaxWorkers + 1, 0, 1, {}), kMaxWorkers);
}

TEST(ResolveWorkerCount, OnePerCpuOfTheMask) {
  EXPECT_EQ(Auto(1, {}), 1);
  EXPECT_EQ(Auto(12, {}), 12);
  EXPECT_EQ(Auto(5000, {}), kMaxWorkers);
}

TEST(ResolveWorkerCount, TheQuotaRoundedUp) {
  EXPECT_EQ(Auto(8, {.cpus = 2, .memory_bytes = {}}), 2);
  EXPECT_EQ(Auto(8, {.cpus = 2.1, .memory_bytes = {}}), 3);
  EXPECT_EQ(Auto(8, {.cpus = 0.05, .memory_bytes = {}}), 1);
  EXPECT_EQ(Auto(2, {.cpus = 6, .memory_bytes = {}}), 2);
  EXPECT_EQ(Auto(2, {.cpus = 1e12, .memory_bytes = {}}), 2);
}

TEST(ResolveWorkerCount, AsManyAsTheMemoryHolds) {
  const CgroupLimits limits{.cpus = {}, .memory_bytes = 512 * kMiB};
  EXPECT_EQ(Auto(8, limits, 100 * kMiB), 5);
  EXPECT_EQ(Auto(4, limits, 100 * kMiB), 4);
  EXPECT_EQ(Auto(8, limits, 513 * kMiB), 1);  // at least one
  EXPECT_EQ(Auto(8, limits, 0), 8);
  EXPECT_EQ(Auto(8, {}, 100 * kMiB), 8);
}

TEST(AffinityCpus, FollowsTheMask) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  const std::vector<int> all = AffinityCpus().value();
  EXPECT_EQ(all.size(), static_cast<size_t>(CPU_COUNT(&before)));
  EXPECT_TRUE(absl::c_is_sorted(all));

  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(all.back(), &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_THAT(AffinityCpus().value(), ElementsAre(all.back()));
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

}  // namespace
}  // namespace baton
