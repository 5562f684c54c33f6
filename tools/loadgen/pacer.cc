#include "tools/loadgen/pacer.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace baton::loadgen {
namespace {

int64_t Later(int64_t from, absl::Duration by) {
  const int64_t nanos = absl::ToInt64Nanoseconds(by);  // saturates
  return from > kNever - nanos ? kNever : from + nanos;
}

}  // namespace

Pacer::Pacer(const Plan& plan)
    : plan_(plan),
      nanos_per_exchange_(plan.rate > 0 ? 1e9 / plan.rate : 0),
      count_(plan.count > 0 ? plan.count : kNever) {}

void Pacer::Start(int64_t now) {
  start_ = now;
  last_call_ = Later(now, plan_.duration);
  if (nanos_per_exchange_ == 0) return;
  // Both limits in one: how many exchanges are due before the end.
  if (last_call_ != kNever) {
    const double due =
        static_cast<double>(last_call_ - now) / nanos_per_exchange_;
    if (due < static_cast<double>(count_)) {
      count_ = std::max<int64_t>(1, std::llround(std::ceil(due)));
    }
  }
  if (count_ != kNever) {
    last_call_ = Later(std::min(last_call_, DueAt(count_)), plan_.grace);
  }
}

int64_t Pacer::DueAt(int64_t index) const {
  const double after = static_cast<double>(index) * nanos_per_exchange_;
  if (after >= static_cast<double>(kNever - start_)) return kNever;
  return start_ + std::llround(after);
}

std::optional<int64_t> Pacer::Take(int64_t now) {
  const int64_t due = NextDue(now);
  if (due > now) return std::nullopt;
  ++taken_;
  return due;
}

int64_t Pacer::NextDue(int64_t now) const {
  if (taken_ >= count_ || now >= last_call_) return kNever;
  return nanos_per_exchange_ == 0 ? now : DueAt(taken_);
}

int64_t Pacer::unsent() const {
  return nanos_per_exchange_ == 0 || count_ == kNever ? 0 : count_ - taken_;
}

}  // namespace baton::loadgen
