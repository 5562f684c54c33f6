// The supervisor's dealings with one worker: its way from fork to exit.

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "master/supervisor.h"

namespace baton {

using action::Severity;

const SupervisedWorker* Supervisor::FindWorker(WorkerId id) const {
  const auto it = workers_.find(id);
  return it == workers_.end() ? nullptr : &it->second;
}

SupervisedWorker* Supervisor::Find(WorkerId id) {
  const auto it = workers_.find(id);
  return it == workers_.end() ? nullptr : &it->second;
}

const SupervisorSettings& Supervisor::SettingsOf(Generation generation) const {
  return roll_.has_value() && roll_->target == generation ? roll_->settings
                                                          : settings_;
}

// What the operator wrote last holds for workers that are on their way out.
const SupervisorSettings& Supervisor::drain_settings() const {
  return roll_.has_value() && !roll_->back ? roll_->settings : settings_;
}

bool Supervisor::forks_allowed() const {
  return phase_ == Phase::kStarting || phase_ == Phase::kUp ||
         phase_ == Phase::kDelaying;
}

bool Supervisor::WantsWorker(const SupervisedSlot& slot) const {
  if (slot.generation == 0 || slot.incoming != 0) return false;
  const SupervisedWorker* current = FindWorker(slot.current);
  return current == nullptr || current->generation != slot.generation ||
         current->replace_wanted;
}

// --- to be

void Supervisor::ForkWorker(int slot) {
  SupervisedWorker worker;
  worker.id = ++last_worker_;
  worker.slot = slot;
  worker.generation = slots_[slot].generation;
  slots_[slot].incoming = worker.id;
  Emit(action::Fork{worker.id, slot, worker.generation});
  workers_.emplace(worker.id, std::move(worker));
}

void Supervisor::On(const event::Forked& event) {
  SupervisedWorker* worker = Find(event.worker);
  CHECK(worker != nullptr && worker->phase == WorkerPhase::kForking)
      << "nobody asked for worker " << event.worker;
  worker->pid = event.pid;
  worker->phase = WorkerPhase::kStarting;
  SupervisedSlot& slot = SlotOf(*worker);
  slot.fork_error.clear();
  LogWorker(Severity::kInfo, "worker_started", *worker);
  if (slot.incoming != worker->id || !forks_allowed()) {
    EndWorker(*worker);
  } else if (phase_ != Phase::kStarting) {  // else start_deadline_ rules
    worker->deadline = now_ + SettingsOf(worker->generation).ready_timeout;
  }
}

void Supervisor::On(const event::ForkFailed& event) {
  SupervisedWorker* worker = Find(event.worker);
  CHECK(worker != nullptr && worker->phase == WorkerPhase::kForking)
      << "nobody asked for worker " << event.worker;
  SupervisedSlot& slot = SlotOf(*worker);
  const absl::Duration delay = slot.backoff.AfterFault(alone());
  slot.retry_at = now_ + delay;
  slot.fork_error = event.reason;
  Log(Severity::kWarning, "fork_failed",
      {{"slot", int64_t{worker->slot}},
       {"reason", event.reason},
       {"retry_ms", absl::ToInt64Milliseconds(delay)}});
  Forget(worker->id);
}

void Supervisor::On(const event::WorkerReady& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->phase != WorkerPhase::kStarting) return;
  worker->phase = WorkerPhase::kReady;
  worker->deadline = absl::InfiniteDuration();
  LogWorker(Severity::kInfo, "worker_ready", *worker);
  if (phase_ == Phase::kStarting) return;  // all at once
  if (StartProbation(*worker)) return;
  Serve(*worker);
}

void Supervisor::Serve(SupervisedWorker& worker) {
  worker.phase = WorkerPhase::kAdding;
  if (phase_ != Phase::kStarting) {
    worker.deadline = now_ + SettingsOf(worker.generation).ready_timeout;
  }
  Emit(action::Serve{worker.id});
}

void Supervisor::On(const event::WorkerServing& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->phase != WorkerPhase::kAdding) return;
  worker->phase = WorkerPhase::kServing;
  worker->deadline = absl::InfiniteDuration();
  worker->serving_since = now_;
  LogWorker(Severity::kInfo, "worker_serving", *worker);
  SupervisedSlot& slot = SlotOf(*worker);
  slot.backoff.Served();
  slot.live = slot.generation != 0;
  slot.incoming = 0;
  SupervisedWorker* previous = Find(std::exchange(slot.current, worker->id));
  if (previous != nullptr) Retire(*previous, /*shut_down_listeners=*/false);
}

// --- not to be

void Supervisor::On(const event::ReplaceRequested& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->replace_wanted) return;
  // While the server stops, a worker's SIGTERM is part of that.
  if (phase_ != Phase::kStarting && phase_ != Phase::kUp) return;
  if (worker->phase >= WorkerPhase::kRetiring) return;
  LogWorker(Severity::kInfo, "worker_replace_requested", *worker);
  Replace(*worker);
}

void Supervisor::Replace(SupervisedWorker& worker) {
  worker.replace_wanted = true;
  // Else a worker that asks as soon as it runs would have us fork without end.
  SupervisedSlot& slot = SlotOf(worker);
  const Instant since = std::min(worker.serving_since, now_);
  slot.retry_at = std::max(slot.retry_at, since + kMinReplaceAge);
}

void Supervisor::Detach(SupervisedWorker& worker) {
  SupervisedSlot& slot = SlotOf(worker);
  if (slot.current == worker.id) slot.current = 0;
  if (slot.incoming == worker.id) slot.incoming = 0;
  auto& outgoing = slot.outgoing;
  if (std::find(outgoing.begin(), outgoing.end(), worker.id) ==
      outgoing.end()) {
    outgoing.push_back(worker.id);
  }
}

void Supervisor::Retire(SupervisedWorker& worker, bool shut_down_listeners) {
  Detach(worker);
  worker.phase = WorkerPhase::kRetiring;
  worker.deadline = std::min(now_ + kAcceptStopTimeout, stop_deadline_);
  Emit(action::StopAccepting{worker.id, shut_down_listeners});
  if (!stopping()) CutBeyondMaxDraining(SlotOf(worker));
}

void Supervisor::On(const event::AcceptStopped& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->phase < WorkerPhase::kRetiring) return;
  worker->accept_stopped = true;
  if (worker->phase == WorkerPhase::kRetiring) StartDrain(*worker);
}

void Supervisor::StartDrain(SupervisedWorker& worker) {
  if (!stopping()) return StartPassing(worker);
  const absl::Duration timeout =
      std::max(stop_deadline_ - now_, absl::ZeroDuration());
  worker.phase = WorkerPhase::kDraining;
  worker.deadline = now_ + timeout + kDrainGrace;
  Emit(action::Drain{worker.id, timeout});
  LogWorker(Severity::kInfo, "worker_draining", worker);
}

void Supervisor::CutBeyondMaxDraining(SupervisedSlot& slot) {
  int draining = 0;
  for (size_t i = slot.outgoing.size(); i-- > 0;) {
    SupervisedWorker& worker = *Find(slot.outgoing[i]);
    if (!Leaves(worker)) continue;
    if (++draining <= drain_settings().max_draining) continue;
    LogWorker(Severity::kWarning, "worker_cut", worker,
              PinnedFields(worker, "max_draining"));
    EndWorker(worker);
  }
}

void Supervisor::On(const event::WorkerDrained& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->phase < WorkerPhase::kPassing ||
      worker->phase > WorkerPhase::kEnding) {
    return;
  }
  const uint64_t cut = std::min(event.connections_cut, kMostConnectionsCut);
  const bool cut_before = worker->phase == WorkerPhase::kEnding;
  if (!stopping()) cut_while_leaving_ += cut;
  if (!stopping() && !cut_before && cut > 0) {
    LogWorker(Severity::kWarning, "worker_cut", *worker,
              PinnedFields(*worker, "drain_timeout"));
  }
  LogWorker(cut == 0 ? Severity::kInfo : Severity::kWarning, "worker_drained",
            *worker, {{"connections_cut", static_cast<int64_t>(cut)}});
  if (phase_ == Phase::kQuitting) connections_cut_ += cut;
  // A cut by stop_timeout may be told after the SIGQUIT that came next.
  const bool told_late = std::exchange(worker->uncounted, false) &&
                         phase_ == Phase::kQuitting && stop_timeout_over_;
  if (told_late && cut > 0) stop_timeout_cut_ = true;
  if (cut_before) return;
  if (phase_ == Phase::kDraining) {
    connections_cut_ += cut;
    stop_timeout_cut_ = stop_timeout_cut_ || cut > 0;
  }
  // Nothing is left but its exit.
  worker->phase = WorkerPhase::kEnding;
  worker->deadline = now_ + kStopGrace;
}

void Supervisor::EndWorker(SupervisedWorker& worker) {
  Detach(worker);
  EndAdoptions(worker.id);
  // A fork that is not answered yet is ended by the answer.
  if (worker.phase == WorkerPhase::kForking) return;
  if (worker.phase >= WorkerPhase::kEnding) return EndSooner(worker, now_);
  worker.phase = WorkerPhase::kEnding;
  worker.deadline = now_ + kStopGrace;
  Emit(action::StopWorker{worker.id});
}

void Supervisor::KillWorker(SupervisedWorker& worker) {
  Detach(worker);
  EndAdoptions(worker.id);
  worker.phase = WorkerPhase::kKilled;
  worker.deadline = now_ + kUnkillableTimeout;
  worker.broken_deadline = absl::InfiniteDuration();
  Emit(action::Kill{worker.id, SIGKILL});
}

// For one that is no longer wanted before it has served for good.
void Supervisor::Discard(SupervisedWorker& worker) {
  if (worker.phase == WorkerPhase::kAdding) {  // it may have accepted
    Retire(worker, /*shut_down_listeners=*/false);
  } else {
    EndWorker(worker);
  }
}

void Supervisor::ExpireWorker(SupervisedWorker& worker) {
  const bool broken = now_ >= worker.broken_deadline;
  if (!broken && worker.phase == WorkerPhase::kRetiring) {
    LogWorker(Severity::kWarning, "worker_slow_to_stop_accepting", worker);
    StartDrain(worker);
    // Nor will it hand over soon.
    if (worker.phase == WorkerPhase::kPassing) EndPassing(worker);
    return;
  }
  if (!broken && worker.phase == WorkerPhase::kPassing &&
      now_ < worker.drain_until + kDrainGrace) {
    LogWorker(Severity::kWarning, "worker_slow_to_hand_over", worker);
    return EndPassing(worker);
  }
  if (worker.phase == WorkerPhase::kKilled) {
    worker.deadline = absl::InfiniteDuration();
    if (!stopping()) return;
    LogWorker(Severity::kError, "worker_unkillable", worker);
    return Forget(worker.id);
  }
  if (!broken && worker.phase == WorkerPhase::kReady)
    return EndProbation(worker);
  const WorkerPhase phase = worker.phase;
  const std::string reason = broken ? worker.broken_reason
                             : phase < WorkerPhase::kServing
                                 ? "not ready within ready_timeout"
                                 : "did not end in time";
  LogWorker(Severity::kWarning, "worker_killed", worker, {{"reason", reason}});
  if (phase_ == Phase::kQuitting || phase == WorkerPhase::kDraining) {
    CountCut(worker);
  }
  Failed(worker, /*killed_from_outside=*/false, reason);
  KillWorker(worker);
}

void Supervisor::On(const event::WorkerBroken& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || !worker->broken_reason.empty()) return;
  if (worker->phase == WorkerPhase::kKilled) return;
  worker->broken_reason = event.reason;
  worker->broken_deadline = now_ + kBrokenGrace;
}

void Supervisor::On(const event::WorkerExited& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr) return;  // a stop did not wait for it any longer
  SlotOf(*worker).last_exit = event.status;
  const bool expected =
      worker->phase >= WorkerPhase::kKilled ||
      (worker->phase >= WorkerPhase::kPassing && event.status.clean());
  LogWorker(expected ? Severity::kInfo : Severity::kWarning, "worker_exited",
            *worker, {{"status", event.status.ToString()}});
  Failed(*worker, event.status.killed_from_outside(), event.status.ToString());
  Forget(event.worker);
}

void Supervisor::On(const event::WorkerStalled& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->phase == WorkerPhase::kForking) return;
  // It is ended already, for whatever reason.
  if (worker->phase >= WorkerPhase::kEnding) return;
  LogWorker(Severity::kWarning, "worker_stalled", *worker,
            {{"in_turn_ms", absl::ToInt64Milliseconds(event.in_turn)}});
  Emit(action::Kill{worker->id, SIGABRT});
  CountCut(*worker);
  Failed(*worker, /*killed_from_outside=*/false,
         absl::StrCat("stalled for ", absl::FormatDuration(event.in_turn)));
  EndAdoptions(worker->id);
  worker->phase = WorkerPhase::kEnding;
  worker->deadline = now_ + kAbortGrace;
  worker->dump_until = now_ + kCoreDumpLimit;
  if (phase_ == Phase::kDraining) EndSooner(*worker, stop_deadline_);
  if (phase_ == Phase::kQuitting) EndSooner(*worker, now_);
}

void Supervisor::On(const event::WorkerDumpsCore& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->phase != WorkerPhase::kEnding) return;
  if (phase_ == Phase::kQuitting) return;
  const Instant later = std::min(now_ + kAbortGrace, worker->dump_until);
  worker->deadline = std::max(worker->deadline, later);
  if (phase_ == Phase::kDraining) EndSooner(*worker, stop_deadline_);
}

// One that is writing its stack trace would make a stop late.
void Supervisor::EndSooner(SupervisedWorker& worker, Instant asked) {
  if (worker.phase != WorkerPhase::kEnding) return;
  worker.deadline = std::min(worker.deadline, asked + kStopGrace);
}

// --- what follows from a death

void Supervisor::Failed(SupervisedWorker& worker, bool killed_from_outside,
                        const std::string& reason) {
  const bool was_current = SlotOf(worker).current == worker.id;
  const bool was_incoming = SlotOf(worker).incoming == worker.id;
  Detach(worker);
  worker.phase = WorkerPhase::kKilled;  // nothing more is said to it
  if (!forks_allowed()) return;
  if (was_current) CurrentFailed(worker, killed_from_outside, reason);
  if (was_incoming) IncomingFailed(worker, killed_from_outside, reason);
}

void Supervisor::CurrentFailed(const SupervisedWorker& worker,
                               bool killed_from_outside,
                               const std::string& reason) {
  SupervisedSlot& slot = SlotOf(worker);
  ++slot.restarts;
  if (phase_ == Phase::kStarting) {
    return FailStart(absl::StrCat("the worker of slot ", worker.slot,
                                  " ended at the start: ", reason));
  }
  const bool healthy = now_ - worker.serving_since >= Backoff::kHealthy;
  if (healthy) slot.backoff.Healthy();
  slot.retry_at = now_;
  if (killed_from_outside) return;
  if (!rolling_forward_to(worker.generation)) CountFailure();
  if (healthy) return;
  slot.retry_at += slot.backoff.AfterFault(alone());
  if (rolling_forward_to(worker.generation)) {
    BeginRollBack(
        absl::StrCat("the new worker of slot ", worker.slot, ": ", reason));
  }
}

void Supervisor::IncomingFailed(const SupervisedWorker& worker,
                                bool killed_from_outside,
                                const std::string& reason) {
  SupervisedSlot& slot = SlotOf(worker);
  ++slot.restarts;
  if (phase_ == Phase::kStarting) {
    return FailStart(absl::StrCat("the worker of slot ", worker.slot,
                                  " failed before it was ready: ", reason));
  }
  slot.retry_at =
      now_ + (killed_from_outside ? slot.backoff.AfterEarlyKill(alone())
                                  : slot.backoff.AfterFault(alone()));
  // Whatever was wrong with another generation is no reason to wait.
  if (worker.generation != slot.generation) slot.retry_at = now_;
  if (rolling_forward_to(worker.generation)) {
    return BeginRollBack(
        absl::StrCat("the new worker of slot ", worker.slot, ": ", reason));
  }
  CountFailure();
}

void Supervisor::Forget(WorkerId id) {
  const auto it = workers_.find(id);
  SupervisedSlot& slot = SlotOf(it->second);
  if (slot.current == id) slot.current = 0;
  if (slot.incoming == id) slot.incoming = 0;
  slot.outgoing.erase(
      std::remove(slot.outgoing.begin(), slot.outgoing.end(), id),
      slot.outgoing.end());
  EndAdoptions(id);
  workers_.erase(it);
}

}  // namespace baton
