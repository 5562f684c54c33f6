#include "master/supervisor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace baton {

Supervisor::Supervisor(const SupervisorSettings& settings)
    : settings_(settings), configured_workers_(settings.workers) {
  CHECK_GE(settings.workers, 1);
  CHECK_GE(settings.max_draining, 1);
}

std::vector<Action> Supervisor::Handle(Instant now, const Event& event) {
  if (phase_ == Phase::kExited) return {};
  now_ = std::max(now_, now);
  std::visit([this](const auto& what) { On(what); }, event);
  Settle();
  return std::exchange(actions_, {});
}

Instant Supervisor::next_deadline() const {
  if (phase_ == Phase::kExited) return absl::InfiniteDuration();
  Instant next = absl::InfiniteDuration();
  const auto consider = [&next](Instant at) { next = std::min(next, at); };
  if (phase_ == Phase::kStarting) consider(start_deadline_);
  if (phase_ == Phase::kDelaying) consider(delay_until_);
  for (const auto& [id, worker] : workers_) {
    consider(std::min(worker.deadline, worker.broken_deadline));
    consider(worker.room_at);
    if (worker.adopts_from > now_) consider(worker.adopts_from);
    if (worker.hand_over_at > now_) consider(worker.hand_over_at);
  }
  if (upgrade_.has_value()) consider(upgrade_->deadline);
  if (stays()) consider(reload_again_at_);
  if (forks_allowed() && !exec_pending()) {
    for (const SupervisedSlot& slot : slots_) {
      if (WantsWorker(slot) && !IsForeign(slot.generation)) {
        consider(slot.retry_at);
      }
    }
  }
  if (RollSlotWaitsForFork()) consider(roll_->fork_deadline);
  if (forks_allowed()) {
    for (const SupervisedSlot& slot : slots_) {
      // Once passed, it is something else that is waited for.
      if (slot.generation == 0 && !slot.closed && slot.linger_until > now_) {
        consider(slot.linger_until);
      }
    }
    for (const auto& [id, removed] : removed_) {
      if (removed.linger_until > now_) consider(removed.linger_until);
      if (removed.close_by > now_) consider(removed.close_by);
    }
    if (steered_ == kNotSteered) consider(steer_at_);
  }
  return next;
}

ServerState Supervisor::state() const {
  switch (phase_) {
    case Phase::kIdle:
    case Phase::kStarting:
      return ServerState::kStarting;
    case Phase::kUp:
      if (upgrade_.has_value()) return ServerState::kUpgrading;
      return roll_.has_value() || loading_ != 0 ? ServerState::kReloading
                                                : ServerState::kRunning;
    case Phase::kDelaying:
    case Phase::kDraining:
    case Phase::kQuitting:
    case Phase::kExited:
      return ServerState::kStopping;
  }
  LOG(FATAL) << "phase " << static_cast<int>(phase_);
  return ServerState::kStopping;
}

void Supervisor::Settle() {
  ExpireDeadlines();
  EndImpairments();
  ApplyScale();
  RecycleOne();
  ForkWhereWanted();
  AdvanceStart();
  AdvanceRoll();
  UpdateSteering();
  UpdateAdoption();
  UpdateHandovers();
  NoteScaled();
  CloseRemovedListeners();
  CloseUnusedSlots();
  AdvanceStop();
}

void Supervisor::ExpireDeadlines() {
  if (phase_ == Phase::kStarting && now_ >= start_deadline_) {
    FailStart(LateStartReason());
  }
  if (phase_ == Phase::kDelaying && now_ >= delay_until_) BeginDrain();
  ExpireUpgrade();
  // Again: one that expires may be the failure that makes the server stop, and
  // a stop_timeout of nothing is over at once.
  while (true) {
    std::vector<WorkerId> due;
    for (const auto& [id, worker] : workers_) {
      if (now_ >= std::min(worker.deadline, worker.broken_deadline)) {
        due.push_back(id);
      }
    }
    if (due.empty()) return;
    for (WorkerId id : due) {
      if (SupervisedWorker* worker = Find(id)) ExpireWorker(*worker);
    }
  }
}

void Supervisor::ForkWhereWanted() {
  if (!forks_allowed() || exec_pending()) return;
  ReplaceForeignWorkers();
  UpdateSteering();  // before somebody is told to accept no more
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].generation == 0) {
      if (SupervisedWorker* worker = Find(slots_[i].incoming)) Discard(*worker);
      if (SupervisedWorker* worker = Find(slots_[i].current)) {
        Retire(*worker, /*shut_down_listeners=*/false);
      }
    } else if (WantsWorker(slots_[i]) && now_ >= slots_[i].retry_at &&
               !IsForeign(slots_[i].generation)) {
      ForkWorker(static_cast<int>(i));
    }
  }
}

// --- start

void Supervisor::On(const event::Start&) {
  CHECK(phase_ == Phase::kIdle);
  phase_ = Phase::kStarting;
  start_deadline_ = now_ + settings_.ready_timeout;
  slots_.resize(settings_.workers);
  for (SupervisedSlot& slot : slots_) slot.generation = generation_;
}

void Supervisor::AdvanceStart() {
  if (phase_ != Phase::kStarting) return;
  const auto all = [this](WorkerId SupervisedSlot::* which, WorkerPhase phase) {
    return std::all_of(slots_.begin(), slots_.end(),
                       [&](const SupervisedSlot& slot) {
                         const SupervisedWorker* worker = Find(slot.*which);
                         return worker != nullptr && worker->phase == phase;
                       });
  };
  // Nobody is served by a start that fails half-way.
  if (all(&SupervisedSlot::incoming, WorkerPhase::kReady)) {
    for (SupervisedSlot& slot : slots_) Serve(*Find(slot.incoming));
  }
  if (all(&SupervisedSlot::current, WorkerPhase::kServing)) {
    phase_ = Phase::kUp;
    steered_ = settings_.workers;  // all sockets there are
    Emit(action::AnnounceReady{});
    // One that asked to be replaced meanwhile has a successor that waits.
    for (SupervisedSlot& slot : slots_) {
      SupervisedWorker* next = Find(slot.incoming);
      if (next != nullptr && next->phase == WorkerPhase::kReady) Serve(*next);
    }
  }
}

std::string Supervisor::LateStartReason() const {
  for (size_t i = 0; i < slots_.size(); ++i) {
    const SupervisedWorker* incoming = FindWorker(slots_[i].incoming);
    if (slots_[i].current != 0) continue;
    if (incoming != nullptr && incoming->phase == WorkerPhase::kReady) continue;
    if (!slots_[i].fork_error.empty()) return slots_[i].fork_error;
    return absl::StrCat("the worker of slot ", i,
                        " was not ready within ready_timeout");
  }
  LOG(FATAL) << "every worker is ready";
  return "";
}

void Supervisor::FailStart(const std::string& reason) {
  if (start_failed_) return;
  start_failed_ = true;
  Log(action::Severity::kError, "start_failed", {{"reason", reason}});
  BeginQuit();
}

void Supervisor::Log(
    action::Severity severity, const char* name,
    std::vector<std::pair<const char*, action::Log::Value>> fields) {
  Emit(action::Log{severity, name, std::move(fields)});
}

void Supervisor::LogWorker(
    action::Severity severity, const char* name, const SupervisedWorker& worker,
    std::vector<std::pair<const char*, action::Log::Value>> more) {
  std::vector<std::pair<const char*, action::Log::Value>> fields = {
      {"slot", int64_t{worker.slot}},
      {"generation", static_cast<int64_t>(worker.generation)},
      {"worker_pid", int64_t{worker.pid}}};
  fields.insert(fields.end(), std::make_move_iterator(more.begin()),
                std::make_move_iterator(more.end()));
  Log(severity, name, std::move(fields));
}

}  // namespace baton
