#include "tools/loadgen/histogram.h"

#include <algorithm>
#include <cmath>

namespace baton::loadgen {

void Histogram::Merge(const Histogram& other) {
  for (int i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

void Histogram::Clear() {
  std::fill(buckets_.begin(), buckets_.end(), 0);
  count_ = 0;
  sum_ = 0;
  max_ = 0;
}

int64_t Histogram::ValueAt(double quantile) const {
  if (count_ == 0) return 0;
  // 0.999 * 1000 is a hair more than 999 in binary: shrink it by more than the
  // rounding error, or the rank would be one too high.
  const double rank =
      std::ceil(quantile * static_cast<double>(count_) * (1 - 1e-15));
  const auto wanted = static_cast<uint64_t>(std::max(rank, 1.0));
  uint64_t seen = 0;
  for (int i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(UpperEnd(i), max_);
  }
  return max_;
}

int64_t Histogram::UpperEnd(int bucket) {
  if (bucket < kSubBuckets) return bucket;
  const int shift = bucket / kSubBuckets - 1;
  const uint64_t top = bucket % kSubBuckets + kSubBuckets;
  return static_cast<int64_t>(((top + 1) << shift) - 1);
}

}  // namespace baton::loadgen
