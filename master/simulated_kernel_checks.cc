// What the simulated kernel does with actions, and what it will not have.

#include <algorithm>

#include "glog/logging.h"
#include "master/simulated_kernel.h"

namespace baton {
namespace {

bool Accepts(WorkerPhase phase) {
  return phase == WorkerPhase::kAdding || phase == WorkerPhase::kServing ||
         phase == WorkerPhase::kRetiring;
}

}  // namespace

void SimulatedKernel::Feed(const Event& event) {
  served_before_.clear();
  for (const SupervisedSlot& slot : supervisor_.slots()) {
    served_before_.insert(slot.current);
  }
  dropped_in_use_ = false;
  stopped_now_.clear();
  for (const Action& action : supervisor_.Handle(now_, event)) Carry(action);
  CHECK(!dropped_in_use_) << "a configuration is dropped that serves";
  if (answers_.empty()) return BecomeOtherBinary();
  const Event answer = answers_.front();
  answers_.pop_front();
  // Until the next Steer, also if another one came in between.
  steer_failed_ |= std::holds_alternative<event::SteerFailed>(answer);
  Feed(answer);
}

void SimulatedKernel::Carry(const Action& action) {
  CHECK(!exit_code_.has_value()) << "an action after the exit";
  std::visit([this](const auto& what) { Do(what); }, action);
}

void SimulatedKernel::Do(const action::Fork& fork) {
  CHECK_GT(fork.worker, highest_worker_) << "a worker's name is used twice";
  highest_worker_ = fork.worker;
  CHECK_LT(fork.slot, static_cast<int>(group_.size()))
      << "a slot without sockets";
  CHECK(listeners_open_);
  CHECK_EQ(made_by_.at(fork.generation), binary_)
      << "a worker of another binary";
  Process process;
  process.id = fork.worker;
  process.slot = fork.slot;
  process.generation = fork.generation;
  process.inbox.push_back(fork);  // its first task: build, say ready
  processes_.emplace(fork.worker, std::move(process));
}

void SimulatedKernel::Send(WorkerId worker, const Action& message) {
  const auto it = processes_.find(worker);
  CHECK(it != processes_.end() && it->second.forked &&
        !it->second.kill_pending && !it->second.abort_pending)
      << "a message to worker " << worker << ", which is no child of ours";
  it->second.inbox.push_back(message);
}

void SimulatedKernel::Do(const action::Serve& serve) {
  Send(serve.worker, serve);
  processes_.at(serve.worker).serve_told = true;
}

void SimulatedKernel::Do(const action::StopAccepting& stop) {
  Send(stop.worker, stop);
  Process& process = processes_.at(stop.worker);
  process.stop_told = true;
  stopped_now_.insert(process.slot);
  if (stop.shut_down_listeners) {
    CHECK(stop_asked_) << "listeners shut down in a running server";
    return;
  }
  // A worker that serves is taken away only when another one serves.
  const SupervisedSlot& slot = supervisor_.slots()[process.slot];
  if (served_before_.count(stop.worker) == 0 || slot.generation == 0) return;
  CHECK(slot.current != 0 && slot.current != stop.worker)
      << "nobody accepts from slot " << process.slot;
}

void SimulatedKernel::Do(const action::Kill& kill) {
  const auto it = processes_.find(kill.worker);
  CHECK(it != processes_.end() && it->second.forked)
      << "a signal to worker " << kill.worker << ", which is no child of ours";
  Process& process = it->second;
  if (supervisor_.state() == ServerState::kStopping && process.serve_told) {
    ended_in_stop_.insert(kill.worker);
  }
  if (kill.signal == SIGABRT) {
    CHECK(process.stalled && !process.abort_pending && !process.kill_pending);
    process.abort_pending = true;
    return;
  }
  CHECK_EQ(kill.signal, SIGKILL);
  process.kill_pending = true;
}

void SimulatedKernel::Do(const action::LoadConfig& load) {
  CHECK(!reload_going_.has_value()) << "two reloads at once";
  CHECK_GT(load.generation, supervisor_.generation());
  CHECK(!open_asked_.has_value());
  load_asked_ = load;
  reload_going_ = load.generation;
  dropped_in_use_ = false;  // a roll back that was overtaken
  if (taking_up_) AnswerLoadAtOnce();
}

void SimulatedKernel::Do(const action::CommitConfig& commit) {
  CHECK(reload_going_ == commit.generation);
  reload_going_.reset();
  CHECK_EQ(supervisor_.generation(), commit.generation);
  // The listeners that only the old configuration had are closed now.
  for (const auto& [id, worker] : supervisor_.workers()) {
    CHECK(worker.generation == commit.generation || !Accepts(worker.phase))
        << "worker " << id << " still accepts for the old configuration";
  }
  RemoveListeners();
}

void SimulatedKernel::Do(const action::DropConfig& drop) {
  CHECK(reload_going_ == drop.generation);
  reload_going_.reset();
  CHECK_NE(supervisor_.generation(), drop.generation);
  for (const auto& [id, worker] : supervisor_.workers()) {
    dropped_in_use_ |=
        worker.generation == drop.generation && Accepts(worker.phase);
  }
  RemoveListeners();
}

// Mostly a reload has all listeners that the one before had.
void SimulatedKernel::RemoveListeners() {
  event::ListenersRemoved answer;
  for (int i = Chance(20) ? 1 + Below(2) : 0; i > 0; --i) {
    const absl::Duration linger = absl::Milliseconds(Below(5000));
    removed_.emplace(next_removed_, Removed{now_, linger});
    answer.listeners.push_back({next_removed_++, linger});
  }
  answers_.push_back(std::move(answer));
}

void SimulatedKernel::Do(const action::Adopt& adopt) {
  const SupervisedWorker& worker = *supervisor_.FindWorker(adopt.worker);
  CHECK(Accepts(worker.phase));
  CHECK(worker.generation == supervisor_.generation() ||
        worker.generation == reload_going_)
      << "its listeners are gone";
  if (adopt.sockets < kFirstRemoved) {
    CHECK_NE(worker.slot, static_cast<int>(adopt.sockets));
    CHECK_LT(adopt.sockets, group_.size());
  } else {
    CHECK_EQ(removed_.count(adopt.sockets), 1u);
  }
  // No memory for the message.
  if (!healing_ && Chance(5)) {
    answers_.push_back(event::AdoptFailed{adopt.worker, adopt.sockets});
  } else {
    Send(adopt.worker, adopt);
  }
}

void SimulatedKernel::Do(const action::OpenSlots& open) {
  CHECK(!open_asked_.has_value() && !load_asked_.has_value());
  CHECK_GT(open.slots, supervisor_.wanted_workers());
  open_asked_ = open.slots;
}

void SimulatedKernel::Do(const action::Steer& steer) {
  CHECK_GE(steer.live, 1);
  CHECK_LE(steer.live, static_cast<int>(group_.size()));
  const int before = steered_.value_or(static_cast<int>(group_.size()));
  // Whoever serves there is told to stop afterwards.
  for (int i = steer.live; i < before; ++i) {
    bool serves = stopped_now_.count(group_[i]) == 0;
    for (const auto& [id, process] : processes_) {
      serves = serves || (process.slot == group_[i] && !process.stop_told);
    }
    CHECK(serves || steer_failed_)
        << "new connections still went to slot " << group_[i];
  }
  steer_failed_ = !healing_ && Chance(10);
  if (steer_failed_) return answers_.push_back(event::SteerFailed{});
  for (int i = steer.live; i < before; ++i) left_[group_[i]] = now_;
  for (int i = before; i < steer.live; ++i) left_.erase(group_[i]);
  steered_ = steer.live;
  if (steer.live == static_cast<int>(group_.size())) steered_.reset();
}

void SimulatedKernel::Do(const action::CloseSlot& close) {
  CHECK(!group_.empty() && group_.back() == close.slot)
      << "closed in the middle of the group";
  CHECK_GE(close.slot, supervisor_.wanted_workers());
  CHECK(!load_asked_.has_value());
  for (const auto& [id, worker] : supervisor_.workers()) {
    CHECK(worker.slot != close.slot || !Accepts(worker.phase))
        << "worker " << id << " still accepts from slot " << close.slot;
  }
  // Whoever had begun to connect before it was left has been served.
  CHECK(steered_.has_value() && *steered_ <= close.slot)
      << "new connections go to slot " << close.slot;
  const auto left = left_.find(close.slot);
  if (left != left_.end()) {
    CHECK_GE(now_ - left->second, linger_)
        << "slot " << close.slot << " did not linger";
  }
  const auto id = static_cast<SocketsId>(close.slot);
  if (left != left_.end()) CheckEmptied(id, left->second);
  CHECK(removed_.empty()) << "a listener with that slot may come back";
  for (const auto& [worker, process] : processes_) {
    if (!honest_ || !process.alive) continue;
    CHECK(process.slot != close.slot || !process.holds_own)
        << "worker " << worker << " keeps the place of slot " << close.slot;
    CHECK_EQ(process.adopted.count(id), 0u)
        << "worker " << worker << " keeps the place of slot " << close.slot;
  }
  group_.pop_back();
  if (*steered_ == static_cast<int>(group_.size())) steered_.reset();
}

void SimulatedKernel::Do(const action::CloseRemoved& close) {
  const auto removed = removed_.find(close.sockets);
  CHECK(removed != removed_.end());
  CHECK_GE(now_ - removed->second.since, removed->second.linger)
      << "removed listeners did not linger";
  if (now_ < removed->second.since + removed->second.linger +
                 Supervisor::kRemovalPatience) {
    CheckEmptied(close.sockets, removed->second.since);
  }
  removed_.erase(removed);
}

// Its queue was emptied since then, unless its adopter only says so.
void SimulatedKernel::CheckEmptied(SocketsId sockets, Instant left) const {
  if (!honest_) return;
  const auto emptied = emptied_.find(sockets);
  CHECK(emptied != emptied_.end() && emptied->second >= left)
      << "nobody has emptied the queues of " << sockets;
}

void SimulatedKernel::Do(const action::CloseListeners&) {
  CHECK(listeners_open_) << "closed twice";
  listeners_open_ = false;
}

void SimulatedKernel::Do(const action::AnnounceReady&) {
  CHECK(!announced_);
  announced_ = true;
  for (const SupervisedSlot& slot : supervisor_.slots()) {
    CHECK(processes_.count(slot.current) == 1);
  }
}

void SimulatedKernel::Do(const action::Log& log) {
  if (log.name == std::string("worker_cut")) {
    for (const auto& [key, value] : log.fields) {
      if (key == std::string("worker_pid"))
        cut_.insert(static_cast<WorkerId>(std::get<int64_t>(value)));
    }
  }
  if (log.name == std::string("stopped")) CheckStopped(log);
  // The one stop that nobody asks for.
  if (log.name == std::string("crash_loop")) stop_asked_ = crash_loop_ = true;
}

void SimulatedKernel::CheckStopped(const action::Log& log) const {
  for (const auto& [key, value] : log.fields) {
    if (key != std::string("workers_cut")) continue;
    CHECK_LE(static_cast<size_t>(std::get<int64_t>(value)),
             ended_in_stop_.size())
        << "more than were ended by a signal, seed " << seed_;
  }
}

void SimulatedKernel::Do(const action::Exit& exit) {
  exit_code_ = exit.code;
  CHECK(!listeners_open_);
  CHECK(stop_asked_ || exit.code == 1) << "ended unasked";
  CHECK(!announced_ || exit.code == 0 || exit.code == 3 || crash_loop_);
  CHECK_EQ(exit.code == 4, crash_loop_);
  for (const auto& [id, process] : processes_) {
    CHECK(process.kill_pending) << "worker " << id << " is left behind";
  }
}

void SimulatedKernel::CheckAfterStep() {
  if (exit_code_.has_value()) return;
  CheckRoles();
  CheckSlotsServed();
  CheckAdoption();
  CheckNewConnections();
  CheckConnections();
}

// Each worker has one place, and each place a worker that exists.
void SimulatedKernel::CheckRoles() {
  size_t places = 0;
  int slot_number = 0;
  for (const SupervisedSlot& slot : supervisor_.slots()) {
    int draining = 0;
    for (WorkerId id : {slot.current, slot.incoming}) {
      if (id == 0) continue;
      const SupervisedWorker* worker = supervisor_.FindWorker(id);
      CHECK(worker != nullptr && worker->slot == slot_number);
      CHECK(worker->phase <= WorkerPhase::kServing);
      CHECK_EQ(worker->phase == WorkerPhase::kServing, id == slot.current);
      ++places;
    }
    for (WorkerId id : slot.outgoing) {
      const SupervisedWorker* worker = supervisor_.FindWorker(id);
      CHECK(worker != nullptr && worker->slot == slot_number);
      ++places;
      draining += worker->phase >= WorkerPhase::kRetiring &&
                  worker->phase <= WorkerPhase::kDraining;
    }
    // A reload may lower the limit; the next retirement enforces it.
    if (supervisor_.state() != ServerState::kStopping) {
      CHECK_LE(draining, kMostDraining);
    }
    ++slot_number;
  }
  CHECK_EQ(places, supervisor_.workers().size());
}

// Every slot's queue has an acceptor, or one is on its way, or a back-off runs.
void SimulatedKernel::CheckSlotsServed() {
  if (supervisor_.state() == ServerState::kStopping) return;
  for (const SupervisedSlot& slot : supervisor_.slots()) {
    if (slot.generation == 0) continue;
    const bool somebody = slot.current != 0 || slot.incoming != 0;
    // Of a binary that could not be had again: the next reload brings one.
    const bool waits = supervisor_.IsForeign(slot.generation);
    CHECK(
        somebody || waits || supervisor_.exec_pending() ||
        (slot.retry_at > now_ && supervisor_.next_deadline() <= slot.retry_at));
  }
}

// Where nobody of a slot's own accepts, somebody else does if there is anybody
// who can. The same for listeners that were removed.
void SimulatedKernel::CheckAdoption() {
  const ServerState state = supervisor_.state();
  if (state == ServerState::kStarting || state == ServerState::kStopping) {
    return;
  }
  const auto& slots = supervisor_.slots();
  for (size_t i = 0; i < group_.size(); ++i) {
    const SupervisedSlot& slot = slots.at(i);
    const SupervisedWorker* own = supervisor_.FindWorker(slot.current);
    if (slot.generation != 0 && own != nullptr && own->impairments == 0) {
      CHECK_EQ(slot.sockets.adopter, 0u) << "slot " << i << " for nothing";
      continue;
    }
    CheckAdopted(static_cast<SocketsId>(i), slot.sockets);
  }
  for (const auto& [id, removed] : supervisor_.removed()) {
    CheckAdopted(id, removed.sockets);
  }
}

void SimulatedKernel::CheckAdopted(SocketsId id,
                                   const AdoptableSockets& sockets) const {
  if (sockets.closing) return;
  const auto fit = [this](WorkerId worker_id) {
    const SupervisedWorker* worker = supervisor_.FindWorker(worker_id);
    return worker != nullptr && worker->phase == WorkerPhase::kServing &&
           worker->impairments == 0 && worker->broken_reason.empty() &&
           worker->adopts_from <= now_ &&
           (worker->generation == supervisor_.generation() ||
            worker->generation == reload_going_);
  };
  if (fit(sockets.adopter)) {
    // What it is told it does.
    const Process& process = processes_.at(sockets.adopter);
    CHECK(!process.alive || !process.inbox.empty() || !process.outbox.empty() ||
          process.kill_pending || process.adopted.count(id) == 1)
        << "worker " << process.id << " does not know of sockets " << id;
    return;
  }
  const auto& slots = supervisor_.slots();
  for (size_t i = 0; i < slots.size(); ++i) {
    CHECK(i == id || !fit(slots[i].current))
        << "sockets " << id << " have nobody who accepts";
  }
}

// They must not go where nobody is or will be.
void SimulatedKernel::CheckNewConnections() {
  if (supervisor_.state() == ServerState::kStarting ||
      supervisor_.state() == ServerState::kStopping) {
    return;
  }
  const int to = steered_.value_or(static_cast<int>(group_.size()));
  for (int i = 0; i < to; ++i) {
    const SupervisedSlot& slot = supervisor_.slots().at(group_[i]);
    // Adopted, if it could not be otherwise.
    CHECK(slot.generation != 0 || steer_failed_)
        << "new connections go to slot " << group_[i];
    CHECK(!slot.closed && !slot.sockets.closing)
        << "new connections go to slot " << group_[i];
  }
}

void SimulatedKernel::CheckSettled() {
  if (exit_code_.has_value()) return;
  CHECK(!stop_asked_) << "the stop did not end";
  CHECK(supervisor_.state() == ServerState::kRunning)
      << "still " << ServerStateName(supervisor_.state());
  CHECK(!reload_going_.has_value());
  int serving = 0;
  for (const SupervisedSlot& slot : supervisor_.slots()) {
    CHECK_EQ(slot.incoming, 0u);
    const SupervisedWorker* worker = supervisor_.FindWorker(slot.current);
    if (slot.generation == 0) {
      CHECK(worker == nullptr);
      continue;
    }
    CHECK(worker != nullptr) << "a slot without a worker";
    CHECK_EQ(worker->generation, supervisor_.generation());
    CHECK(processes_.at(worker->id).accepting);
    ++serving;
  }
  CHECK_EQ(serving, supervisor_.wanted_workers());
  CHECK_EQ(static_cast<int>(group_.size()), serving);
  CHECK(!steered_.has_value()) << "the kernel's own choice is better";
  CHECK(!open_asked_.has_value());
  CHECK(removed_.empty());
  // Only what was refused for good holds up anybody.
  for (const auto& [id, process] : processes_) {
    CHECK(process.accepting ||
          (IdleOf(process).empty() && !process.connections.empty()))
        << "worker " << id << " of slot " << process.slot << " in phase "
        << static_cast<int>(supervisor_.FindWorker(id)->phase) << " with "
        << process.connections.size() << " connections does not leave, round "
        << process.round << ", HasMoving " << HasMoving(process);
  }
}

}  // namespace baton
