#ifndef BATON_MASTER_MASTER_LINK_H_
#define BATON_MASTER_MASTER_LINK_H_

// What the master's source files share of its private parts.

#include <deque>
#include <set>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "master/master.h"
#include "master/turn_watch.h"
#include "net/clock.h"
#include "net/fd_inlet.h"

namespace baton {

// As the supervisor and the event loop have it.
inline Instant MonotonicNow() {
  return absl::Nanoseconds(MonotonicClock::Get()->NowNanos());
}

// A worker that has been forked and not yet reaped.
struct Master::Link {
  Link(Master* master, const action::Fork& fork, WorkerProcess process,
       absl::Duration its_stall_timeout)
      : id(fork.worker),
        slot(fork.slot),
        generation(fork.generation),
        stall_timeout(its_stall_timeout),
        worker(std::move(process)),
        channel_inlet(master, &Master::OnChannel, fork.worker),
        exit_inlet(master, &Master::OnExit, fork.worker) {}

  absl::Status Watch(EventLoop& loop) {
    absl::Status status = channel_inlet.Watch(loop, worker.channel.fd());
    if (status.ok()) status = exit_inlet.Watch(loop, worker.process.pidfd());
    return status;
  }

  const WorkerId id;
  const int slot;
  const Generation generation;
  // As its own configuration has it, which may be forgotten before it ends;
  // 0 = none.
  const absl::Duration stall_timeout;
  WorkerProcess worker;
  // The paths of those that it was given and may write to.
  std::set<std::string> access_logs;
  FdInlet<Master, WorkerId> channel_inlet;  // both watch what `worker` owns
  FdInlet<Master, WorkerId> exit_inlet;
  // Messages that did not fit into the channel, oldest first.
  std::deque<std::string> unsent;
  bool unknown_reported = false;
  TurnWatch turn;
  bool stopped = false;  // by a signal
  // Where --max_rss ends its life, in bytes; 0 = not looked at yet.
  int64_t recycled_at_rss = 0;
  bool reserved_for = false;  // its heirs have been told how much comes
};

}  // namespace baton

#endif  // BATON_MASTER_MASTER_LINK_H_
