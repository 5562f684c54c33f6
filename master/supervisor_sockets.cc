// The slots' sockets: how many there are, who accepts from them, and where new
// connections go.

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "master/supervisor.h"

namespace baton {

using action::Severity;

namespace {

uint8_t BitOf(Impairment what) {
  return static_cast<uint8_t>(1 << static_cast<int>(what));
}

}  // namespace

// --- how many

void Supervisor::On(const event::ScaleRequested& event) {
  if (phase_ != Phase::kUp && phase_ != Phase::kStarting) return;
  // Below the minimum nothing is remembered: the next one more is one more.
  pending_scale_ = std::max(pending_scale_ + event.by, 1 - settings_.workers);
}

void Supervisor::ApplyScale() {
  if (phase_ != Phase::kUp || roll_.has_value() || loading_ != 0 ||
      opening_ != 0) {
    return;
  }
  const int wanted =
      std::max(settings_.workers + std::exchange(pending_scale_, 0), 1);
  if (wanted == settings_.workers) return;
  Log(Severity::kInfo, "scale_started",
      {{"workers", int64_t{wanted}}, {"before", int64_t{settings_.workers}}});
  // Also for slots that linger: a listener that came meanwhile has no sockets
  // for them.
  if (wanted > settings_.workers) {
    opening_ = wanted;
    return Emit(action::OpenSlots{wanted});
  }
  ServeSlots(wanted);
}

void Supervisor::On(const event::SlotsOpened& event) {
  CHECK_EQ(event.slots, opening_) << "nobody asked for them";
  opening_ = 0;
  slots_.resize(std::max<size_t>(slots_.size(), event.slots));
  for (int i = 0; i < event.slots; ++i) slots_[i].closed = false;
  if (phase_ == Phase::kUp) ServeSlots(event.slots);
}

void Supervisor::On(const event::SlotsRefused& event) {
  CHECK_EQ(event.slots, opening_) << "nobody asked for them";
  opening_ = 0;
  Log(Severity::kError, "scale_failed",
      {{"workers", int64_t{event.slots}}, {"reason", event.reason}});
}

// Slots 0 to count-1 are to have workers, and no others.
void Supervisor::ServeSlots(int count) {
  settings_.workers = count;
  scaling_ = true;
  for (int i = 0; i < static_cast<int>(slots_.size()); ++i) {
    SupervisedSlot& slot = slots_[i];
    if (i >= count) {
      LeaveSlot(slot);
    } else if (slot.generation == 0) {
      slot.generation = generation_;
      slot.retry_at = now_;
      slot.closing = false;
    }
  }
}

void Supervisor::NoteScaled() {
  if (!scaling_ || roll_.has_value()) return;
  for (const SupervisedSlot& slot : slots_) {
    if ((slot.generation != 0) != (slot.current != 0)) return;
  }
  for (const auto& [id, worker] : workers_) {
    if (worker.phase == WorkerPhase::kRetiring) return;
  }
  scaling_ = false;
  Log(Severity::kInfo, "scale_finished",
      {{"workers", int64_t{settings_.workers}}});
}

// It is to have no worker any more.
void Supervisor::LeaveSlot(SupervisedSlot& slot) {
  slot.generation = 0;
  if (std::exchange(slot.live, false)) {
    slot.linger_until = now_ + settings_.linger;
  }
}

// --- where new connections go

// A slot whose worker has died stays in: it is adopted meanwhile. Only the
// first slots can be steered to, so one that serves early waits for those
// before it.
void Supervisor::UpdateSteering() {
  if (phase_ != Phase::kUp && phase_ != Phase::kDelaying) return;
  const auto end =
      std::find_if(slots_.begin(), slots_.end(),
                   [](const SupervisedSlot& slot) { return !slot.live; });
  const auto live = static_cast<int>(end - slots_.begin());
  if (live == steered_) return;
  steered_ = live;
  Emit(action::Steer{live});
}

// --- who accepts

void Supervisor::On(const event::WorkerImpaired& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr) return;
  if (event.what == Impairment::kFull) {
    if (event.on) {
      worker->room_at = absl::InfiniteDuration();
    } else {
      worker->room_at = std::min(worker->room_at, now_ + kRoomLasts);
      return;
    }
  }
  SetImpaired(*worker, event.what, event.on);
}

void Supervisor::SetImpaired(SupervisedWorker& worker, Impairment what,
                             bool on) {
  const uint8_t bit = BitOf(what);
  worker.impairments = static_cast<uint8_t>(on ? worker.impairments | bit
                                               : worker.impairments & ~bit);
}

void Supervisor::EndImpairments() {
  for (auto& [id, worker] : workers_) {
    if (now_ < worker.room_at) continue;
    worker.room_at = absl::InfiniteDuration();
    SetImpaired(worker, Impairment::kFull, false);
  }
}

void Supervisor::On(const event::SlotReleased& event) {
  if (event.slot < 0 || event.slot >= static_cast<int>(slots_.size())) return;
  SupervisedSlot& slot = slots_[event.slot];
  // It may be the answer to an earlier one.
  if (slot.releaser == event.worker && slot.release_ticket == event.ticket) {
    slot.releaser = 0;
  }
}

bool Supervisor::NeedsAdopter(const SupervisedSlot& slot) const {
  if (slot.closed || slot.closing) return false;
  const SupervisedWorker* current = FindWorker(slot.current);
  return slot.generation == 0 || current == nullptr ||
         current->impairments != 0;
}

bool Supervisor::MayAdopt(WorkerId id) const {
  const SupervisedWorker* worker = FindWorker(id);
  if (worker == nullptr || worker->phase != WorkerPhase::kServing ||
      worker->impairments != 0 || !worker->broken_reason.empty()) {
    return false;
  }
  // Of a roll back that was given up, one may serve whose listeners are gone.
  const bool known = worker->generation == generation_ ||
                     (roll_.has_value() && worker->generation == roll_->target);
  return known && slots_[worker->slot].current == id;
}

// The one with the fewest adopted slots; 0 if there is nobody.
WorkerId Supervisor::ChooseAdopter(int slot) const {
  WorkerId best = 0;
  int64_t fewest = 0;
  for (int i = 0; i < static_cast<int>(slots_.size()); ++i) {
    const WorkerId id = slots_[i].current;
    if (i == slot || !MayAdopt(id)) continue;
    const int64_t adopted = std::count_if(
        slots_.begin(), slots_.end(),
        [id](const SupervisedSlot& other) { return other.adopter == id; });
    if (best != 0 && adopted >= fewest) continue;
    best = id;
    fewest = adopted;
  }
  return best;
}

// Returns it if it was told so: one that stops accepting altogether knows.
WorkerId Supervisor::ReleaseAdopter(int slot) {
  const WorkerId id = std::exchange(slots_[slot].adopter, 0);
  const SupervisedWorker* worker = FindWorker(id);
  if (worker == nullptr || worker->phase != WorkerPhase::kServing) return 0;
  slots_[slot].release_ticket = ++last_ticket_;
  Emit(action::Release{id, slot, last_ticket_});
  return id;
}

void Supervisor::UpdateAdoption() {
  if (phase_ != Phase::kUp && phase_ != Phase::kDelaying) return;
  for (int i = 0; i < static_cast<int>(slots_.size()); ++i) {
    SupervisedSlot& slot = slots_[i];
    if (!NeedsAdopter(slot)) {
      if (!slot.closing) ReleaseAdopter(i);
      continue;
    }
    if (MayAdopt(slot.adopter)) continue;
    // One that can't accept either is still better than nobody.
    const WorkerId better = ChooseAdopter(i);
    if (better == 0) continue;
    ReleaseAdopter(i);
    slot.adopter = better;
    Emit(action::Adopt{better, i});
    LogWorker(Severity::kInfo, "slot_adopted", *Find(better),
              {{"adopted_slot", int64_t{i}}});
  }
}

// It is gone: somebody else has to see to what it left in a queue.
void Supervisor::EndAdoptions(WorkerId worker) {
  for (SupervisedSlot& slot : slots_) {
    if (slot.adopter == worker) slot.adopter = 0;
    if (slot.releaser != worker) continue;
    slot.releaser = 0;
    if (!slot.closed) slot.closing = false;
  }
}

// --- the end of a slot

// Somebody must adopt it until the end and then empty its queues. If nobody
// can, the slot waits for one who can.
bool Supervisor::ReleasedForClosing(int number) {
  SupervisedSlot& slot = slots_[number];
  const bool was_live = slot.linger_until > absl::ZeroDuration();
  if (was_live && !slot.closing && !MayAdopt(slot.adopter)) return false;
  if (!std::exchange(slot.closing, true)) {
    slot.releaser = ReleaseAdopter(number);
  }
  return slot.releaser == 0;
}

void Supervisor::CloseUnusedSlots() {
  // The sockets of a slot that a load in progress may want are not ours to
  // close, nor those that a roll back would need.
  if (!forks_allowed() || loading_ != 0 || opening_ != 0 ||
      phase_ == Phase::kStarting) {
    return;
  }
  const int wanted = std::max(settings_.workers,
                              roll_.has_value() ? roll_->settings.workers : 0);
  // From the tail: closing a socket in the middle of a reuseport group moves
  // the last one to its place.
  for (int i = static_cast<int>(slots_.size()) - 1; i >= wanted; --i) {
    SupervisedSlot& slot = slots_[i];
    if (slot.closed) continue;
    if (slot.current != 0 || slot.incoming != 0 || now_ < slot.linger_until) {
      break;
    }
    const bool retiring = std::any_of(
        slot.outgoing.begin(), slot.outgoing.end(), [this](WorkerId id) {
          return Find(id)->phase == WorkerPhase::kRetiring;
        });
    if (retiring || !ReleasedForClosing(i)) break;
    slot.closed = true;
    Emit(action::CloseSlot{i});
  }
  while (static_cast<int>(slots_.size()) > wanted && slots_.back().closed &&
         slots_.back().outgoing.empty()) {
    slots_.pop_back();
  }
}

}  // namespace baton
