#ifndef BATON_TOOLS_LOADGEN_HISTOGRAM_H_
#define BATON_TOOLS_LOADGEN_HISTOGRAM_H_

// Problem: the tail of a latency distribution is what matters, and a mean or a
// sample loses it. Keeping every value costs memory in proportion to the run.
//
// A log-linear histogram, after the idea of HdrHistogram (Gil Tene,
// hdrhistogram.org): each power of two is divided into 128 buckets of equal
// width, so that a bucket is never wider than 1/128 of the values in it.
//
// Contract
// * Values are whole numbers from 0 to 2^63 - 1, in any unit. A negative value
//   is recorded as 0.
// * ValueAt() gives the upper end of the bucket, clipped to the largest value
//   recorded: never less than the true value, and more by 1/128 (0.8 %) at
//   most. Below 128, and for max(), it is exact.
// * Record() is O(1), allocates nothing. 57 KiB each.
// * Not thread-safe.

#include <bit>
#include <cstdint>
#include <vector>

namespace baton::loadgen {

class Histogram {
 public:
  Histogram() : buckets_(kBuckets) {}

  void Record(int64_t value) {
    if (value < 0) value = 0;
    ++buckets_[BucketOf(static_cast<uint64_t>(value))];
    ++count_;
    sum_ += static_cast<double>(value);
    if (value > max_) max_ = value;
  }

  void Merge(const Histogram& other);
  void Clear();

  // The smallest value that at least `quantile` (0 to 1) of all values do not
  // exceed. 0 when nothing was recorded.
  int64_t ValueAt(double quantile) const;

  int64_t count() const { return count_; }
  int64_t max() const { return max_; }
  double Mean() const { return count_ == 0 ? 0 : sum_ / count_; }

 private:
  static constexpr int kSubBits = 7;
  static constexpr int kSubBuckets = 1 << kSubBits;
  // Values below 128 have a bucket each; then 128 for each of the 56 powers of
  // two from 2^7 to 2^62.
  static constexpr int kBuckets = (63 - kSubBits + 1) * kSubBuckets;

  static int BucketOf(uint64_t value) {
    if (value < kSubBuckets) return static_cast<int>(value);
    const int shift = std::bit_width(value) - (kSubBits + 1);
    // The leading bit of value >> shift is 128: it is what adds the one row.
    return shift * kSubBuckets + static_cast<int>(value >> shift);
  }
  static int64_t UpperEnd(int bucket);

  std::vector<uint64_t> buckets_;
  int64_t count_ = 0;
  int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_HISTOGRAM_H_
