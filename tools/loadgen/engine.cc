#include "tools/loadgen/engine.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "net/errno_status.h"
#include "tools/loadgen/client_socket.h"
#include "tools/loadgen/engine_clock.h"

namespace baton::loadgen {
namespace {

constexpr size_t kReadBufferBytes = 64 * 1024;
constexpr int kEventsPerTurn = 512;
// Standard streams, epoll, stop descriptor and what a library may hold.
constexpr int64_t kOtherDescriptors = 32;
// The slot number that stands for stop_fd.
constexpr uint64_t kStopCookie = ~uint64_t{0};

absl::Duration CpuUsed() {
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return absl::DurationFromTimeval(usage.ru_utime) +
         absl::DurationFromTimeval(usage.ru_stime);
}

absl::Status RaiseDescriptorLimit(int64_t connections) {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) < 0) {
    return ErrnoStatus("getrlimit", "RLIMIT_NOFILE", errno);
  }
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) < 0) {
    return ErrnoStatus("setrlimit", "RLIMIT_NOFILE", errno);
  }
  const auto needed = static_cast<rlim_t>(connections + kOtherDescriptors);
  if (needed > limit.rlim_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "--connections=", connections, " needs ", needed,
        " descriptors; the hard limit (ulimit -Hn) is ", limit.rlim_max));
  }
  return absl::OkStatus();
}

// One address has 28,000 ports by default (ip_local_port_range, ip(7)); and a
// connection closed by this side holds its port in TIME_WAIT.
int ChooseSources(const LoadOptions& options) {
  if (options.sources > 0) return options.sources;
  if (options.churn > 0) return 64;
  return options.connections / 10'000 + 1;
}

std::unique_ptr<Protocol> MakeProtocol(const LoadOptions& options) {
  const MessageShape shape{.bytes = options.size, .urgent = options.urgent};
  switch (options.target.scheme) {
    case LoadTarget::Scheme::kDiscard:
      return MakeDiscardProtocol(shape);
    case LoadTarget::Scheme::kHttp:
      return MakeHttpProtocol(options.target);
    case LoadTarget::Scheme::kEcho:
      break;
  }
  return MakeEchoProtocol(shape);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(LoadOptions options) {
  if (absl::Status status = CheckLoadOptions(options); !status.ok()) {
    return status;
  }
  if (absl::Status status = RaiseDescriptorLimit(options.connections);
      !status.ok()) {
    return status;
  }
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return ErrnoStatus("epoll_create1", "", errno);
  if (options.stop_fd >= 0) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = kStopCookie;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, options.stop_fd, &event) < 0) {
      return ErrnoStatus("epoll_ctl", "stop descriptor", errno);
    }
  }
  return std::unique_ptr<Engine>(
      new Engine(std::move(options), std::move(epoll)));
}

Engine::Engine(LoadOptions options, UniqueFd epoll)
    : options_(std::move(options)),
      sources_(ChooseSources(options_)),
      protocol_(MakeProtocol(options_)),
      epoll_(std::move(epoll)),
      slots_(options_.connections),
      events_(kEventsPerTurn),
      buffer_(kReadBufferBytes) {
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    slots_[i].conversation = protocol_->NewConversation();
    unconnected_.push_back(i);
  }
}

Report Engine::Run() {
  const absl::Duration cpu_before = CpuUsed();
  started_ = last_progress_ = now_ = NowNanos();
  if (options_.progress) next_progress_ = now_ + kNanosPerSecond;
  const Pacer::Plan plan = {.rate = options_.rate,
                            .count = options_.count,
                            .duration = options_.duration,
                            .grace = options_.timeout};
  if (options_.idle) {
    Pacer opening({.count = options_.connections}, now_);
    RunPhase(Phase::kExchange, &opening);
    HoldUntil(now_ + absl::ToInt64Nanoseconds(options_.duration));
    held_ = tally_.exchanges;
    // As many as are open, and it can't be fewer than none.
    Pacer verifying({.count = std::max<int64_t>(open_, 1)}, now_);
    if (open_ > 0) RunPhase(Phase::kVerify, &verifying);
  } else {
    if (options_.rate > 0) ConnectAll();
    Pacer pacer(plan, now_);
    RunPhase(Phase::kExchange, &pacer);
    EndConnections();
    if (const int64_t unsent = pacer.unsent(); unsent > 0 && !stopped_) {
      tally_.errors(ErrorKind::kUnsent, Age::kNew) += unsent;
      if (tally_.first_error.empty()) {
        tally_.first_error = absl::StrCat(unsent, " exchanges never begun");
      }
    }
  }
  return MakeReport(started_, cpu_before);
}

Report Engine::MakeReport(int64_t started, absl::Duration cpu_before) {
  latency_.Merge(interval_);
  Report report;
  report.target = options_.target.url;
  report.mode = options_.idle ? "idle" : options_.rate > 0 ? "rate" : "closed";
  report.connections = options_.connections;
  report.size = options_.size;
  report.rate = options_.rate;
  report.tally = tally_;
  report.latency = std::move(latency_);
  report.connect = std::move(connect_);
  report.lag = std::move(lag_);
  report.elapsed = absl::Nanoseconds(NowNanos() - started);
  report.cpu = CpuUsed() - cpu_before;
  report.interrupted = stopped_;
  report.abandoned = in_flight_;
  report.held = held_;
  report.alive = options_.idle ? tally_.exchanges - held_ : 0;
  return report;
}

void Engine::RunPhase(Phase phase, Pacer* pacer) {
  phase_ = phase;
  pacer_ = pacer;
  while (!stopped_ && !PhaseOver()) Turn(pacer->last_call());
}

bool Engine::PhaseOver() const { return in_flight_ == 0 && pacer_->Over(now_); }

// At a constant rate the schedule starts when the connections stand, or it
// would begin with a second's backlog.
void Engine::ConnectAll() {
  phase_ = Phase::kConnect;
  while (!stopped_ &&
         (slots_tried_ < options_.connections || connecting_ > 0)) {
    Turn(kNever);
  }
}

void Engine::HoldUntil(int64_t deadline) {
  phase_ = Phase::kHold;
  while (!stopped_ && now_ < deadline) Turn(deadline);
}

void Engine::EndConnections() {
  if (stopped_) return;
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].state == State::kIdle) Retire(i);
  }
  while (!stopped_ && in_flight_ > 0) Turn(kNever);
}

void Engine::Turn(int64_t until) {
  RunTimers();
  OpenConnections();
  DispatchReady();

  const bool poll = options_.spin && phase_ == Phase::kExchange;
  const int count =
      Wait(poll ? 0 : std::max<int64_t>(0, NextDeadline(until) - now_));
  now_ = NowNanos();
  for (int i = 0; i < count; ++i) {
    // An event is never stale: a slot's descriptor is in this epoll set once
    // and in no other process, and an event handler closes its own slot only.
    if (events_[i].data.u64 == kStopCookie) {
      stopped_ = true;
    } else {
      OnEvent(static_cast<uint32_t>(events_[i].data.u64), events_[i].events);
    }
  }
  for (const Unfinished& next : std::exchange(unfinished_, {})) {
    if (Current(next.ticket) && slots_[next.ticket.slot].fd) {
      Receive(next.ticket.slot, next.events);
    }
  }
}

// Waits for events; returns how many there are.
int Engine::Wait(int64_t nanos) {
  if (fine_wait_) {
    const timespec timeout = {.tv_sec = nanos / kNanosPerSecond,
                              .tv_nsec = nanos % kNanosPerSecond};
    const int count = ::epoll_pwait2(epoll_.get(), events_.data(),
                                     kEventsPerTurn, &timeout, nullptr);
    if (count >= 0) return count;
    if (errno == EINTR) return 0;
    PCHECK(errno == ENOSYS) << "epoll_pwait2";
    fine_wait_ = false;
  }
  const int64_t millis = (nanos + 999'999) / 1'000'000;
  const int count =
      ::epoll_wait(epoll_.get(), events_.data(), kEventsPerTurn,
                   static_cast<int>(std::min<int64_t>(millis, INT_MAX)));
  PCHECK(count >= 0 || errno == EINTR) << "epoll_wait";
  return std::max(count, 0);
}

// When there will be something to do without an event.
int64_t Engine::NextDeadline(int64_t until) const {
  if (!unfinished_.empty()) return now_;
  const bool exchanging =
      phase_ == Phase::kExchange || phase_ == Phase::kVerify;
  // Exchanges that end by being sent may all have ended in this very turn.
  if (exchanging && PhaseOver()) return now_;
  int64_t next = next_progress_;
  if (until > now_) next = std::min(next, until);
  if (in_flight_ > 0) next = std::min(next, next_sweep_);
  if (!wake_ups_.empty()) next = std::min(next, wake_ups_.top().at);
  if (!ready_.empty() && exchanging) {
    const bool resting = options_.idle && phase_ == Phase::kExchange;
    if (!resting) next = std::min(next, pacer_->NextDue(now_));
  }
  return next;
}

void Engine::RunTimers() {
  if (now_ >= next_sweep_) SweepTimeouts();
  if (now_ >= next_progress_) ReportProgress();
  WakeSlots();
}

void Engine::SweepTimeouts() {
  const int64_t timeout = absl::ToInt64Nanoseconds(options_.timeout);
  next_sweep_ = now_ + std::clamp<int64_t>(timeout / 10, kNanosPerSecond / 1000,
                                           kNanosPerSecond / 10);
  if (in_flight_ == 0) return;
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.state == State::kClosed || slot.state == State::kIdle) continue;
    if (now_ - slot.since < timeout) continue;
    if (slot.state == State::kConnecting) {
      Fail(i, ErrorKind::kConnectTimeout, "connect: no answer in time");
    } else {
      Fail(i, ErrorKind::kTimeout, "no answer in time");
    }
  }
}

void Engine::ReportProgress() {
  Progress progress;
  progress.elapsed = absl::Nanoseconds(now_ - started_);
  progress.interval = absl::Nanoseconds(now_ - last_progress_);
  progress.latency = &interval_;
  progress.open_connections = open_;
  progress.errors = tally_.total_errors();
  options_.progress(progress);
  latency_.Merge(interval_);
  interval_.Clear();
  last_progress_ = now_;
  next_progress_ = std::max(next_progress_ + kNanosPerSecond, now_);
}

// Think time, back-off, or another try at a full queue: whatever was set last.
void Engine::WakeAt(uint32_t index, int64_t at) {
  slots_[index].wake_at = at;
  wake_ups_.push({at, TicketOf(index)});
}

void Engine::WakeSlots() {
  while (!wake_ups_.empty() && wake_ups_.top().at <= now_) {
    const auto [at, ticket] = wake_ups_.top();
    wake_ups_.pop();
    Slot& slot = slots_[ticket.slot];
    if (!Current(ticket) || slot.wake_at != at) continue;
    slot.wake_at = 0;
    switch (slot.state) {
      case State::kIdle:
        NextExchange(ticket.slot);
        break;
      case State::kClosed:
        unconnected_.push_back(ticket.slot);
        break;
      case State::kConnecting:
        Connect(ticket.slot);
        break;
      default:
        break;
    }
  }
}

void Engine::OpenConnections() {
  if (phase_ == Phase::kHold || phase_ == Phase::kVerify) return;
  while (!unconnected_.empty() && connecting_ < options_.connecting) {
    const uint32_t index = unconnected_.front();
    if (options_.rate > 0) {
      if (phase_ == Phase::kExchange && pacer_->Over(now_)) return;
    } else {
      // A new connection is there for an exchange: both or none.
      if (!pacer_->Take(now_)) return;
      slots_[index].owes_exchange = true;
    }
    unconnected_.pop_front();
    Open(index);
  }
}

void Engine::DispatchReady() {
  if (phase_ == Phase::kHold || phase_ == Phase::kConnect) return;
  if (options_.idle && phase_ == Phase::kExchange) return;
  // Slots that become ready meanwhile wait for the next turn.
  for (size_t left = ready_.size(); left > 0; --left) {
    if (options_.rate > 0 && pacer_->NextDue(now_) > now_) return;
    const Ticket ticket = ready_.front();
    ready_.pop_front();
    if (Current(ticket) && slots_[ticket.slot].state == State::kIdle) {
      NextExchange(ticket.slot);
    }
  }
}

// Begins the next exchange of a connection that has none in progress, or ends
// the connection where there is no next.
void Engine::NextExchange(uint32_t index) {
  if (const auto intended = pacer_->Take(now_)) {
    Begin(index, *intended);
  } else {
    Retire(index);
  }
}

void Engine::BecomeReady(uint32_t index) {
  SetState(slots_[index], State::kIdle);
  ready_.push_back(TicketOf(index));
}

// `may_begin`: the next exchange may begin here and now.
void Engine::AfterExchange(uint32_t index, bool may_begin) {
  if (phase_ == Phase::kVerify) {
    Retire(index);
  } else if (options_.idle || options_.rate > 0) {
    BecomeReady(index);
  } else if (options_.think > absl::ZeroDuration()) {
    SetState(slots_[index], State::kIdle);
    WakeAt(index, now_ + absl::ToInt64Nanoseconds(options_.think));
  } else if (may_begin) {
    NextExchange(index);
  } else {
    BecomeReady(index);
  }
}

absl::StatusOr<Report> RunLoad(LoadOptions options) {
  auto engine = Engine::Create(std::move(options));
  if (!engine.ok()) return engine.status();
  return (*engine)->Run();
}

}  // namespace baton::loadgen
