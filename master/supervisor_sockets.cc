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
  if (event.to.has_value()) {
    scale_to_ = event.to;
    pending_scale_ = 0;
  }
  // Below the minimum nothing is remembered: the next one more is one more.
  pending_scale_ = std::max(pending_scale_ + event.by,
                            1 - scale_to_.value_or(settings_.workers));
}

void Supervisor::ApplyScale() {
  if (!settled() || stays()) return;
  const int wanted = std::max(
      std::exchange(scale_to_, std::nullopt).value_or(settings_.workers) +
          std::exchange(pending_scale_, 0),
      1);
  if (wanted == settings_.workers) return;
  scale_error_.clear();
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
  scale_error_ = event.reason;
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
      slot.sockets.closing = false;
    }
  }
}

void Supervisor::NoteScaled() {
  if (!scaling_ || roll_.has_value()) return;
  for (const SupervisedSlot& slot : slots_) {
    if ((slot.generation != 0) != (slot.current != 0)) return;
    if (StillPasses(slot)) return;
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
  if (steered_ == kNotSteered) {
    if (now_ < steer_at_) return;
    // Until now new connections may have gone to those that were left.
    for (SupervisedSlot& slot : slots_) {
      if (slot.linger_until > absl::ZeroDuration() && !slot.sockets.closing) {
        slot.linger_until = now_ + settings_.linger;
      }
    }
  }
  steered_ = live;
  Emit(action::Steer{live});
}

void Supervisor::On(const event::SteerFailed&) {
  steered_ = kNotSteered;
  steer_at_ = now_ + kSocketsRetry;
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
  if (event.on && event.what == Impairment::kStuck && OnProbation(*worker)) {
    const std::string reason = "it is stuck";
    LogWorker(Severity::kWarning, "worker_killed", *worker,
              {{"reason", reason}});
    Failed(*worker, /*killed_from_outside=*/false, reason);
    KillWorker(*worker);
  }
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

template <typename F>
void Supervisor::ForEachSockets(F each) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].closed) each(static_cast<SocketsId>(i), slots_[i].sockets);
  }
  for (auto& [id, removed] : removed_) each(id, removed.sockets);
}

AdoptableSockets* Supervisor::FindSockets(SocketsId id) {
  if (id < slots_.size()) return &slots_[id].sockets;
  const auto it = removed_.find(id);
  return it == removed_.end() ? nullptr : &it->second.sockets;
}

void Supervisor::On(const event::SocketsReleased& event) {
  SupervisedWorker* worker = Find(event.worker);
  if (worker == nullptr) return;
  if (worker->release_ticket == event.ticket) worker->release_ticket = 0;
  AdoptableSockets* sockets = FindSockets(event.sockets);
  // It may be the answer to an earlier one.
  if (sockets == nullptr || sockets->releaser != event.worker ||
      sockets->release_ticket != event.ticket) {
    return;
  }
  sockets->releaser = 0;
  const auto removed = removed_.find(event.sockets);
  const bool past =
      removed != removed_.end() && now_ >= removed->second.close_by;
  if (event.emptied || past) return;
  // Somebody else has to see to what is left there.
  sockets->closing = false;
  worker->adopts_from = now_ + kSocketsRetry;
}

void Supervisor::On(const event::AdoptFailed& event) {
  AdoptableSockets* sockets = FindSockets(event.sockets);
  SupervisedWorker* worker = Find(event.worker);
  if (sockets == nullptr || worker == nullptr) return;
  if (sockets->adopter == event.worker) {
    ReleaseAdopter(event.sockets, *sockets);
  } else if (sockets->releaser == event.worker) {
    // What it says that it emptied is not all there is.
    sockets->releaser = 0;
    sockets->closing = false;
  } else {
    return;
  }
  LogWorker(Severity::kWarning, "adoption_failed", *worker);
  worker->adopts_from = now_ + kSocketsRetry;
}

bool Supervisor::NeedsAdopter(const SupervisedSlot& slot) const {
  const SupervisedWorker* current = FindWorker(slot.current);
  return slot.generation == 0 || current == nullptr ||
         current->impairments != 0;
}

bool Supervisor::MayAdopt(WorkerId id) const {
  const SupervisedWorker* worker = FindWorker(id);
  if (worker == nullptr || worker->phase != WorkerPhase::kServing ||
      worker->impairments != 0 || !worker->broken_reason.empty() ||
      now_ < worker->adopts_from) {
    return false;
  }
  // Of a roll back that was given up, one may serve whose listeners are gone.
  const bool known = worker->generation == generation_ ||
                     (roll_.has_value() && worker->generation == roll_->target);
  return known && slots_[worker->slot].current == id;
}

// The one that has adopted least; 0 if there is nobody.
WorkerId Supervisor::ChooseAdopter(SocketsId sockets) {
  WorkerId best = 0;
  int fewest = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const WorkerId id = slots_[i].current;
    if (i == sockets || !MayAdopt(id)) continue;
    int adopted = 0;
    ForEachSockets([&](SocketsId /*id*/, const AdoptableSockets& other) {
      adopted += other.adopter == id;
    });
    if (best != 0 && adopted >= fewest) continue;
    best = id;
    fewest = adopted;
  }
  return best;
}

// Returns it if it was told so: one that stops accepting altogether knows.
WorkerId Supervisor::ReleaseAdopter(SocketsId id, AdoptableSockets& sockets) {
  const WorkerId adopter = std::exchange(sockets.adopter, 0);
  SupervisedWorker* worker = Find(adopter);
  if (worker == nullptr || worker->phase != WorkerPhase::kServing) return 0;
  sockets.release_ticket = worker->release_ticket = ++last_ticket_;
  Emit(action::Release{adopter, id, last_ticket_});
  return adopter;
}

void Supervisor::UpdateAdopter(SocketsId id, AdoptableSockets& sockets) {
  if (MayAdopt(sockets.adopter)) return;
  // One that can't accept either is still better than nobody.
  const WorkerId better = ChooseAdopter(id);
  if (better == 0) return;
  ReleaseAdopter(id, sockets);
  sockets.adopter = better;
  Emit(action::Adopt{better, id});
  if (id < kFirstRemoved) {
    LogWorker(Severity::kInfo, "slot_adopted", *Find(better),
              {{"adopted_slot", int64_t{id}}});
  } else {
    LogWorker(Severity::kInfo, "removed_listeners_adopted", *Find(better));
  }
}

void Supervisor::UpdateAdoption() {
  if (phase_ != Phase::kUp && phase_ != Phase::kDelaying) return;
  ForEachSockets([this](SocketsId id, AdoptableSockets& sockets) {
    if (sockets.closing) return;
    if (id >= kFirstRemoved || NeedsAdopter(slots_[id])) {
      UpdateAdopter(id, sockets);
    } else {
      ReleaseAdopter(id, sockets);
    }
  });
}

// It is gone: somebody else has to see to what it left in a queue.
void Supervisor::EndAdoptions(WorkerId worker) {
  ForEachSockets([worker](SocketsId /*id*/, AdoptableSockets& sockets) {
    if (sockets.releaser != worker) return;
    sockets.releaser = 0;
    sockets.closing = false;
  });
}

// --- the end of sockets

// Somebody must adopt them until the end and then empty their queues. If nobody
// can, they wait for one who can.
bool Supervisor::ReleasedForClosing(SocketsId id, AdoptableSockets& sockets,
                                    bool must_be_emptied) {
  if (!sockets.closing) {
    if (must_be_emptied && !MayAdopt(sockets.adopter)) return false;
    sockets.closing = true;
    sockets.releaser = ReleaseAdopter(id, sockets);
  }
  return sockets.releaser == 0;
}

void Supervisor::On(const event::ListenersRemoved& event) {
  CHECK_GT(removals_asked_--, 0) << "nobody asked for them";
  for (const auto& [sockets, linger] : event.listeners) {
    RemovedListener& removed = removed_[sockets];
    removed.linger_until = now_ + linger;
    removed.close_by = removed.linger_until + kRemovalPatience;
  }
}

void Supervisor::CloseRemovedListeners() {
  if (phase_ != Phase::kUp && phase_ != Phase::kDelaying) return;
  for (auto it = removed_.begin(); it != removed_.end();) {
    auto& [id, removed] = *it;
    const bool patient = now_ < removed.close_by;
    if (now_ < removed.linger_until || (patient && SomebodyMayHoldSockets()) ||
        !ReleasedForClosing(id, removed.sockets, /*must_be_emptied=*/patient)) {
      ++it;
      continue;
    }
    Emit(action::CloseRemoved{id});
    it = removed_.erase(it);
  }
}

// One that was told to close some and has not said that it did, or is not gone.
bool Supervisor::SomebodyMayHoldSockets() const {
  return std::any_of(
      workers_.begin(), workers_.end(), [this](const auto& entry) {
        const auto& [id, worker] = entry;
        const SupervisedSlot& slot = slots_[worker.slot];
        const bool leaves = slot.current != id && slot.incoming != id;
        return !worker.accept_stopped && (leaves || worker.release_ticket != 0);
      });
}

void Supervisor::CloseUnusedSlots() {
  // The sockets of a slot that a load in progress may want are not ours to
  // close, nor those that a roll back would need, or a removed listener, which
  // may come back. And during a roll an adopter may not know all listeners.
  if (!forks_allowed() || phase_ == Phase::kStarting || loading_ != 0 ||
      roll_.has_value() || opening_ != 0 || steered_ == kNotSteered ||
      !removed_.empty() || removals_asked_ != 0) {
    return;
  }
  const int wanted = settings_.workers;
  // From the tail: closing a socket in the middle of a reuseport group moves
  // the last one to its place. For a UDP socket that is so until its last copy
  // is closed.
  for (int i = static_cast<int>(slots_.size()) - 1; i >= wanted; --i) {
    SupervisedSlot& slot = slots_[i];
    if (slot.closed) continue;
    if (slot.current != 0 || slot.incoming != 0 || now_ < slot.linger_until ||
        SomebodyMayHoldSockets()) {
      break;
    }
    // Nothing is queued in sockets to which nothing was ever steered.
    const bool was_live = slot.linger_until > absl::ZeroDuration();
    if (!ReleasedForClosing(static_cast<SocketsId>(i), slot.sockets,
                            /*must_be_emptied=*/was_live)) {
      break;
    }
    slot.closed = true;
    Emit(action::CloseSlot{i});
  }
  while (static_cast<int>(slots_.size()) > wanted && slots_.back().closed &&
         slots_.back().outgoing.empty()) {
    slots_.pop_back();
  }
}

}  // namespace baton
