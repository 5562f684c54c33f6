#ifndef BATON_MASTER_TURN_WATCH_H_
#define BATON_MASTER_TURN_WATCH_H_

// Problem: a worker that is stuck in a handler must be told from one that could
// not run: frozen with its container, stopped by an operator or a debugger,
// waiting for a slow disk under its log, or without a processor. By a clock
// they look the same.
//
// So time is counted in looks. A look at a worker that is still in the turn in
// which the last look found it is one more; a look at which it could not have
// run is known (is_stuck) but not held against it (counted_in_turn).
//
// Contract: Look() is called every kPeriod, or later: a late look is one look.
// Pure; one watch a worker.

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "master/process_usage.h"

namespace baton {

class TurnWatch {
 public:
  static constexpr absl::Duration kPeriod = absl::Milliseconds(500);

  // The worker's heartbeat: the number of its loop's turn, 0 before the first,
  // and whether the loop waits. `usage` is the loop's thread's, asked for only
  // if it is in a turn.
  void Look(uint64_t turns, bool waits,
            absl::FunctionRef<ProcessUsage()> usage);

  // It has been in one turn for a second.
  bool is_stuck() const { return in_turn() >= 2 * kPeriod; }
  // So long it has been in one turn at least, as the master counts.
  absl::Duration in_turn() const { return looks_ * kPeriod; }
  // The part of it in which it could have run.
  absl::Duration counted_in_turn() const { return counted_ * kPeriod; }
  // Why the last look was not counted; null if it was, or if it moves.
  const char* excuse() const { return excuse_; }

  // True once in each turn.
  bool FirstReportOfTurn();

 private:
  uint64_t turn_ = 0;
  int64_t looks_ = 0;
  int64_t counted_ = 0;
  double cpu_seconds_ = 0;  // at the last look in a turn
  const char* excuse_ = nullptr;
  bool reported_ = false;
};

}  // namespace baton

#endif  // BATON_MASTER_TURN_WATCH_H_
