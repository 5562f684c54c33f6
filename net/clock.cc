#include "net/clock.h"

#include <time.h>

namespace baton {

MonotonicClock* MonotonicClock::Get() {
  static MonotonicClock clock;
  return &clock;
}

int64_t MonotonicClock::NowNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace baton
