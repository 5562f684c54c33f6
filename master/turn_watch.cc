#include "master/turn_watch.h"

#include <utility>

namespace baton {
namespace {

// The states are those of proc_pid_stat(5).
const char* ExcuseOf(const ProcessUsage& usage, double cpu_seconds_before) {
  switch (usage.state) {
    case 'T':
      return "stopped";
    case 't':
      return "traced";
    case 'D':
      return "uninterruptible_sleep";
    case 'R':
      // It wants to run, and nobody lets it.
      return usage.cpu_seconds == cpu_seconds_before ? "no_processor" : nullptr;
    default:
      return nullptr;
  }
}

}  // namespace

void TurnWatch::Look(uint64_t turns, bool waits,
                     absl::FunctionRef<ProcessUsage()> usage) {
  const bool in_turn = !waits && turns != 0;
  const bool moves = !in_turn || turns != turn_;
  // What the next look compares with is taken from the first one on.
  const ProcessUsage now = in_turn ? usage() : ProcessUsage();
  const double cpu_seconds_before =
      std::exchange(cpu_seconds_, now.cpu_seconds);
  turn_ = turns;
  if (moves) {
    looks_ = counted_ = 0;
    excuse_ = nullptr;
    reported_ = false;
    return;
  }
  excuse_ = ExcuseOf(now, cpu_seconds_before);
  ++looks_;
  if (excuse_ == nullptr) ++counted_;
}

bool TurnWatch::FirstReportOfTurn() { return !std::exchange(reported_, true); }

}  // namespace baton
