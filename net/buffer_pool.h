#ifndef BATON_NET_BUFFER_POOL_H_
#define BATON_NET_BUFFER_POOL_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "net/counter.h"

namespace baton {

// Buffers for bytes that must outlive a suspension: a message in part, the rest
// of a write that did not fit. Most connections never need one. Sizes are
// powers of two; what is given back is kept for reuse up to a bound, and what
// is in use is bounded too: beyond the bound Take returns null and the
// operation ends with kOverload. Each such answer is counted. Memory that
// others allocate for what a peer sends can be counted against the same bound
// (BufferReservation). Not thread-safe.

class BufferPool;

// The bytes [begin, end) of `data()` are in use.
class Buffer {
 public:
  char* data() { return reinterpret_cast<char*>(this + 1); }
  absl::string_view bytes() { return {data() + begin, end - begin}; }
  size_t space() const { return capacity - end; }

  BufferPool* pool;
  uint32_t capacity;
  uint32_t begin;
  uint32_t end;

 private:
  friend class BufferPool;
  uint32_t size_class;
  Buffer* next;
};

struct BufferReturn {
  void operator()(Buffer* buffer) const;
};
using BufferPtr = std::unique_ptr<Buffer, BufferReturn>;

class BufferPool {
 public:
  static constexpr size_t kDefaultMaxBytes = size_t{256} << 20;
  static constexpr size_t kMaxKeptBytes = size_t{8} << 20;

  // `refused` may be null, and outlives the pool.
  explicit BufferPool(size_t max_bytes = kDefaultMaxBytes,
                      Counter* refused = nullptr)
      : max_bytes_(max_bytes), refused_(refused) {}
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  ~BufferPool();  // CHECKs that every buffer has come back

  // An empty buffer for at least `size` bytes; null when the pool's bound does
  // not allow it.
  BufferPtr Take(size_t size);

  size_t bytes_in_use() const { return bytes_in_use_; }
  size_t bytes_kept() const { return bytes_kept_; }

 private:
  friend struct BufferReturn;
  friend class BufferReservation;
  static constexpr size_t kSmallest = 512;  // header included
  static constexpr size_t kClasses =
      9;  // up to 128 KiB; larger ones are not kept
  void Give(Buffer* buffer);
  // Whether the bound allows so much more; counted if it does not.
  bool MayTake(size_t bytes);

  const size_t max_bytes_;
  Counter* const refused_;
  size_t bytes_in_use_ = 0;
  size_t bytes_kept_ = 0;
  std::array<Buffer*, kClasses> kept_{};
};

// A share of a pool's bound for memory that is not the pool's. Given back at
// the end; the pool outlives it.
class BufferReservation {
 public:
  explicit BufferReservation(BufferPool& pool) : pool_(pool) {}
  ~BufferReservation() { pool_.bytes_in_use_ -= size_; }
  BufferReservation(const BufferReservation&) = delete;
  BufferReservation& operator=(const BufferReservation&) = delete;

  // False if the bound does not allow so much; what was reserved stays so.
  bool GrowTo(size_t bytes);

 private:
  BufferPool& pool_;
  size_t size_ = 0;
};

}  // namespace baton

#endif  // BATON_NET_BUFFER_POOL_H_
