#ifndef BATON_MASTER_BACKOFF_H_
#define BATON_MASTER_BACKOFF_H_

// How long a slot waits before its next worker is forked.
//
// A worker that dies by its own fault each time it starts must not make the
// master fork as fast as it can; one that an operator or the OOM killer takes
// away must be back at once, however often that happens. So two kinds of death
// are kept apart:
//   * a fault (crash, bad exit code, failed fork, not ready in time) doubles
//     the wait each time, and only a minute of health forgets it;
//   * a kill from outside before the worker served says little about the
//     worker: it doubles the wait too, but the next worker that serves forgets
//     it. Killed while it serves, a worker is replaced at once, see slot.h.
//
// Pure; not thread-safe.

#include <algorithm>

#include "absl/time/time.h"

namespace baton {

class Backoff {
 public:
  static constexpr absl::Duration kFirst = absl::Milliseconds(100);
  static constexpr absl::Duration kLongest = absl::Seconds(30);
  // With one worker, nobody else serves meanwhile.
  static constexpr absl::Duration kLongestWhenAlone = absl::Seconds(1);
  // So long a worker must have served for its slot to have a clean record.
  static constexpr absl::Duration kHealthy = absl::Seconds(60);

  Backoff() = default;
  // As another one has counted.
  Backoff(int faults, int early_kills)
      : faults_(std::clamp(faults, 0, kMaxCount)),
        early_kills_(std::clamp(early_kills, 0, kMaxCount)) {}

  // What to wait after this death. `alone`: the server has one worker.
  absl::Duration AfterFault(bool alone) {
    if (faults_ < kMaxCount) ++faults_;
    return Delay(alone);
  }
  absl::Duration AfterEarlyKill(bool alone) {
    if (early_kills_ < kMaxCount) ++early_kills_;
    return Delay(alone);
  }

  void Served() { early_kills_ = 0; }
  void Healthy() { faults_ = early_kills_ = 0; }

  int faults() const { return faults_; }
  int early_kills() const { return early_kills_; }

 private:
  static constexpr int kMaxCount = 16;  // kFirst << 16 is beyond kLongest

  absl::Duration Delay(bool alone) const;

  int faults_ = 0;
  int early_kills_ = 0;
};

}  // namespace baton

#endif  // BATON_MASTER_BACKOFF_H_
