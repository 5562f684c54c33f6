// The clients of the simulated workers, and how their connections move. What
// the workers do here is what worker/handover_sender.h and handover_receiver.h
// say.
//
// A connection is a number. At any time it is in exactly one place: with one
// living process that serves it, or in a channel of which one end lives. It is
// lost only when whoever has it dies, or was told to cut it.

#include <algorithm>
#include <iterator>

#include "glog/logging.h"
#include "master/simulated_kernel.h"

namespace baton {
namespace {

constexpr size_t kMostConnections = 30;

}  // namespace

void SimulatedKernel::ClientStep() {
  Process* process = AnyProcess();
  if (process == nullptr || !process->alive || process->hung) return;
  if (Chance(40)) {
    if (!process->accepting || connections_.size() >= kMostConnections) return;
    process->connections.insert(++last_connection_);
    connections_.insert(last_connection_);
    return;
  }
  if (process->connections.empty()) return;
  auto one = process->connections.begin();
  std::advance(one, Below(static_cast<int>(process->connections.size())));
  if (process->busy.erase(*one) == 1) return;
  if (!healing_ && Chance(60)) {
    process->busy.insert(*one);
  } else {
    process->kept.erase(*one);
    connections_.erase(*one);
    process->connections.erase(one);
  }
}

// --- actions

void SimulatedKernel::Do(const action::HandOver& hand_over) {
  const SupervisedWorker& worker = *supervisor_.FindWorker(hand_over.worker);
  CHECK(worker.phase == WorkerPhase::kPassing ||
        worker.phase == WorkerPhase::kDraining);
  const auto& slots = supervisor_.slots();
  const SupervisedSlot& own = slots[worker.slot];
  Send(hand_over.worker, hand_over);
  for (const WorkerId heir : hand_over.to) {
    const SupervisedWorker* other = supervisor_.FindWorker(heir);
    CHECK(other != nullptr && other->phase == WorkerPhase::kServing);
    CHECK_EQ(slots[other->slot].current, heir);
    CHECK_NE(slots[other->slot].generation, 0u) << "it is about to go itself";
    CHECK(own.generation == 0 || own.current == heir)
        << "connections leave their slot";
    // No descriptor, or no memory for the message.
    if (!healing_ && Chance(5)) {
      return answers_.push_back(
          event::HandoverBroken{hand_over.worker, hand_over.round});
    }
    Channel& channel = channels_.emplace_back();
    channel.from = hand_over.worker;
    channel.to = heir;
    channel.round = hand_over.round;
    // Dead, and not reaped yet: the message goes nowhere.
    channel.to_closed = !processes_.at(heir).alive;
    channel.from_closed = !processes_.at(hand_over.worker).alive;
    Send(heir, hand_over);
  }
}

void SimulatedKernel::Do(const action::StopWorker& stop) {
  const Process& process = processes_.at(stop.worker);
  CHECK(process.connections.empty() || cut_.count(stop.worker) == 1 ||
        supervisor_.state() == ServerState::kStopping)
      << "worker " << stop.worker << " is to drop its connections";
  Send(stop.worker, stop);
}

// --- what a worker does

void SimulatedKernel::BeginRound(Process& process,
                                 const action::HandOver& hand_over) {
  if (hand_over.worker != process.id) {  // it is a receiver
    for (Channel& channel : channels_) {
      if (channel.to != process.id || channel.round != hand_over.round)
        continue;
      channel.to_has = true;
      if (process.round != 0 || !process.accepting) channel.to_closed = true;
    }
    return;
  }
  if (process.round == 0) process.cut_at = now_ + hand_over.timeout;
  process.round = hand_over.round;
  process.kept.clear();
  StopReceiving(process);
  for (Channel& channel : channels_) {
    if (channel.from != process.id) continue;
    if (channel.round == process.round) {
      channel.from_has = true;
    } else if (channel.round < process.round && channel.moving.empty()) {
      channel.from_closed = true;
    }
  }
}

void SimulatedKernel::StopReceiving(Process& process) {
  for (Channel& channel : channels_) {
    if (channel.to != process.id || channel.to_closed) continue;
    if (channel.to_has) StepAsReceiver(channel, process);
    channel.to_closed = true;
  }
}

bool SimulatedKernel::HasMoving(const Process& process) const {
  return std::any_of(channels_.begin(), channels_.end(),
                     [&](const Channel& channel) {
                       return channel.from == process.id &&
                              !channel.from_closed && !channel.moving.empty();
                     });
}

std::vector<int> SimulatedKernel::IdleOf(const Process& process) {
  std::vector<int> idle;
  for (const int connection : process.connections) {
    if (process.busy.count(connection) + process.kept.count(connection) == 0)
      idle.push_back(connection);
  }
  return idle;
}

bool SimulatedKernel::MayTakeStep(const Channel& channel,
                                  const Process& process) const {
  if (channel.to == process.id && channel.to_has && !channel.to_closed) {
    return !channel.answered &&
           (!channel.moving.empty() || channel.from_closed);
  }
  if (channel.from != process.id || !channel.from_has || channel.from_closed)
    return false;
  if (channel.answered || channel.to_closed) return true;
  return channel.moving.empty() && channel.round == process.round &&
         !IdleOf(process).empty();
}

bool SimulatedKernel::HandoverPending(const Process& process) const {
  if (!process.alive || process.hung) return false;
  if (process.round != 0 &&
      ((process.connections.empty() && !HasMoving(process)) ||
       now_ >= process.cut_at)) {
    return true;
  }
  return std::any_of(
      channels_.begin(), channels_.end(),
      [&](const Channel& channel) { return MayTakeStep(channel, process); });
}

void SimulatedKernel::HandoverStep(Process& process) {
  for (Channel& channel : channels_) {
    if (!MayTakeStep(channel, process) || Chance(30)) continue;
    channel.to == process.id ? StepAsReceiver(channel, process)
                             : StepAsSender(channel, process);
    break;
  }
  channels_.remove_if([](const Channel& channel) {
    return channel.from_closed && channel.to_closed;
  });
  EndIfNothingIsLeft(process);
}

void SimulatedKernel::StepAsReceiver(Channel& channel, Process& process) {
  if (channel.answered) return;
  channel.refused.clear();
  channel.later.clear();
  for (const int connection : channel.moving) {
    if (!healing_ && Chance(10)) {
      channel.refused.insert(connection);
      if (Chance(50)) channel.later.insert(connection);
    } else {
      process.connections.insert(connection);
    }
  }
  if (!channel.from_closed) {
    channel.answered = !channel.moving.empty();
    return;
  }
  // Nobody hears the answer: what is refused has no one.
  for (const int connection : channel.refused) connections_.erase(connection);
  channel.moving.clear();
  channel.to_closed = true;
}

void SimulatedKernel::StepAsSender(Channel& channel, Process& process) {
  const auto put_back = [&](std::set<int>& connections) {
    process.connections.insert(connections.begin(), connections.end());
    connections.clear();
  };
  if (channel.answered) {
    for (const int connection : channel.refused) {
      if (channel.round == process.round &&
          channel.later.count(connection) == 0)
        process.kept.insert(connection);
    }
    put_back(channel.refused);
    channel.moving.clear();
    channel.answered = false;
    channel.from_closed = channel.round != process.round;
    return;
  }
  if (channel.to_closed) {
    put_back(channel.moving);
    channel.from_closed = true;
    if (channel.round != process.round) return;
    process.outbox.push_back(event::HandoverBroken{process.id, channel.round});
    return;
  }
  for (const int connection : IdleOf(process)) {
    if (channel.moving.size() == 3) break;
    process.connections.erase(connection);
    channel.moving.insert(connection);
  }
}

void SimulatedKernel::EndIfNothingIsLeft(Process& process) {
  if (process.round == 0 || !process.alive) return;
  if (!process.passed_told && IdleOf(process).empty() && !HasMoving(process)) {
    process.passed_told = true;
    process.outbox.push_back(
        event::ConnectionsPassed{process.id, process.connections.size()});
  }
  const bool done = process.connections.empty() && !HasMoving(process);
  if (!done && now_ < process.cut_at) return;
  process.outbox.push_back(
      event::WorkerDrained{process.id, process.connections.size()});
  Die(process, ExitStatus::Exited(0));
}

// With a process goes what it has. What it has sent is the receiver's, if that
// lives, and the other way round.
void SimulatedKernel::LoseConnections(Process& process) {
  for (const int connection : process.connections)
    connections_.erase(connection);
  process.connections.clear();
  for (Channel& channel : channels_) {
    if (channel.from == process.id) channel.from_closed = true;
    if (channel.to == process.id) channel.to_closed = true;
    const std::set<int>& inside =
        channel.answered ? channel.refused : channel.moving;
    const bool lost =
        channel.from_closed && (channel.to_closed || channel.answered);
    if (!lost) continue;
    for (const int connection : inside) connections_.erase(connection);
    channel.refused.clear();
    channel.moving.clear();
    channel.answered = false;
  }
}

// --- invariant

void SimulatedKernel::CheckConnections() const {
  std::set<int> found;
  const auto find = [&](const std::set<int>& connections) {
    for (const int connection : connections) {
      CHECK(connections_.count(connection) == 1)
          << "connection " << connection << " is open for the server only";
      CHECK(found.insert(connection).second)
          << "connection " << connection << " is served twice";
    }
  };
  for (const auto& [id, process] : processes_) find(process.connections);
  for (const Channel& channel : channels_)
    find(channel.answered ? channel.refused : channel.moving);
  CHECK_EQ(found.size(), connections_.size()) << "a connection is lost";
}

}  // namespace baton
