#ifndef BATON_POOL_JOB_QUEUE_H_
#define BATON_POOL_JOB_QUEUE_H_

// A bounded queue of jobs for any number of producers and consumers, without a
// lock and without an allocation.
//
// A ring of cells. Positions are handed out by two counters, one for each end;
// a cell's own counter says whose turn it is there: 2 * lap when it is free for
// the producer of that lap, 2 * lap + 1 when it is filled for its consumer. So
// a position is claimed by one compare-and-swap, and whoever has claimed one
// shares the cell with nobody. (The idea of a counter in each cell is Dmitry
// Vyukov's bounded MPMC queue, 1024cores.net; counting laps by two makes a ring
// of one cell work as well.)
//
// A cell is one cache line and holds the job itself: that is the storage which
// is recycled. A job is taken out before it runs, so a long one blocks no cell.
//
// Close() is a bit in the producers' counter. No position is claimed after it,
// and every one that was claimed before will be filled: so when a consumer
// finds Finished(), nothing is left behind, and nothing can come.
//
// Memory order: a cell's counter is stored and loaded sequentially consistent
// where somebody may be about to sleep on its account (job_pool.cc says how).
//
// Thread-safe, but for construction and destruction. Jobs that are still in it
// when it is destroyed are destroyed without being run.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "pool/job.h"

namespace baton {

class JobQueue {
 public:
  enum class PushResult { kOk, kFull, kClosed };

  // At least 1; at most so many jobs wait.
  explicit JobQueue(uint32_t capacity);
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // Takes `job` if it returns kOk, else leaves it as it was.
  PushResult Push(Job& job);
  // False if nothing is there, or what is next is still being written.
  bool Pop(Job& job);

  void Close() { tail_.fetch_or(kClosed); }
  bool closed() const { return (tail_.load() & kClosed) != 0; }
  // Closed, and every job was popped.
  bool Finished() const {
    const uint64_t tail = tail_.load();
    return (tail & kClosed) != 0 && head_.load() == (tail & ~kClosed);
  }
  // Nothing waits, as of some moment during the call. What is being written
  // counts as waiting.
  bool Empty() const { return head_.load() >= (tail_.load() & ~kClosed); }
  // The job that is next can be popped.
  bool HasNext() const;
  // A push would find no room.
  bool Full() const;
  // How many wait, about.
  uint64_t size() const;
  // How many were ever pushed, about.
  uint64_t pushed() const {
    return tail_.load(std::memory_order_relaxed) & ~kClosed;
  }
  uint32_t capacity() const { return capacity_; }

 private:
  static constexpr uint64_t kClosed = uint64_t{1} << 63;

  struct alignas(64) Cell {
    std::atomic<uint64_t> turn{0};
    Job job;
  };
  struct Place {
    Cell& cell;
    uint64_t lap;
  };
  Place PlaceOf(uint64_t position) const {
    if (mask_ != 0) return {cells_[position & mask_], position >> shift_};
    return {cells_[position % capacity_], position / capacity_};
  }

  const uint32_t capacity_;
  const uint64_t mask_;  // 0: the capacity is no power of two
  const int shift_;
  const std::unique_ptr<Cell[]> cells_;
  alignas(64) std::atomic<uint64_t> tail_{0};  // of producers
  alignas(64) std::atomic<uint64_t> head_{0};  // of consumers
};

}  // namespace baton

#endif  // BATON_POOL_JOB_QUEUE_H_
