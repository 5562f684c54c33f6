// The master's look at its workers' heartbeats: who is stuck, and for how long.

#include <utility>
#include <vector>

#include "glog/logging.h"
#include "master/master.h"
#include "master/master_link.h"
#include "master/process_usage.h"
#include "worker/log_event.h"

namespace baton {

void Master::LookAtHeartbeat(Link& link, std::vector<Event>& events) {
  const pid_t pid = link.worker.process.pid();
  const WorkerSnapshot now = link.worker.scoreboard.Read();
  const bool was_stuck = link.turn.is_stuck();
  link.turn.Look(now.turns, now.waiting != 0, [&link, pid] {
    ProcessUsage usage = ReadMainThreadUsage(pid);
    if (link.stopped) usage.state = 'T';
    return usage;
  });
  const bool stuck = link.turn.is_stuck();
  if (stuck != was_stuck) {
    LogEvent(stuck ? "worker_stuck" : "worker_moves_again",
             google::GLOG_WARNING)
        .Field("slot", link.slot)
        .Field("worker_pid", pid);
    events.push_back(event::WorkerImpaired{link.id, Impairment::kStuck, stuck});
  }
  const absl::Duration timeout = link.stall_timeout;
  if (timeout == absl::ZeroDuration() || link.turn.in_turn() < timeout) return;
  if (link.turn.counted_in_turn() >= timeout) {
    events.push_back(
        event::WorkerStalled{link.id, link.turn.counted_in_turn()});
  } else if (link.turn.excuse() != nullptr && link.turn.FirstReportOfTurn()) {
    LogEvent("worker_stall_spared", google::GLOG_WARNING)
        .Field("slot", link.slot)
        .Field("worker_pid", pid)
        .Field("reason", link.turn.excuse())
        .Field("in_turn_ms", absl::ToInt64Milliseconds(link.turn.in_turn()));
  }
}

// Of one that is ended, and whose core file somebody will want to read.
bool Master::DumpsCore(const Link& link) const {
  const SupervisedWorker* worker = supervisor_->FindWorker(link.id);
  return worker != nullptr && worker->phase == WorkerPhase::kEnding &&
         IsDumpingCore(link.worker.process.pid());
}

void Master::LookAtHeartbeats() {
  std::vector<Event> events;
  for (auto& [id, link] : links_) {
    LookAtHeartbeat(*link, events);
    if (DumpsCore(*link)) events.push_back(event::WorkerDumpsCore{id});
  }
  for (Event& event : events) Feed(std::move(event));
  LookAtMemory();
  heartbeat_timer_->Start(TurnWatch::kPeriod);
}

}  // namespace baton
