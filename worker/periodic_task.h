#ifndef BATON_WORKER_PERIODIC_TASK_H_
#define BATON_WORKER_PERIODIC_TASK_H_

// Problem: something must happen every minute, and sooner or later once takes
// longer than a minute. What is started all the same piles up; what is put off
// from its end drifts; what is skipped silently looks as if it had been done.
//
//   PeriodicTask refresh = RunEvery(absl::Seconds(60), [this](uint64_t missed)
//   {
//     Refresh();
//   });
//   PeriodicTask sweep = RunEveryOnPool("sweep", absl::Minutes(10), Sweep);
//   PeriodicTask hello = RunAfter(absl::Seconds(5), [] { ... });
//
// Ticks are at start + n * period, whatever a run takes. Never two runs of one
// task at a time: ticks that come meanwhile, or that the job pool refuses, are
// missed, and the next run is told how many there were since the one before, as
// timerfd's read does (timerfd_create(2)).
//
// They all are on the loop's one timerfd. For the loop's thread. A task lives
// in its handle: destroying it cancels it. A run on the pool that has begun
// goes on, and concerns nobody any more. A drain does not wait for tasks, only
// for such a run.

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace baton {

class [[nodiscard]] PeriodicTask {
 public:
  PeriodicTask() = default;
  PeriodicTask(PeriodicTask&&) = default;
  PeriodicTask& operator=(PeriodicTask&&) = default;

  void Cancel() { state_.reset(); }
  // Neither cancelled nor, of RunAfter's, over.
  bool active() const;

 private:
  friend PeriodicTask RunEvery(absl::Duration,
                               absl::AnyInvocable<void(uint64_t)>);
  friend PeriodicTask RunEveryOnPool(const char*, absl::Duration,
                                     void (*)(uint64_t));
  friend PeriodicTask RunAfter(absl::Duration, absl::AnyInvocable<void()>);
  class State;
  struct Deleter {
    void operator()(State* state) const;
  };
  explicit PeriodicTask(State* state) : state_(state) {}

  std::unique_ptr<State, Deleter> state_;
};

// Calls `run` on the loop, for the first time after one period. `period` is at
// least a millisecond. `run` may cancel and destroy its own task.
PeriodicTask RunEvery(absl::Duration period,
                      absl::AnyInvocable<void(uint64_t missed)> run);

// The same on the job pool. `name` is a literal.
PeriodicTask RunEveryOnPool(const char* name, absl::Duration period,
                            void (*run)(uint64_t missed));

// Calls `run` on the loop, once.
PeriodicTask RunAfter(absl::Duration delay, absl::AnyInvocable<void()> run);

}  // namespace baton

#endif  // BATON_WORKER_PERIODIC_TASK_H_
