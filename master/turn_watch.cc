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
  const bool moves = waits || turns == 0 || turns != turn_;
  turn_ = turns;
  if (moves) {
    looks_ = counted_ = 0;
    cpu_seconds_ = -1;
    excuse_ = nullptr;
    reported_ = false;
    return;
  }
  const ProcessUsage now = usage();
  excuse_ = ExcuseOf(now, cpu_seconds_);
  cpu_seconds_ = now.cpu_seconds;
  ++looks_;
  if (excuse_ == nullptr) ++counted_;
}

bool TurnWatch::FirstReportOfTurn() { return !std::exchange(reported_, true); }

}  // namespace baton
