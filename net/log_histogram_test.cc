#include "net/log_histogram.h"

#include <cstdint>
#include <cstring>
#include <limits>

#include "gtest/gtest.h"

namespace baton {
namespace {

using Small = LogHistogram<2, 4>;  // at most 4, 8, 16, and more

TEST(LogHistogramTest, ABucketEndsAtItsBound) {
  EXPECT_EQ(Small::BucketOf(0), 0u);
  EXPECT_EQ(Small::BucketOf(1), 0u);
  EXPECT_EQ(Small::BucketOf(4), 0u);
  EXPECT_EQ(Small::BucketOf(5), 1u);
  EXPECT_EQ(Small::BucketOf(8), 1u);
  EXPECT_EQ(Small::BucketOf(9), 2u);
  EXPECT_EQ(Small::BucketOf(16), 2u);
  EXPECT_EQ(Small::BucketOf(17), 3u);
  EXPECT_EQ(Small::BucketOf(std::numeric_limits<uint64_t>::max()), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(Small::BucketOf(Small::Bound(i)), i);
    EXPECT_EQ(Small::BucketOf(Small::Bound(i) + 1), i + 1);
  }
}

TEST(LogHistogramTest, ItsCellsAreBucketsAndSum) {
  Small histogram;
  histogram.Add(3);
  histogram.Add(100, 5);
  uint64_t cells[Small::kCells];
  static_assert(sizeof(cells) == sizeof(histogram));
  std::memcpy(cells, static_cast<void*>(&histogram), sizeof(cells));
  EXPECT_EQ(cells[0], 1u);
  EXPECT_EQ(cells[1], 0u);
  EXPECT_EQ(cells[3], 5u);
  double sum;
  std::memcpy(&sum, &cells[4], sizeof(sum));
  EXPECT_EQ(sum, 503);
}

}  // namespace
}  // namespace baton
