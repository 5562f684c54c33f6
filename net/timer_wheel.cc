#include "net/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace baton {

Tick TicksFor(absl::Duration duration) {
  const absl::Duration longest = absl::Nanoseconds(kMaxTicks * kTickNanos);
  const int64_t nanos = absl::ToInt64Nanoseconds(std::min(duration, longest));
  return static_cast<Tick>(
      std::max<int64_t>((nanos + kTickNanos - 1) >> kTickShift, 1));
}

TimerWheel::TimerWheel(Tick now)
    : slots_(std::make_unique<TimerNode*[]>(kSlots)), now_(now) {}

void TimerWheel::File(TimerNode* node, Tick tick) {
  if (node->filed()) Remove(node);
  if (!TickBefore(now_, tick)) tick = now_ + 1;
  if (tick - now_ >= kSlots) tick = now_ + kSlots - 1;
  const uint32_t slot = tick & kMask;
  TimerNode** head = &slots_[slot];
  node->tick_ = tick;
  node->next_ = *head;
  node->link_ = head;
  if (*head != nullptr) (*head)->link_ = &node->next_;
  *head = node;
  MarkUsed(slot);
  if (size_++ == 0 || TickBefore(tick, next_)) next_ = tick;
}

void TimerWheel::Remove(TimerNode* node) {
  if (!node->filed()) return;
  *node->link_ = node->next_;
  if (node->next_ != nullptr) {
    node->next_->link_ = node->link_;
  } else if (node->link_ == &slots_[node->tick_ & kMask]) {
    MarkEmpty(node->tick_ & kMask);
  }
  node->next_ = nullptr;
  node->link_ = nullptr;
  --size_;
}

void TimerWheel::Advance(Tick now, absl::FunctionRef<void(TimerNode*)> due) {
  if (size_ == 0 || TickBefore(now, next_)) {
    now_ = now;
    return;
  }
  while (TickBefore(now_, now)) {
    const uint32_t slot = NextUsedSlot((now_ + 1) & kMask);
    const uint32_t ahead = (slot - now_ - 1) % kSlots;
    if (slot == kSlots || ahead >= now - now_) {
      next_ = now_ + 1 + ahead;
      now_ = now;
      return;
    }
    now_ += ahead + 1;
    // Off the wheel before the first call: what is filed meanwhile goes to
    // later ticks, so this list only shrinks.
    TimerNode* list = slots_[slot];
    slots_[slot] = nullptr;
    MarkEmpty(slot);
    list->link_ = &list;
    while (list != nullptr) {
      TimerNode* node = list;
      Remove(node);
      due(node);
    }
  }
  if (size_ > 0)
    next_ = now_ + 1 + (NextUsedSlot((now_ + 1) & kMask) - now_ - 1) % kSlots;
}

// The first slot marked used at or after `from`, going round; kSlots if there
// is none.
uint32_t TimerWheel::NextUsedSlot(uint32_t from) const {
  uint32_t word = from / 64;
  uint64_t bits = used_[word] & (~uint64_t{0} << (from % 64));
  for (size_t i = 0; i <= used_.size(); ++i) {
    if (bits != 0)
      return word * 64 + static_cast<uint32_t>(std::countr_zero(bits));
    word = (word + 1) % used_.size();
    bits = used_[word];
  }
  return kSlots;
}

}  // namespace baton
