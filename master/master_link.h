#ifndef BATON_MASTER_MASTER_LINK_H_
#define BATON_MASTER_MASTER_LINK_H_

// What the master's two source files share of its private parts.

#include <sys/epoll.h>

#include <deque>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "master/master.h"

namespace baton {

// A descriptor of which one method of the master is told.
class Master::Inlet final : public EventHandler {
 public:
  Inlet(Master* master, void (Master::*on_events)(WorkerId), WorkerId id)
      : master_(master), on_events_(on_events), id_(id) {}

  absl::Status Watch(EventLoop& loop, int fd) {
    absl::StatusOr<FdWatch> watch = FdWatch::Start(loop, fd, EPOLLIN, this);
    if (!watch.ok()) return watch.status();
    watch_ = *std::move(watch);
    return absl::OkStatus();
  }
  void Stop() { watch_.Stop(); }
  // Called again in the next round, for what was not read in this one.
  void Again() {
    if (watch_.active()) watch_.MakeReady();
  }

 private:
  // May destroy this object.
  void OnEvents(uint32_t /*events*/) override { (master_->*on_events_)(id_); }

  Master* const master_;
  void (Master::* const on_events_)(WorkerId);
  const WorkerId id_;
  FdWatch watch_;
};

// A worker that has been forked and not yet reaped.
struct Master::Link {
  Link(Master* master, const action::Fork& fork, WorkerProcess process)
      : id(fork.worker),
        slot(fork.slot),
        generation(fork.generation),
        worker(std::move(process)),
        channel_inlet(master, &Master::OnChannel, fork.worker),
        exit_inlet(master, &Master::OnExit, fork.worker) {}

  const WorkerId id;
  const int slot;
  const Generation generation;
  WorkerProcess worker;
  Inlet channel_inlet;  // both watch what `worker` owns
  Inlet exit_inlet;
  // Messages that did not fit into the channel, oldest first.
  std::deque<std::string> unsent;
  bool unknown_reported = false;
  // Of the worker's loop at the last look, and for how many looks it has been
  // in that same turn.
  uint64_t turn = 0;
  int looks_in_turn = 0;
};

}  // namespace baton

#endif  // BATON_MASTER_MASTER_LINK_H_
