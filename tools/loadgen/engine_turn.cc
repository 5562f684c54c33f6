// The part of Engine that goes round: waits, keeps time, and decides who begins
// what, and when.

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <utility>

#include "absl/time/time.h"
#include "glog/logging.h"
#include "tools/loadgen/engine.h"
#include "tools/loadgen/engine_clock.h"

namespace baton::loadgen {

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
    const int count =
        ::epoll_pwait2(epoll_.get(), events_.data(),
                       static_cast<int>(events_.size()), &timeout, nullptr);
    if (count >= 0) return count;
    if (errno == EINTR) return 0;
    PCHECK(errno == ENOSYS) << "epoll_pwait2";
    fine_wait_ = false;
  }
  const int64_t millis = (nanos + 999'999) / 1'000'000;
  const int count = ::epoll_wait(
      epoll_.get(), events_.data(), static_cast<int>(events_.size()),
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
  progress.elapsed = absl::Nanoseconds(now_ - launched_);
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

bool Engine::MayOpenNext() const {
  if (unconnected_.empty() || connecting_ >= options_.connecting) return false;
  switch (phase_) {
    case Phase::kConnect: {
      const bool tried = slots_[unconnected_.front()].connection != 0;
      return !tried && (options_.rate > 0 || !pacer_->Over(now_));
    }
    case Phase::kExchange:
      return !pacer_->Over(now_);
    default:
      return false;
  }
}

void Engine::OpenConnections() {
  while (MayOpenNext()) {
    const uint32_t index = unconnected_.front();
    unconnected_.pop_front();
    // But at a constant rate a connection is there for an exchange, and fails
    // as one.
    if (options_.rate == 0 && pacer_->Take(now_)) SetOwes(slots_[index], true);
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
  if (slots_[index].owes_exchange) {
    Begin(index, now_);
  } else if (const auto intended = pacer_->Take(now_)) {
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

}  // namespace baton::loadgen
