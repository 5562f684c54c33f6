#ifndef BATON_NET_TIMER_WHEEL_H_
#define BATON_NET_TIMER_WHEEL_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"

namespace baton {

// A hashed timer wheel for very many timers that are nearly always put off and
// seldom fire: the idle deadline of every connection (scheme 6 of Varghese and
// Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987).
//
// Time is counted in ticks of 2^22 ns (4.2 ms), 32 bits wide and compared
// modulo 2^32: a deadline in ticks lies at most kMaxTicks (52 days) ahead. The
// wheel is lazy. A node is *filed* under a tick that is not later than its real
// deadline, which only its owner knows; when that tick comes, the owner is
// asked, and files the node again if its deadline has moved meanwhile. Putting
// a deadline off therefore costs its owner one store and the wheel nothing, and
// a deadline beyond the wheel's horizon (69 s) is simply filed at the horizon.
// Filing and removing are O(1), no allocation.
//
// The wheel never owns a node; a node must be removed before it is destroyed.
// Not thread-safe.

using Tick = uint32_t;

inline constexpr int kTickShift = 22;
inline constexpr int64_t kTickNanos = int64_t{1} << kTickShift;

inline constexpr int64_t kMaxTicks = int64_t{1} << 30;

// A time-out in whole ticks, rounded up, from 1 (zero, negative) to kMaxTicks.
Tick TicksFor(absl::Duration duration);

// a before b, in modulo arithmetic.
inline bool TickBefore(Tick a, Tick b) {
  return static_cast<int32_t>(a - b) < 0;
}

class TimerNode {
 public:
  TimerNode() = default;
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;

  bool filed() const { return link_ != nullptr; }
  Tick filed_tick() const { return tick_; }  // only while filed

 protected:
  // Which client of the loop the node belongs to: it is told when the node's
  // tick comes.
  explicit TimerNode(uint8_t client) : client_(client) {}
  void set_client(uint8_t client) { client_ = client; }

 private:
  friend class TimerWheel;
  friend class EventLoop;

  TimerNode* next_ = nullptr;
  TimerNode** link_ =
      nullptr;  // the pointer that points here; null = not filed
  Tick tick_ = 0;
  uint8_t client_ =
      0;  // derived classes keep their flags in the padding behind
};

class TimerWheel {
 public:
  static constexpr uint32_t kSlots = 16384;

  // `now`: every tick up to and including it counts as past.
  explicit TimerWheel(Tick now);

  // Files `node` under `tick`, wherever it was before. A tick that is past is
  // taken as the next one.
  void File(TimerNode* node, Tick tick);
  void Remove(TimerNode* node);

  // Moves on to `now`. Takes each node whose tick has come out of the wheel and
  // passes it to `due`, which may file, remove and destroy any node, the one
  // passed included; one filed meanwhile is not due before the next call.
  void Advance(Tick now, absl::FunctionRef<void(TimerNode*)> due);

  // An empty wheel may be left alone for longer than ticks can tell; before a
  // node is filed then, it must be brought to `now`.
  void SkipIfEmpty(Tick now) {
    if (size_ == 0) now_ = now;
  }

  Tick now() const { return now_; }
  bool empty() const { return size_ == 0; }
  uint32_t size() const { return size_; }
  // No node is filed under an earlier tick. Exact, except that it stays where
  // it is, until it has passed, when the node that was filed there is removed
  // or put off. Only when not empty.
  Tick NextTick() const { return next_; }

 private:
  static constexpr uint32_t kMask = kSlots - 1;

  void MarkUsed(uint32_t slot) {
    used_[slot / 64] |= uint64_t{1} << (slot % 64);
  }
  void MarkEmpty(uint32_t slot) {
    used_[slot / 64] &= ~(uint64_t{1} << (slot % 64));
  }
  uint32_t NextUsedSlot(uint32_t from) const;

  // Each slot holds nodes of one tick only, since no node is filed kSlots or
  // more ticks ahead.
  std::unique_ptr<TimerNode*[]> slots_;
  std::array<uint64_t, kSlots / 64> used_{};  // a bit per slot: not empty
  uint32_t size_ = 0;
  Tick now_;
  Tick next_ = 0;
};

}  // namespace baton

#endif  // BATON_NET_TIMER_WHEEL_H_
