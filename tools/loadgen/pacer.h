#ifndef BATON_TOOLS_LOADGEN_PACER_H_
#define BATON_TOOLS_LOADGEN_PACER_H_

// Problem: a client that waits for one answer before it sends the next request
// asks less of a server just while that is slow, and so measures the good times
// only (coordinated omission). At a constant rate the requests have times of
// their own, and a late one has been slow from the moment it should have left.
//
// The Pacer says when exchanges may begin. It is arithmetic, without a queue:
// the n-th exchange of a constant rate is due at start + n / rate, whether or
// not a connection is free; whoever is late asks again and again until it has
// caught up.
//
// Contract
// * Closed loop (rate 0): an exchange may begin at any time before the end.
// * Constant rate: Take() gives the times of the schedule in order, none twice
//   and none left out. When the schedule's end is past, exchanges that are
//   overdue may still begin for `grace`; what is left then is unsent().
// * Limits: `duration` and `count`, where given; else it never ends.
// * Times are monotonic nanoseconds; the caller's clock must not run backwards.
// * Pure state, no I/O; not thread-safe.

#include <cstdint>
#include <limits>
#include <optional>

#include "absl/time/time.h"

namespace baton::loadgen {

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

class Pacer {
 public:
  struct Plan {
    double rate = 0;    // exchanges per second, all connections; 0: closed loop
    int64_t count = 0;  // 0: no limit
    absl::Duration duration = absl::InfiniteDuration();
    absl::Duration grace = absl::ZeroDuration();
  };

  explicit Pacer(const Plan& plan);

  // Time counts from here. Before that nothing is due at a constant rate, and a
  // closed loop, whose first exchanges may be spoken for while connections are
  // being made, has no limit but the count.
  void Start(int64_t now);

  // The time from which the exchange that now begins is measured; nothing when
  // none may begin yet, or any more.
  std::optional<int64_t> Take(int64_t now);

  // When Take() will next give something: `now` or earlier if it would at once,
  // kNever if it will not.
  int64_t NextDue(int64_t now) const;

  // No exchange will begin any more.
  bool Over(int64_t now) const { return NextDue(now) == kNever; }

  // When Over() becomes true at the latest; kNever without a limit.
  int64_t last_call() const { return last_call_; }

  // Exchanges of the schedule that have not begun. 0 in a closed loop.
  int64_t unsent() const;

 private:
  int64_t DueAt(int64_t index) const;

  Plan plan_;
  double nanos_per_exchange_;  // 0: closed loop
  int64_t count_;
  int64_t start_ = kNever;
  int64_t last_call_ = kNever;  // nothing begins from here on
  int64_t taken_ = 0;
};

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_PACER_H_
