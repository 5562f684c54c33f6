#include "pool/job_queue.h"

#include <bit>
#include <utility>

#include "glog/logging.h"

namespace baton {

JobQueue::JobQueue(uint32_t capacity)
    : capacity_(capacity),
      mask_(std::has_single_bit(capacity) ? capacity - 1 : 0),
      shift_(std::bit_width(capacity) - 1),
      cells_(std::make_unique<Cell[]>(capacity)) {
  CHECK_GE(capacity, 1u);
}

JobQueue::~JobQueue() = default;

JobQueue::PushResult JobQueue::Push(Job& job) {
  uint64_t tail = tail_.load(std::memory_order_relaxed);
  while (true) {
    if ((tail & kClosed) != 0) return PushResult::kClosed;
    const auto [cell, lap] = PlaceOf(tail);
    const uint64_t turn = cell.turn.load(std::memory_order_acquire);
    if (turn == 2 * lap) {
      if (tail_.compare_exchange_weak(tail, tail + 1)) {
        cell.job = std::move(job);
        cell.turn.store(2 * lap + 1);
        return PushResult::kOk;
      }
      continue;  // `tail` is the present one now
    }
    const uint64_t now = tail_.load(std::memory_order_relaxed);
    // The cell still has the job of a lap ago, and no other is next.
    if (now == tail) return PushResult::kFull;
    tail = now;
  }
}

bool JobQueue::Pop(Job& job) {
  uint64_t head = head_.load(std::memory_order_relaxed);
  while (true) {
    const auto [cell, lap] = PlaceOf(head);
    if (cell.turn.load() == 2 * lap + 1) {
      if (head_.compare_exchange_weak(head, head + 1)) {
        job = std::move(cell.job);
        cell.turn.store(2 * lap + 2);
        return true;
      }
      continue;
    }
    const uint64_t now = head_.load(std::memory_order_relaxed);
    if (now == head) return false;
    head = now;
  }
}

// If another consumer takes it meanwhile, the one behind it is next.
bool JobQueue::HasNext() const {
  uint64_t head = head_.load();
  while (true) {
    const auto [cell, lap] = PlaceOf(head);
    if (cell.turn.load() == 2 * lap + 1) return true;
    const uint64_t now = head_.load();
    if (now == head) return false;
    head = now;
  }
}

bool JobQueue::Full() const {
  uint64_t tail = tail_.load() & ~kClosed;
  while (true) {
    const auto [cell, lap] = PlaceOf(tail);
    if (cell.turn.load() == 2 * lap) return false;
    const uint64_t now = tail_.load() & ~kClosed;
    if (now == tail) return true;
    tail = now;
  }
}

uint64_t JobQueue::size() const {
  const uint64_t head = head_.load();
  const uint64_t tail = tail_.load() & ~kClosed;
  return tail > head ? tail - head : 0;
}

}  // namespace baton
