#include "worker/worker_limits.h"

#include <cstdint>
#include <limits>
#include <set>

#include "gtest/gtest.h"
#include "worker/settings.h"

namespace baton {
namespace {

TEST(WorkerLimitsTest, RequestsAreSpreadOverATenthAboveTheFlag) {
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t requests = RequestsUntilRecycled(1'000'000);
    EXPECT_GE(requests, 1'000'000u);
    EXPECT_LE(requests, 1'100'000u);
    seen.insert(requests);
  }
  EXPECT_GT(seen.size(), 900u) << "siblings ask together";
}

TEST(WorkerLimitsTest, FewRequestsAreNotSpread) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(RequestsUntilRecycled(9), 9u);
}

TEST(WorkerLimitsTest, WithoutTheFlagItIsNeverRecycled) {
  EXPECT_EQ(RequestsUntilRecycled(0), std::numeric_limits<uint64_t>::max());
}

TEST(WorkerLimitsTest, ConnectionsAreWhatTheFlagOrTheDescriptorsAllow) {
  WorkerSettings settings;
  EXPECT_GE(MaxConnections(settings), 1);
  settings.max_connections = 12;
  EXPECT_EQ(MaxConnections(settings), 12);
}

}  // namespace
}  // namespace baton
