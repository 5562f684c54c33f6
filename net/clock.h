#ifndef BATON_NET_CLOCK_H_
#define BATON_NET_CLOCK_H_

#include <cstdint>

#include "absl/time/time.h"

namespace baton {

// Time for timers and deadlines: monotonic nanoseconds since an arbitrary
// start. Wall-clock time, which jumps, is never used to measure anything. A
// component is given its Clock, so a test decides what time it is.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t NowNanos() = 0;
};

// CLOCK_MONOTONIC (clock_gettime(2), served by the vDSO: no system call).
// Thread-safe.
class MonotonicClock final : public Clock {
 public:
  static MonotonicClock* Get();
  int64_t NowNanos() override;
};

// A clock that moves only when it is told to. Not thread-safe.
class SimulatedClock final : public Clock {
 public:
  int64_t NowNanos() override { return now_nanos_; }
  void Advance(absl::Duration by) {
    now_nanos_ += absl::ToInt64Nanoseconds(by);
  }

 private:
  int64_t now_nanos_ = 1'000'000'000;
};

}  // namespace baton

#endif  // BATON_NET_CLOCK_H_
