#ifndef BATON_POOL_HISTOGRAM_H_
#define BATON_POOL_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace baton {

// How often a duration was how long, in powers of two: bucket i counts those of
// less than 2^i nanoseconds and not less than half of that; the last one also
// what is longer (2^35 ns is 34 s).
using HistogramCounts = std::array<uint64_t, 36>;

// Counted by one thread, read by any.
class Histogram {
 public:
  void Add(int64_t nanos) {
    const auto bits = static_cast<size_t>(
        std::bit_width(static_cast<uint64_t>(std::max<int64_t>(nanos, 0))));
    std::atomic<uint64_t>& count = counts_[std::min(bits, counts_.size() - 1)];
    count.store(count.load(std::memory_order_relaxed) + 1,
                std::memory_order_relaxed);
  }
  void AddTo(HistogramCounts& sum) const {
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] += counts_[i].load(std::memory_order_relaxed);
    }
  }

 private:
  std::array<std::atomic<uint64_t>, std::tuple_size_v<HistogramCounts>>
      counts_{};
};

}  // namespace baton

#endif  // BATON_POOL_HISTOGRAM_H_
