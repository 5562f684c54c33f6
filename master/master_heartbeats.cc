// The master's look at its workers' heartbeats: who is stuck, and for how long.

#include <iterator>
#include <utility>
#include <vector>

#include "glog/logging.h"
#include "master/master.h"
#include "master/master_link.h"
#include "worker/log_event.h"

namespace baton {

// A worker's own configuration is forgotten once another one serves. After an
// upgrade that one is, too, until the roll is through: then it is what comes.
absl::Duration Master::StallTimeoutOf(Generation generation) const {
  auto config = configs_.find(generation);
  if (config == configs_.end())
    config = configs_.find(supervisor_->generation());
  if (config == configs_.end() && !configs_.empty())
    config = std::prev(configs_.end());
  return config == configs_.end() ? absl::ZeroDuration()
                                  : config->second->stall_timeout;
}

void Master::LookAtHeartbeat(Link& link, std::vector<Event>& events) {
  const pid_t pid = link.worker.process.pid();
  const WorkerSnapshot now = link.worker.scoreboard.Read();
  const bool was_stuck = link.turn.is_stuck();
  link.turn.Look(now.turns, now.waiting != 0, [&link, pid] {
    ProcessUsage usage = ReadProcessUsage(pid);
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
  const absl::Duration timeout = StallTimeoutOf(link.generation);
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

void Master::LookAtHeartbeats() {
  std::vector<Event> events;
  for (auto& [id, link] : links_) LookAtHeartbeat(*link, events);
  for (Event& event : events) Feed(std::move(event));
  LookAtMemory();
  heartbeat_timer_->Start(TurnWatch::kPeriod);
}

}  // namespace baton
