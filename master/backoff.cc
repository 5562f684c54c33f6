#include "master/backoff.h"

#include <algorithm>
#include <cstdint>

namespace baton {

absl::Duration Backoff::Delay(bool alone) const {
  const int count = std::max(faults_, early_kills_);
  const absl::Duration delay = kFirst * (int64_t{1} << (count - 1));
  return std::min(delay, alone ? kLongestWhenAlone : kLongest);
}

}  // namespace baton
