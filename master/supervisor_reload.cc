// The supervisor's reload: load, roll slot by slot, commit or roll back.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "master/supervisor.h"

namespace baton {

using action::Severity;

void Supervisor::On(const event::ReloadRequested&) {
  if (phase_ != Phase::kUp && phase_ != Phase::kStarting) return;
  // However many are asked for during a reload, one more brings the latest.
  reload_pending_ = true;
}

void Supervisor::StartReload() {
  reload_pending_ = false;
  ++reloads_begun_;
  loading_ = last_generation_ + 1;
  Log(Severity::kInfo, "reload_started",
      {{"generation", static_cast<int64_t>(loading_)}});
  Emit(action::LoadConfig{loading_, configured_workers_, settings_.workers});
}

void Supervisor::On(const event::ConfigRejected& event) {
  CHECK_EQ(event.generation, loading_) << "nobody asked for it";
  loading_ = 0;
  if (upgrade_.has_value()) return GoBack(event.reason);
  FinishReload(ReloadResult::Outcome::kRejected, event.reason,
               event.generation);
}

void Supervisor::On(const event::ConfigLoaded& event) {
  CHECK_EQ(event.generation, loading_) << "nobody asked for it";
  CHECK_GE(event.settings.workers, 1);
  CHECK_GE(event.settings.max_draining, 1);
  loading_ = 0;
  last_generation_ = event.generation;
  const int workers = WorkersAfterReload(configured_workers_, settings_.workers,
                                         event.settings.workers);
  // Slots that come are empty until the roll reaches them. One that was on its
  // way out has sockets again: the load has seen to it.
  slots_.resize(std::max<size_t>(slots_.size(), workers));
  for (int i = 0; i < workers; ++i) {
    slots_[i].closed = slots_[i].sockets.closing = false;
  }
  if (phase_ != Phase::kUp) {
    ++removals_asked_;
    Emit(action::DropConfig{event.generation});
    return FinishReload(ReloadResult::Outcome::kRejected,
                        "the server is stopping", event.generation);
  }
  SupervisedRoll roll;
  roll.target = event.generation;
  roll.settings = event.settings;
  roll.settings.workers = workers;
  roll.configured = event.settings.workers;
  roll.proven = upgrade_.has_value();  // by the canary
  roll_ = roll;
}

// --- probation

// The first worker of a new generation shows that it can live before anybody
// depends on it.
bool Supervisor::StartProbation(SupervisedWorker& worker) {
  if (!rolling_forward_to(worker.generation) || roll_->proven ||
      roll_->settings.probation == absl::ZeroDuration()) {
    return false;
  }
  worker.deadline = now_ + roll_->settings.probation;
  return true;
}

bool Supervisor::OnProbation(const SupervisedWorker& worker) const {
  return worker.phase == WorkerPhase::kReady &&
         worker.deadline != absl::InfiniteDuration();
}

void Supervisor::EndProbation(SupervisedWorker& worker) {
  if (rolling_forward_to(worker.generation)) roll_->proven = true;
  Serve(worker);
}

// Which generation a slot has when the roll is through, or has been undone.
Generation Supervisor::RollWants(int slot) const {
  const int workers = roll_->back ? settings_.workers : roll_->settings.workers;
  if (slot >= workers) return 0;
  return roll_->back ? generation_ : roll_->target;
}

// The slots that stay in their order, then those that go, from the tail.
int Supervisor::NextRollSlot() const {
  const int count = static_cast<int>(slots_.size());
  for (int i = 0; i < count; ++i) {
    if (RollWants(i) != 0 && slots_[i].generation != RollWants(i)) return i;
  }
  for (int i = count - 1; i >= 0; --i) {
    if (RollWants(i) == 0 && slots_[i].generation != 0) return i;
  }
  return -1;
}

bool Supervisor::RollSlotDone(const SupervisedSlot& slot) const {
  if (StillPasses(slot)) return false;
  if (slot.generation == 0) return slot.current == 0 && slot.incoming == 0;
  const SupervisedWorker* current = FindWorker(slot.current);
  const bool serves =
      current != nullptr && current->generation == slot.generation;
  // The old configuration may be no better: its back-off holds up nobody else.
  return serves ||
         (roll_->back && (slot.retry_at > now_ || IsForeign(slot.generation)));
}

bool Supervisor::RollSlotWaitsForFork() const {
  if (!forks_allowed() || !roll_.has_value() || roll_->back) return false;
  return roll_->slot >= 0 && WantsWorker(slots_[roll_->slot]);
}

void Supervisor::AdvanceRoll() {
  if (!forks_allowed() || exec_pending()) return;
  while (roll_.has_value()) {
    if (RollSlotWaitsForFork() && now_ >= roll_->fork_deadline) {
      const std::string& error = slots_[roll_->slot].fork_error;
      roll_->fork_deadline = absl::InfiniteDuration();
      BeginRollBack(error.empty() ? "no new worker within ready_timeout"
                                  : error);
      if (exec_pending()) return;
      ForkWhereWanted();
    }
    if (roll_->slot >= 0) {
      if (!RollSlotDone(slots_[roll_->slot])) return;
      roll_->slot = -1;
    }
    const int next = NextRollSlot();
    if (next < 0) {
      // A roll back whose workers do not come up ends early if there is
      // something newer to try.
      const bool overtaken =
          roll_->back && reload_pending_ && phase_ == Phase::kUp;
      if (LeavingGenerationAccepts() && !overtaken) return;
      FinishRoll();
      break;
    }
    roll_->slot = next;
    roll_->fork_deadline = now_ + roll_->settings.ready_timeout;
    if (RollWants(next) == 0) {
      LeaveSlot(slots_[next]);
    } else {
      slots_[next].generation = RollWants(next);
      slots_[next].retry_at = now_;
    }
    ForkWhereWanted();
  }
  if (reload_pending_ && settled()) StartReload();
  if (upgrade_pending_ && settled()) StartUpgrade();
}

// Then its listeners must not go yet.
bool Supervisor::LeavingGenerationAccepts() const {
  return std::any_of(
      workers_.begin(), workers_.end(), [this](const auto& entry) {
        const SupervisedWorker& worker = entry.second;
        const bool leaves = roll_->back == (worker.generation == roll_->target);
        return leaves && worker.phase <= WorkerPhase::kRetiring;
      });
}

void Supervisor::BeginRollBack(const std::string& reason) {
  CHECK(!roll_->back);
  if (UpgradeIs(UpgradeStage::kTakenUp)) {
    // About to stop, it makes do with who is there.
    if (phase_ != Phase::kUp) return;
    GoBack(reason);
  }
  roll_->back = true;
  roll_->reason = reason;
  roll_->slot = -1;
  Log(Severity::kWarning, "reload_rolling_back",
      {{"generation", static_cast<int64_t>(roll_->target)},
       {"reason", reason}});
  for (size_t i = 0; i < slots_.size(); ++i) {
    SupervisedSlot& slot = slots_[i];
    // Where the new generation serves, it goes on until its turn comes.
    const SupervisedWorker* current = FindWorker(slot.current);
    if (current != nullptr && current->generation == roll_->target) continue;
    const Generation wanted = RollWants(static_cast<int>(i));
    if (slot.generation == wanted) continue;
    if (wanted == 0) {
      LeaveSlot(slot);
    } else {
      slot.generation = wanted;
      slot.retry_at = now_;
    }
  }
  UpdateSteering();  // before somebody is told to accept no more
  for (SupervisedSlot& slot : slots_) {
    SupervisedWorker* incoming = Find(slot.incoming);
    if (incoming != nullptr && incoming->generation == roll_->target) {
      Discard(*incoming);
    }
  }
}

void Supervisor::FinishRoll() {
  const SupervisedRoll roll = *roll_;
  roll_.reset();
  // A listener that came, or came back, has as many sockets as slots since.
  if (steered_ != kNotSteered) steered_ = 0;
  if (roll.back) {
    ++removals_asked_;
    Emit(action::DropConfig{roll.target});
    return FinishReload(ReloadResult::Outcome::kRolledBack, roll.reason,
                        roll.target);
  }
  generation_ = roll.target;
  settings_ = roll.settings;
  configured_workers_ = roll.configured;
  ++removals_asked_;
  Emit(action::CommitConfig{roll.target});
  FinishReload(ReloadResult::Outcome::kOk, "", roll.target);
}

void Supervisor::FinishReload(ReloadResult::Outcome outcome,
                              const std::string& reason,
                              Generation generation) {
  const bool upgrade = std::exchange(upgrade_, std::nullopt).has_value();
  if (upgrade || outcome == ReloadResult::Outcome::kOk) foreign_ = 0;
  reload_again_at_ = now_ + kReloadAgain;
  last_reload_ = ReloadResult{outcome, reason, generation, upgrade};
  ++(upgrade ? upgrades_finished_ : reloads_finished_);
  std::vector<std::pair<const char*, action::Log::Value>> fields = {
      {"outcome", std::string(ReloadOutcomeName(outcome))},
      {"generation", static_cast<int64_t>(generation)}};
  if (!reason.empty()) fields.emplace_back("reason", reason);
  Log(outcome == ReloadResult::Outcome::kOk ? Severity::kInfo
                                            : Severity::kWarning,
      upgrade ? "upgrade_finished" : "reload_finished", std::move(fields));
}

}  // namespace baton
