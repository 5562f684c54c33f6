#ifndef BATON_NET_SLAB_H_
#define BATON_NET_SLAB_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "glog/logging.h"

namespace baton {

// Objects addressed by a 32-bit index that stay where they are. A freed object
// is not destroyed but kept and reused, last freed first, so that it can carry
// a generation from one use to the next: an index and a generation together
// name one use of one object for good. Memory is taken in chunks and never
// given back: it follows the high-water mark. T is default-constructed once.
// Not thread-safe.
template <typename T>
class Slab {
 public:
  uint32_t Allocate() {
    if (free_.empty()) Grow();
    const uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }

  void Free(uint32_t index) { free_.push_back(index); }

  T& operator[](uint32_t index) {
    return chunks_[index / kChunk][index % kChunk];
  }

  // Indexes below this one have been handed out at least once or are free.
  uint32_t capacity() const {
    return static_cast<uint32_t>(chunks_.size()) * kChunk;
  }
  uint32_t in_use() const {
    return capacity() - static_cast<uint32_t>(free_.size());
  }

 private:
  static constexpr uint32_t kChunk = 64;

  void Grow() {
    const uint32_t base = capacity();
    CHECK_LT(base, uint32_t{1} << 31);
    chunks_.push_back(std::make_unique<T[]>(kChunk));
    for (uint32_t i = kChunk; i > 0; --i) free_.push_back(base + i - 1);
  }

  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<uint32_t> free_;
};

}  // namespace baton

#endif  // BATON_NET_SLAB_H_
