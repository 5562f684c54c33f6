#ifndef BATON_NET_LOG_HISTOGRAM_H_
#define BATON_NET_LOG_HISTOGRAM_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "net/counter.h"

namespace baton {

// How often a number was how large, by powers of two: bucket i counts what is
// at most 2^(kShift + i) and more than half of that, bucket 0 also what is
// smaller, and the last one what is larger than all; behind them stands the
// sum, a double. Like a Counter: one thread writes, any process reads, all zero
// at the start.
template <int kShift, size_t kBuckets>
class LogHistogram {
 public:
  static constexpr size_t kCells = kBuckets + 1;  // and the sum

  void Add(uint64_t value) { Add(value, 1); }
  // `times` that value.
  void Add(uint64_t value, uint64_t times) {
    buckets_[BucketOf(value)].Add(times);
    sum_.store(sum_.load(std::memory_order_relaxed) +
                   static_cast<double>(value) * static_cast<double>(times),
               std::memory_order_relaxed);
  }

  static size_t BucketOf(uint64_t value) {
    const uint64_t above = value == 0 ? 0 : (value - 1) >> kShift;
    const auto bucket = static_cast<size_t>(std::bit_width(above));
    return bucket < kBuckets ? bucket : kBuckets - 1;
  }
  // The most that bucket `i` counts; not of the last one.
  static uint64_t Bound(size_t i) { return uint64_t{1} << (kShift + i); }

 private:
  std::array<Counter, kBuckets> buckets_;
  // Of durations it may become more than a counter is trusted with.
  std::atomic<double> sum_{0};
};

// Of durations in nanoseconds: 1.024 us, 2.048 us, ... 17.2 s.
using NanosHistogram = LogHistogram<10, 26>;
// Of sizes in bytes: 64, 128, ... 1 GiB.
using BytesHistogram = LogHistogram<6, 26>;

static_assert(std::atomic<double>::is_always_lock_free);
static_assert(sizeof(NanosHistogram) == 8 * NanosHistogram::kCells);

}  // namespace baton

#endif  // BATON_NET_LOG_HISTOGRAM_H_
