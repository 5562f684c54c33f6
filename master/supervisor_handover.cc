// Where the connections of workers go that leave.

#include <algorithm>
#include <utility>

#include "master/supervisor.h"

namespace baton {

using action::Severity;

// --- recycling

void Supervisor::On(const event::RecycleRequested& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->recycle_wanted || worker->replace_wanted ||
      worker->phase >= WorkerPhase::kRetiring) {
    return;
  }
  worker->recycle_wanted = true;
  LogWorker(Severity::kInfo, "worker_recycle_requested", *worker,
            {{"reason", event.reason}});
}

// Workers that began together reach their limits together. One goes after the
// other: each has handed over before the next one is replaced.
void Supervisor::RecycleOne() {
  // A roll replaces them all.
  if (!settled() || stays()) return;
  // Nothing is so urgent about it that somebody else's request had to be cut.
  const int most = drain_settings().max_draining;
  WorkerId next = 0;
  for (const auto& [id, worker] : workers_) {
    if (!worker.recycle_wanted || worker.phase > WorkerPhase::kPassing)
      continue;
    if (worker.replace_wanted) return;
    const SupervisedSlot& slot = slots_[worker.slot];
    if (next == 0 && slot.current == id && Draining(slot) < most) next = id;
  }
  if (next == 0) return;
  Replace(*Find(next));
}

// --- handover

void Supervisor::StartPassing(SupervisedWorker& worker) {
  worker.phase = WorkerPhase::kPassing;
  worker.drain_until = now_ + drain_settings().drain_timeout;
  worker.deadline =
      std::min(now_ + kPassTimeout, worker.drain_until + kDrainGrace);
  LogWorker(Severity::kInfo, "worker_draining", worker);
}

void Supervisor::On(const event::ConnectionsPassed& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->phase != WorkerPhase::kPassing) return;
  LogWorker(Severity::kInfo, "connections_passed", *worker,
            {{"connections_left", static_cast<int64_t>(event.left)}});
  EndPassing(*worker);
}

// It still passes on what becomes idle, but nobody waits for that.
void Supervisor::EndPassing(SupervisedWorker& worker) {
  worker.phase = WorkerPhase::kDraining;
  worker.deadline = worker.drain_until + kDrainGrace;
}

void Supervisor::On(const event::HandoverBroken& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->handover_round != event.round) return;
  ++handovers_broken_;
  worker->handover_round = 0;
  worker->hand_over_at = now_ + kHandoverRetry;
}

void Supervisor::On(const event::WorkerPinned& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr || worker->phase < WorkerPhase::kPassing) return;
  worker->pinned = event.pinned;
}

bool Supervisor::MayTakeOver(WorkerId id) const {
  const SupervisedWorker* worker = FindWorker(id);
  constexpr uint8_t kDoesNotMove = 1 << static_cast<int>(Impairment::kStuck) |
                                   1 << static_cast<int>(Impairment::kStopped);
  return worker != nullptr && worker->phase == WorkerPhase::kServing &&
         worker->broken_reason.empty() &&
         (worker->impairments & kDoesNotMove) == 0;
}

std::vector<WorkerId> Supervisor::HeirsOf(
    const SupervisedWorker& worker) const {
  const SupervisedSlot& own = slots_[worker.slot];
  std::vector<WorkerId> heirs;
  if (own.generation != 0) {
    if (MayTakeOver(own.current)) heirs.push_back(own.current);
    return heirs;
  }
  for (const SupervisedSlot& slot : slots_) {
    if (slot.generation != 0 && MayTakeOver(slot.current))
      heirs.push_back(slot.current);
  }
  return heirs;
}

void Supervisor::UpdateHandovers() {
  if (!forks_allowed()) return;
  for (auto& [id, worker] : workers_) {
    if (worker.phase != WorkerPhase::kPassing &&
        worker.phase != WorkerPhase::kDraining) {
      continue;
    }
    std::vector<WorkerId> heirs = HeirsOf(worker);
    const bool told = worker.handover_round != 0;
    // With nobody there it goes on by itself, and needs to hear that once.
    if (told && (heirs == worker.heirs || heirs.empty())) continue;
    if (now_ < worker.hand_over_at) continue;
    worker.handover_round = ++last_ticket_;
    worker.heirs = std::move(heirs);
    Emit(action::HandOver{
        id, worker.heirs, worker.handover_round,
        std::max(worker.drain_until - now_, absl::ZeroDuration())});
  }
}

// What an operator needs to know of one that is cut.
std::vector<std::pair<const char*, action::Log::Value>>
Supervisor::PinnedFields(const SupervisedWorker& worker,
                         const std::string& reason) const {
  std::vector<std::pair<const char*, action::Log::Value>> fields = {
      {"reason", reason}};
  const Pinned& pinned = worker.pinned;
  if (pinned.empty()) return fields;
  fields.emplace_back("connections", static_cast<int64_t>(pinned.connections));
  fields.emplace_back("handlers", static_cast<int64_t>(pinned.handlers));
  fields.emplace_back("jobs", static_cast<int64_t>(pinned.jobs));
  if (pinned.connections == 0) return fields;
  fields.emplace_back("oldest_s",
                      absl::ToInt64Seconds(now_ - pinned.oldest_since));
  fields.emplace_back("oldest_service", pinned.service);
  fields.emplace_back("oldest_peer", pinned.peer);
  return fields;
}

bool Supervisor::Leaves(const SupervisedWorker& worker) {
  return worker.phase >= WorkerPhase::kRetiring &&
         worker.phase <= WorkerPhase::kDraining;
}

int Supervisor::Draining(const SupervisedSlot& slot) const {
  return static_cast<int>(
      std::count_if(slot.outgoing.begin(), slot.outgoing.end(),
                    [this](WorkerId id) { return Leaves(*FindWorker(id)); }));
}

bool Supervisor::StillPasses(const SupervisedSlot& slot) const {
  return std::any_of(slot.outgoing.begin(), slot.outgoing.end(),
                     [this](WorkerId id) {
                       const WorkerPhase phase = FindWorker(id)->phase;
                       return phase == WorkerPhase::kRetiring ||
                              phase == WorkerPhase::kPassing;
                     });
}

}  // namespace baton
