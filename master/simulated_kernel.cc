#include "master/simulated_kernel.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "glog/logging.h"

namespace baton {
namespace {

// Longer than any back-off, start or retirement takes when nothing fails.
constexpr absl::Duration kHealBound = absl::Seconds(90);

constexpr uint8_t kFullBit = 1 << static_cast<int>(Impairment::kFull);

}  // namespace

SimulatedKernel::SimulatedKernel(uint32_t seed)
    : seed_(seed),
      random_(seed),
      honest_(Chance(50)),
      no_way_back_(seed % 4 == 0),
      linger_(absl::Milliseconds(Below(5000))),
      first_settings_(RandomSettings()),
      supervisor_(first_settings_) {
  for (int i = 0; i < first_settings_.workers; ++i) group_.push_back(i);
  Feed(event::Start{});
  // A start amid faults mostly fails, and then there is little to see.
  if (Chance(90)) Heal();
}

SupervisorSettings SimulatedKernel::RandomSettings() {
  SupervisorSettings settings;
  settings.workers = 1 + Below(4);
  settings.ready_timeout = absl::Milliseconds(500 + Below(10'000));
  settings.probation = absl::Milliseconds(Chance(50) ? 0 : Below(3000));
  if (Chance(50)) settings.drain_timeout = absl::Milliseconds(Below(5000));
  settings.max_draining = 1 + Below(kMostDraining);
  if (Chance(30)) settings.drain_delay = absl::Milliseconds(Below(5000));
  settings.stop_timeout = absl::Milliseconds(Below(10'000));
  settings.linger = linger_;
  if (Chance(10)) settings.crash_loop_limit = 1 + Below(20);
  return settings;
}

SimulatedKernel::Process* SimulatedKernel::AnyProcess() {
  if (processes_.empty()) return nullptr;
  auto it = processes_.begin();
  std::advance(it, Below(static_cast<int>(processes_.size())));
  return &it->second;
}

void SimulatedKernel::Step() {
  ++steps_;
  if (exit_code_.has_value()) return;
  if (Chance(20)) ClientStep();
  const int dice = Below(100);
  Process* process = AnyProcess();
  if (process != nullptr && !process->forked) {
    AnswerFork(*process);
  } else if (dice < 35 && process != nullptr) {
    WorkerGetsOn(*process);
  } else if (dice < 70 && process != nullptr) {
    Deliver(*process);
  } else if (dice < 76 && load_asked_.has_value()) {
    AnswerLoad();
  } else if (dice < 76 && open_asked_.has_value()) {
    AnswerOpen();
  } else if (dice < 76 && TrialUnderWay()) {
    TrialStep();
  } else if (dice < 86) {
    TimePasses();
  } else if (healing_) {
    TimePasses();
  } else if (dice < 93) {
    Fault();
  } else {
    Operator();
  }
  CheckAfterStep();
}

void SimulatedKernel::AnswerFork(Process& process) {
  process.forked = true;
  if (!healing_ && Chance(15)) {
    const WorkerId id = process.id;
    processes_.erase(id);
    return Feed(event::ForkFailed{id, "fork: simulated"});
  }
  Feed(event::Forked{process.id, static_cast<pid_t>(process.id)});
}

void SimulatedKernel::AnswerLoad() {
  const action::LoadConfig asked = *load_asked_;
  load_asked_.reset();
  if (!healing_ && Chance(25)) {
    reload_going_.reset();
    return Feed(event::ConfigRejected{asked.generation, "simulated"});
  }
  SupervisorSettings settings = RandomSettings();
  if (Chance(50)) settings.workers = asked.configured;
  OpenUpTo(
      WorkersAfterReload(asked.configured, asked.wanted, settings.workers));
  made_by_[asked.generation] = binary_;
  Feed(event::ConfigLoaded{asked.generation, settings});
}

void SimulatedKernel::AnswerOpen() {
  const int slots = *open_asked_;
  open_asked_.reset();
  if (!healing_ && Chance(25)) {
    return Feed(event::SlotsRefused{slots, "bind: simulated"});
  }
  OpenUpTo(slots);
  Feed(event::SlotsOpened{slots});
}

// A group that grows is steered to the sockets that it had.
void SimulatedKernel::OpenUpTo(int slots) {
  const auto before = static_cast<int>(group_.size());
  for (int i = before; i < slots; ++i) {
    if (!steered_.has_value()) steered_ = before;
    group_.push_back(i);
    left_.erase(i);
  }
}

void SimulatedKernel::WorkerGetsOn(Process& process) {
  if (!process.alive) return;
  if (process.kill_pending) {
    if (process.unkillable) return;
    return Die(process, ExitStatus::Signalled(SIGKILL));
  }
  if (process.abort_pending && (healing_ || Chance(20))) {
    return Die(process, ExitStatus::Signalled(SIGABRT, Chance(50)));
  }
  if (process.hung || process.abort_pending) return;
  if (process.inbox.empty() || Chance(30)) return HandoverStep(process);
  const Action message = process.inbox.front();
  process.inbox.pop_front();
  WorkerHandles(process, message);
}

void SimulatedKernel::WorkerHandles(Process& process, const Action& message) {
  if (std::holds_alternative<action::Fork>(message)) {
    process.outbox.push_back(event::WorkerReady{process.id});
  } else if (std::holds_alternative<action::Serve>(message)) {
    process.accepting = true;
    process.outbox.push_back(event::WorkerServing{process.id});
  } else if (std::holds_alternative<action::StopAccepting>(message)) {
    process.accepting = process.holds_own = false;
    for (SocketsId id : process.adopted) emptied_[id] = now_;
    process.adopted.clear();
    process.outbox.push_back(event::AcceptStopped{process.id});
  } else if (const auto* round = std::get_if<action::HandOver>(&message)) {
    BeginRound(process, *round);
  } else if (const auto* adopt = std::get_if<action::Adopt>(&message)) {
    if (!healing_ && Chance(10)) {
      process.outbox.push_back(event::AdoptFailed{process.id, adopt->sockets});
    } else {
      process.adopted.insert(adopt->sockets);
    }
  } else if (const auto* release = std::get_if<action::Release>(&message)) {
    const bool emptied = process.adopted.erase(release->sockets) == 1 &&
                         (process.impairments & kFullBit) == 0;
    if (emptied) emptied_[release->sockets] = now_;
    process.outbox.push_back(event::SocketsReleased{
        process.id, release->sockets, release->ticket, emptied});
  } else if (std::holds_alternative<action::Drain>(message)) {
    StopReceiving(process);
    // Some connections last for ever; then only the time-out ends it.
    if (!healing_ && Chance(50)) return;
    process.outbox.push_back(event::WorkerDrained{
        process.id, static_cast<uint64_t>(Chance(20) ? Below(9) : 0)});
    Die(process, ExitStatus::Exited(0));
  } else if (std::holds_alternative<action::StopWorker>(message)) {
    Die(process, ExitStatus::Exited(0));
  }
}

void SimulatedKernel::Die(Process& process, ExitStatus status) {
  process.alive = false;
  process.accepting = process.holds_own = false;
  process.adopted.clear();
  LoseConnections(process);
  process.status = status;
  // The channel's end may be seen before the exit.
  process.outbox.push_back(event::WorkerBroken{process.id, "channel closed"});
}

void SimulatedKernel::Deliver(Process& process) {
  // What is still in the channel and the exit come in any order.
  const bool exit_first = process.status.has_value() && Chance(30);
  if (!process.outbox.empty() && !exit_first) {
    const Event event = process.outbox.front();
    process.outbox.pop_front();
    return Feed(event);
  }
  if (!process.status.has_value()) return;
  const event::WorkerExited exited{process.id, *process.status};
  processes_.erase(process.id);
  Feed(exited);
}

void SimulatedKernel::Fault() {
  Process* process = AnyProcess();
  if (process == nullptr || !process->alive || !process->forked) return;
  switch (Below(13)) {
    case 0:
    case 1:
      return Die(*process, ExitStatus::Signalled(SIGKILL));
    case 2:
      return Die(*process, ExitStatus::Signalled(SIGSEGV));
    case 3:
      return Die(*process, ExitStatus::Exited(Below(3)));
    case 4:
      process->hung = true;
      return;
    case 5:
      process->outbox.push_back(
          event::WorkerBroken{process->id, "garbage on the channel"});
      return;
    case 6:
    case 7:
    case 8:
      return Impair(*process, static_cast<Impairment>(Below(kImpairments)),
                    Chance(50));
    case 9:
      process->hung = process->stalled = true;
      return Feed(event::WorkerStalled{process->id, absl::Seconds(30)});
    case 10:
      if (process->abort_pending) Feed(event::WorkerDumpsCore{process->id});
      return;
    default:
      return HostileMessage(*process);
  }
}

void SimulatedKernel::Impair(Process& process, Impairment what, bool on) {
  const auto bit = static_cast<uint8_t>(1 << static_cast<int>(what));
  if (((process.impairments & bit) != 0) == on) return;
  process.impairments ^= bit;
  const event::WorkerImpaired event{process.id, what, on};
  // The worker says itself when it is full; the rest is seen from outside.
  if (what == Impairment::kFull) {
    process.outbox.push_back(event);
  } else {
    Feed(event);
  }
}

void SimulatedKernel::HostileMessage(Process& process) {
  if (honest_) return;
  const WorkerId id = process.id;
  const Event claims[] = {
      event::WorkerReady{id},
      event::WorkerServing{id},
      event::AcceptStopped{id},
      event::WorkerDrained{id, ~uint64_t{0} >> 1},
      event::ReplaceRequested{id},
      event::RecycleRequested{id, "simulated"},
      event::ConnectionsPassed{id, 0},
      event::HandoverBroken{id, static_cast<uint64_t>(Below(100))},
      event::WorkerPinned{id, {}},
      event::SocketsReleased{id, static_cast<SocketsId>(Below(6) - 1),
                             ~uint64_t{0}, Chance(50)},
      event::AdoptFailed{id, static_cast<SocketsId>(Below(6))},
      event::WorkerImpaired{id, Impairment::kFull, true}};
  process.outbox.push_back(claims[Below(static_cast<int>(std::size(claims)))]);
}

void SimulatedKernel::Operator() {
  const int dice = Below(100);
  if (dice < 20) return Feed(event::ReloadRequested{});
  if (dice < 30) return Feed(event::UpgradeRequested{});
  if (dice < 50) return Feed(event::ScaleRequested{Chance(50) ? 1 : -1});
  if (dice < 60) return Feed(event::ScaleRequested{0, 1 + Below(5)});
  if (dice < 90) {
    Process* process = AnyProcess();
    if (process == nullptr || !process->alive) return;
    if (Chance(50)) {
      process->outbox.push_back(event::ReplaceRequested{process->id});
    } else {
      process->outbox.push_back(
          event::RecycleRequested{process->id, "simulated"});
    }
    return;
  }
  // Stops end a run: they are rare here and have a phase of their own.
  if (!Chance(10)) return;
  stop_asked_ = true;
  if (Chance(70)) return Feed(event::TerminateRequested{});
  Feed(event::QuitRequested{});
}

void SimulatedKernel::TimePasses() {
  const Instant due = supervisor_.next_deadline();
  if (Chance(60) && due != absl::InfiniteDuration()) {
    // Timers are seldom early and often late.
    now_ = std::max(now_, due) + absl::Milliseconds(Chance(70) ? 0 : Below(50));
  } else {
    now_ += absl::Milliseconds(Below(Chance(90) ? 20 : 2000));
  }
  Feed(event::Timer{});
  CHECK(supervisor_.next_deadline() > now_) << "the master would spin";
}

void SimulatedKernel::Heal() {
  healing_ = true;
  for (auto& [id, process] : processes_) {
    process.hung = false;
    process.busy.clear();
    for (int what = 0; what < kImpairments; ++what) {
      Impair(process, static_cast<Impairment>(what), false);
    }
    // Also if it only claimed to be.
    process.outbox.push_back(
        event::WorkerImpaired{id, Impairment::kFull, false});
  }
  const Instant bound = now_ + kHealBound;
  // Everything that is under way is finished before time passes.
  while (now_ < bound && !exit_code_.has_value()) {
    bool idle = true;
    std::vector<WorkerId> ids;
    ids.reserve(processes_.size());
    for (const auto& [id, process] : processes_) ids.push_back(id);
    for (WorkerId id : ids) {
      const auto it = processes_.find(id);
      if (it == processes_.end()) continue;
      Process& process = it->second;
      const bool busy = !process.forked || process.status.has_value() ||
                        process.kill_pending || process.abort_pending ||
                        !process.outbox.empty() ||
                        (process.alive && !process.inbox.empty()) ||
                        HandoverPending(process);
      if (!busy) continue;
      idle = false;
      if (!process.forked) {
        AnswerFork(process);
      } else if (Chance(50)) {
        WorkerGetsOn(process);
      } else {
        Deliver(process);
      }
      CheckAfterStep();
    }
    if (load_asked_.has_value()) {
      AnswerLoad();
      idle = false;
    }
    if (open_asked_.has_value()) {
      AnswerOpen();
      idle = false;
    }
    if (TrialUnderWay() && canary_ != Canary::kReady) {
      TrialStep();
      idle = false;
    }
    if (!idle) continue;
    const Instant due = supervisor_.next_deadline();
    if (due >= bound) break;
    now_ = std::max(now_, due);
    Feed(event::Timer{});
    CheckAfterStep();
  }
  CheckSettled();
  healing_ = false;
}

void SimulatedKernel::Stop() {
  if (exit_code_.has_value()) return;
  stop_asked_ = true;
  const bool quit = Chance(30), faults = Chance(50), quit_later = Chance(30);
  Instant bound = now_ + absl::Seconds(5 + 10) + Supervisor::kDrainGrace +
                  Supervisor::kAcceptStopTimeout +
                  Supervisor::kUnkillableTimeout + absl::Seconds(1);
  if (quit) {
    bound = now_ + Supervisor::kStopGrace + Supervisor::kUnkillableTimeout +
            absl::Seconds(1);
    Feed(event::QuitRequested{});
  } else {
    Feed(event::TerminateRequested{});
  }
  for (auto& [id, process] : processes_) {
    process.unkillable = process.hung = faults && Chance(10);
  }
  // Time passes in small steps, forks are answered: the stop itself must see
  // to the rest, whatever the workers do.
  while (!exit_code_.has_value()) {
    CHECK(now_ < bound) << "the stop does not end, seed " << seed_;
    Process* process = AnyProcess();
    if (process != nullptr && !process->forked) {
      AnswerFork(*process);
    } else if (process != nullptr && Chance(40)) {
      Chance(50) ? WorkerGetsOn(*process) : Deliver(*process);
    } else if (faults && Chance(10)) {
      Fault();
    } else if (quit_later && Chance(5)) {
      Feed(event::QuitRequested{});
    } else {
      if (load_asked_.has_value()) AnswerLoad();
      if (open_asked_.has_value()) AnswerOpen();
      now_ = std::min(std::max(now_, supervisor_.next_deadline()),
                      now_ + absl::Milliseconds(Below(100)));
      Feed(event::Timer{});
    }
    CheckAfterStep();
  }
}

}  // namespace baton
