#ifndef BATON_NET_WITH_DEADLINE_H_
#define BATON_NET_WITH_DEADLINE_H_

#include <optional>
#include <type_traits>
#include <utility>

#include "absl/time/time.h"
#include "net/event_loop.h"
#include "net/task.h"

namespace baton {

// co_await WithDeadline(absl::Seconds(5), Talk(...)): the task's result if it
// ended in time, else nullopt (for a Task<void>: true or false). At the
// deadline the task is cancelled: whatever it waits in returns kCancelled, it
// ends by itself, and only then does WithDeadline return. Nothing is left
// running.
template <typename T>
Task<std::optional<T>> WithDeadline(absl::Duration limit, Task<T> task) {
  Strand strand;
  Timer timer(EventLoop::Current(), [&strand] { strand.Cancel(); });
  timer.Start(limit);
  std::optional<T> result(co_await internal::OnStrand(task, strand));
  if (!timer.pending() && limit != absl::InfiniteDuration()) result.reset();
  co_return std::move(result);
}

inline Task<bool> WithDeadline(absl::Duration limit, Task<void> task) {
  Strand strand;
  Timer timer(EventLoop::Current(), [&strand] { strand.Cancel(); });
  timer.Start(limit);
  co_await internal::OnStrand(task, strand);
  co_return timer.pending() || limit == absl::InfiniteDuration();
}

}  // namespace baton

#endif  // BATON_NET_WITH_DEADLINE_H_
