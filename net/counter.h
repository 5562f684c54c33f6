#ifndef BATON_NET_COUNTER_H_
#define BATON_NET_COUNTER_H_

// Numbers that one thread writes and another process may read at any moment.
//
// A worker counts bytes, requests and connections millions of times a second;
// the master and the admin child read the same memory now and then. A plain
// integer would be a data race, a fetch_add costs a locked instruction for a
// guarantee that nobody needs, because each number has exactly one writer.
// A Counter therefore adds by a relaxed load and a relaxed store: the same two
// moves the compiler would emit for a plain integer.
//
// Contract: one writing thread; any number of readers in any process. Readers
// see some value the writer stored, never a torn one, and no order between two
// counters. Both types are 8 bytes, start at zero when their memory is zero,
// and may live in memory shared between processes.

#include <atomic>
#include <cstdint>

namespace baton {

// Grows only. Wraps at 2^64, which nothing here reaches.
class Counter {
 public:
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n,
                 std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Goes up and down: how many there are now, or a state.
class Gauge {
 public:
  void Add(int64_t n) { Set(value() + n); }
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// A locked fallback would not work between processes.
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(Counter) == 8 && sizeof(Gauge) == 8);

}  // namespace baton

#endif  // BATON_NET_COUNTER_H_
