#include "tools/loadgen/histogram.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace baton::loadgen {
namespace {

constexpr double kQuantiles[] = {0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};

// What the histogram stands in for: all values, sorted.
int64_t TrueValueAt(const std::vector<int64_t>& sorted, size_t permyriad) {
  const size_t rank = (sorted.size() * permyriad + 9999) / 10000;
  return sorted[std::max<size_t>(rank, 1) - 1];
}

TEST(HistogramTest, EmptyHasNoValues) {
  const Histogram histogram;
  for (const double q : kQuantiles) EXPECT_EQ(histogram.ValueAt(q), 0);
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.max(), 0);
  EXPECT_EQ(histogram.Mean(), 0);
}

TEST(HistogramTest, OneValueIsEveryQuantileExactly) {
  for (const int64_t value :
       {int64_t{0}, int64_t{1}, int64_t{127}, int64_t{128}, int64_t{1'000'003},
        std::numeric_limits<int64_t>::max()}) {
    Histogram histogram;
    histogram.Record(value);
    for (const double q : kQuantiles) EXPECT_EQ(histogram.ValueAt(q), value);
    EXPECT_EQ(histogram.max(), value);
  }
}

TEST(HistogramTest, NegativeCountsAsZero) {
  Histogram histogram;
  histogram.Record(-5);
  EXPECT_EQ(histogram.count(), 1);
  EXPECT_EQ(histogram.ValueAt(1), 0);
  EXPECT_EQ(histogram.Mean(), 0);
}

TEST(HistogramTest, SmallValuesAreExact) {
  Histogram histogram;
  for (int64_t value = 1; value <= 100; ++value) histogram.Record(value);
  EXPECT_EQ(histogram.ValueAt(0.01), 1);
  EXPECT_EQ(histogram.ValueAt(0.5), 50);
  EXPECT_EQ(histogram.ValueAt(0.99), 99);
  EXPECT_EQ(histogram.ValueAt(1), 100);
  EXPECT_DOUBLE_EQ(histogram.Mean(), 50.5);
}

// 0.999 * 1000 > 999 in floating point; the 999th value is the answer.
TEST(HistogramTest, RankIsNotOffByARoundingError) {
  Histogram histogram;
  for (int i = 0; i < 999; ++i) histogram.Record(1);
  histogram.Record(100);
  EXPECT_EQ(histogram.ValueAt(0.999), 1);
  EXPECT_EQ(histogram.ValueAt(0.9991), 100);
}

// Every bucket boundary, from both sides: a value is reported as itself or as
// at most 1/128 more.
TEST(HistogramTest, RelativeErrorIsBoundedAtEveryBoundary) {
  for (int shift = 0; shift < 55; ++shift) {
    for (int64_t sub = 128; sub < 256; ++sub) {
      const int64_t edge = sub << shift;
      for (const int64_t value : {edge - 1, edge, edge + 1}) {
        Histogram histogram;
        histogram.Record(value);
        histogram.Record(std::numeric_limits<int64_t>::max());
        const int64_t reported = histogram.ValueAt(0.5);
        ASSERT_GE(reported, value);
        ASSERT_LE(reported - value, value / 128) << value;
      }
    }
  }
}

TEST(HistogramTest, QuantilesOfRandomValuesAreWithinOnePercent) {
  std::mt19937_64 random(20240607);
  // Log-normal: six decades, as latencies are.
  std::lognormal_distribution<double> distribution(12, 2);
  Histogram histogram;
  std::vector<int64_t> values;
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(static_cast<int64_t>(distribution(random)));
    histogram.Record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const int permyriad : {1, 100, 2500, 5000, 9000, 9900, 9990, 9999}) {
    const int64_t wanted = TrueValueAt(values, permyriad);
    const int64_t got = histogram.ValueAt(permyriad / 10000.0);
    EXPECT_GE(got, wanted) << permyriad;
    EXPECT_LE(got, wanted * 1.01) << permyriad;
  }
  EXPECT_EQ(histogram.ValueAt(1), values.back());
}

TEST(HistogramTest, MergeIsRecordingBoth) {
  Histogram all, left, right;
  for (int64_t i = 0; i < 10'000; ++i) {
    all.Record(i * i);
    (i % 3 == 0 ? left : right).Record(i * i);
  }
  left.Merge(right);
  EXPECT_EQ(left.count(), all.count());
  EXPECT_EQ(left.max(), all.max());
  EXPECT_DOUBLE_EQ(left.Mean(), all.Mean());
  for (const double q : kQuantiles) {
    EXPECT_EQ(left.ValueAt(q), all.ValueAt(q)) << q;
  }
}

TEST(HistogramTest, ClearForgetsAll) {
  Histogram histogram;
  histogram.Record(1'000'000);
  histogram.Clear();
  histogram.Record(3);
  EXPECT_EQ(histogram.count(), 1);
  EXPECT_EQ(histogram.max(), 3);
  EXPECT_EQ(histogram.ValueAt(1), 3);
  EXPECT_EQ(histogram.Mean(), 3);
}

}  // namespace
}  // namespace baton::loadgen
