// The supervisor's way to another binary, and back.

#include <algorithm>

#include "glog/logging.h"
#include "master/supervisor.h"

namespace baton {

using action::Severity;

// --- in the binary that is to be left

void Supervisor::On(const event::UpgradeRequested&) {
  if (phase_ != Phase::kUp && phase_ != Phase::kStarting) return;
  upgrade_pending_ = true;
}

// It reads the configuration again, too, but what is asked of a reload is asked
// of this binary.
void Supervisor::StartUpgrade() {
  upgrade_pending_ = false;
  ++upgrades_begun_;
  upgrade_.emplace();
  Log(Severity::kInfo, "upgrade_started",
      {{"generation", static_cast<int64_t>(last_generation_ + 1)}});
  Emit(action::CheckBinary{});
}

void Supervisor::SetUpgradeStage(UpgradeStage stage, Instant deadline) {
  upgrade_->stage = stage;
  upgrade_->deadline = deadline;
}

void Supervisor::On(const event::BinaryChecked& event) {
  if (!UpgradeIs(UpgradeStage::kChecking)) return;
  if (!event.refusal.empty()) {
    return EndUpgrade(ReloadResult::Outcome::kRejected, event.refusal);
  }
  SetUpgradeStage(UpgradeStage::kCanary, now_ + settings_.ready_timeout);
  Emit(action::StartCanary{last_generation_ + 1});
}

void Supervisor::On(const event::CanaryReady&) {
  if (!UpgradeIs(UpgradeStage::kCanary)) return;
  SetUpgradeStage(UpgradeStage::kProbation, now_ + settings_.probation);
}

void Supervisor::On(const event::CanaryEnded& event) {
  if (UpgradeIs(UpgradeStage::kCanaryEnding) && event.clean) {
    return SetUpgradeStage(UpgradeStage::kExec);
  }
  if (!UpgradeIs(UpgradeStage::kCanary) &&
      !UpgradeIs(UpgradeStage::kProbation) &&
      !UpgradeIs(UpgradeStage::kCanaryEnding)) {
    return;
  }
  EndUpgrade(ReloadResult::Outcome::kRolledBack,
             "the new binary's first worker: " + event.how);
}

void Supervisor::ExpireUpgrade() {
  if (stays() && now_ >= reload_again_at_) {
    reload_pending_ = true;
    reload_again_at_ = now_ + kReloadAgain;
  }
  if (!upgrade_.has_value() || now_ < upgrade_->deadline) return;
  switch (upgrade_->stage) {
    case UpgradeStage::kCanary:
      Emit(action::KillTrial{});
      return EndUpgrade(ReloadResult::Outcome::kRolledBack,
                        "the new binary's first worker: not ready within "
                        "ready_timeout");
    case UpgradeStage::kProbation:
      SetUpgradeStage(UpgradeStage::kCanaryEnding, now_ + kCanaryGrace);
      return Emit(action::StopCanary{});
    case UpgradeStage::kCanaryEnding:
      Emit(action::KillTrial{});
      return EndUpgrade(ReloadResult::Outcome::kRolledBack,
                        "the new binary's first worker: it is stuck");
    case UpgradeStage::kGoingBack:  // it is tried again
    case UpgradeStage::kChecking:   // the shell sees to the time
    case UpgradeStage::kExec:
    case UpgradeStage::kTakenUp:
    case UpgradeStage::kTakenBack:
      upgrade_->deadline = absl::InfiniteDuration();
      return;
  }
}

void Supervisor::EndUpgrade(ReloadResult::Outcome outcome,
                            const std::string& reason) {
  const Generation target = last_generation_ + 1;
  // Then a worker has had that number.
  if (outcome == ReloadResult::Outcome::kRolledBack) last_generation_ = target;
  FinishReload(outcome, reason, target);
}

// The server stops. A roll is ended like any other.
void Supervisor::AbandonUpgrade() {
  if (!upgrade_.has_value() || roll_.has_value() || loading_ != 0) return;
  if (upgrade_->stage < UpgradeStage::kExec) Emit(action::KillTrial{});
  EndUpgrade(upgrade_->stage < UpgradeStage::kTakenUp
                 ? ReloadResult::Outcome::kRejected
                 : ReloadResult::Outcome::kRolledBack,
             "the server is stopping");
}

// No worker must be about to be forked: it would be a child that the other
// binary does not know.
std::optional<Supervisor::ExecTo> Supervisor::exec_wanted() const {
  if (phase_ != Phase::kUp || !upgrade_.has_value()) return std::nullopt;
  const bool forking =
      std::any_of(workers_.begin(), workers_.end(), [](const auto& entry) {
        return entry.second.phase == WorkerPhase::kForking;
      });
  if (forking || removals_asked_ != 0 || now_ < retry_exec_at_) {
    return std::nullopt;
  }
  switch (upgrade_->stage) {
    case UpgradeStage::kExec:
      return ExecTo::kNewBinary;
    case UpgradeStage::kGoingBack:
      return ExecTo::kOldBinary;
    default:
      return std::nullopt;
  }
}

void Supervisor::On(const event::ExecFailed& event) {
  Log(Severity::kError, "exec_failed", {{"reason", event.reason}});
  if (UpgradeIs(UpgradeStage::kExec)) {
    return EndUpgrade(ReloadResult::Outcome::kRolledBack, event.reason);
  }
  if (!UpgradeIs(UpgradeStage::kGoingBack)) return;
  if (++upgrade_->failed_execs < kExecAttempts) {
    retry_exec_at_ = upgrade_->deadline = now_ + kExecRetry;
  } else {
    StayInNewBinary();
  }
}

// The old binary is not to be had any more, and the new one's configuration is
// no good. What serves goes on; who is missing comes with the next
// configuration, for which it asks until there is one.
void Supervisor::StayInNewBinary() {
  const std::string reason = upgrade_->reason;
  Log(Severity::kError, "no_way_back", {{"reason", reason}});
  if (roll_.has_value()) {
    const Generation target = roll_->target;
    roll_.reset();
    ++removals_asked_;
    Emit(action::DropConfig{target});
    FinishReload(ReloadResult::Outcome::kRolledBack, reason, target);
  } else {
    EndUpgrade(ReloadResult::Outcome::kRolledBack, reason);
  }
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (static_cast<int>(i) < settings_.workers) {
      slots_[i].generation = generation_;
      slots_[i].sockets.closing = false;
    } else if (slots_[i].generation != 0) {
      LeaveSlot(slots_[i]);
    }
  }
  reload_pending_ = true;
}

// --- in the other one

void Supervisor::On(const event::TakenUp&) {
  CHECK(phase_ == Phase::kIdle && upgrade_.has_value());
  phase_ = Phase::kUp;
  // Whoever is stuck is seen to be.
  for (auto& [id, worker] : workers_) {
    SetImpaired(worker, Impairment::kStuck, false);
  }
  if (upgrade_->stage == UpgradeStage::kExec) {
    SetUpgradeStage(UpgradeStage::kTakenUp);
    upgrade_->old_own_from = own_from_;
    own_from_ = loading_ = last_generation_ + 1;
    return Emit(
        action::LoadConfig{loading_, configured_workers_, settings_.workers});
  }
  SetUpgradeStage(UpgradeStage::kTakenBack);
  own_from_ = upgrade_->old_own_from;
  if (roll_.has_value()) {
    foreign_ = roll_->target;
  } else {
    EndUpgrade(ReloadResult::Outcome::kRolledBack,
               std::string(upgrade_->reason));
  }
}

// What the new binary can't do, the old one can.
void Supervisor::GoBack(const std::string& reason) {
  upgrade_->reason = reason;
  SetUpgradeStage(UpgradeStage::kGoingBack);
}

// This binary can't fork the other one's workers: where one is wanted, the
// slot's turn in the roll comes earlier.
void Supervisor::ReplaceForeignWorkers() {
  if (!roll_.has_value()) return;
  for (size_t i = 0; i < slots_.size(); ++i) {
    SupervisedSlot& slot = slots_[i];
    if (!IsForeign(slot.generation) || !WantsWorker(slot)) continue;
    const Generation wanted = RollWants(static_cast<int>(i));
    if (wanted == 0) {
      LeaveSlot(slot);
    } else if (!IsForeign(wanted)) {
      slot.generation = wanted;
      slot.retry_at = now_;
    }
  }
}

// --- the state

Supervisor::Supervisor(const SupervisorState& state)
    : settings_(state.settings),
      configured_workers_(state.configured_workers),
      slots_(state.slots),
      last_worker_(state.last_worker),
      last_ticket_(state.last_ticket),
      generation_(state.generation),
      last_generation_(state.last_generation),
      own_from_(state.own_from),
      reload_pending_(state.reload_pending),
      reloads_begun_(state.reloads_begun),
      reloads_finished_(state.reloads_finished),
      upgrades_begun_(state.upgrades_begun),
      upgrades_finished_(state.upgrades_finished),
      scale_to_(state.scale_to),
      pending_scale_(state.pending_scale),
      scaling_(state.scaling),
      scale_error_(state.scale_error),
      steered_(state.steered),
      steer_at_(state.steer_at),
      removed_(state.removed),
      roll_(state.roll),
      upgrade_pending_(state.upgrade_pending),
      upgrade_(state.upgrade),
      last_reload_(state.last_reload),
      failures_(state.failures),
      cut_while_leaving_(state.cut_while_leaving),
      handovers_broken_(state.handovers_broken) {
  for (const SupervisedWorker& worker : state.workers) {
    workers_.emplace(worker.id, worker);
  }
}

SupervisorState Supervisor::State() const {
  CHECK(exec_wanted().has_value());
  SupervisorState state{
      .settings = settings_,
      .configured_workers = configured_workers_,
      .slots = slots_,
      .workers = {},
      .last_worker = last_worker_,
      .last_ticket = last_ticket_,
      .generation = generation_,
      .last_generation = last_generation_,
      .own_from = own_from_,
      .reload_pending = reload_pending_,
      .upgrade_pending = upgrade_pending_,
      .reloads_begun = reloads_begun_,
      .reloads_finished = reloads_finished_,
      .upgrades_begun = upgrades_begun_,
      .upgrades_finished = upgrades_finished_,
      .scale_to = scale_to_,
      .pending_scale = pending_scale_,
      .scaling = scaling_,
      .scale_error = scale_error_,
      .steered = steered_,
      .steer_at = steer_at_,
      .removed = removed_,
      .roll = roll_,
      .upgrade = *upgrade_,
      .last_reload = last_reload_,
      .failures = failures_,
      .cut_while_leaving = cut_while_leaving_,
      .handovers_broken = handovers_broken_,
  };
  for (const auto& [id, worker] : workers_) state.workers.push_back(worker);
  return state;
}

}  // namespace baton
