#ifndef BATON_TOOLS_LOADGEN_ENGINE_CLOCK_H_
#define BATON_TOOLS_LOADGEN_ENGINE_CLOCK_H_

// Monotonic nanoseconds, without a virtual call: it is read once an exchange.

#include <chrono>
#include <cstdint>

namespace baton::loadgen {

inline constexpr int64_t kNanosPerSecond = 1'000'000'000;

inline int64_t NowNanos() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_ENGINE_CLOCK_H_
