#include "tools/loadgen/engine.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "net/errno_status.h"
#include "tools/loadgen/client_socket.h"
#include "tools/loadgen/engine_clock.h"

namespace baton::loadgen {
namespace {

constexpr size_t kReadBufferBytes = 64 * 1024;
constexpr int kEventsPerTurn = 512;
// Standard streams, epoll, stop descriptor and what a library may hold.
constexpr int64_t kOtherDescriptors = 32;

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
  launched_ = started_ = last_progress_ = now_ = NowNanos();
  cpu_at_start_ = CpuUsed();
  if (options_.progress) next_progress_ = now_ + kNanosPerSecond;
  if (options_.idle) {
    RunIdle();
  } else {
    Pacer pacer({.rate = options_.rate,
                 .count = options_.count,
                 .duration = options_.duration,
                 .grace = options_.timeout});
    ConnectAll(&pacer);
    started_ = now_;
    cpu_at_start_ = CpuUsed();
    pacer.Start(now_);
    RunPhase(Phase::kExchange, &pacer);
    EndConnections();
    if (!stopped_) RecordUnsent(pacer.unsent());
  }
  return MakeReport();
}

void Engine::RunIdle() {
  Pacer opening({.count = options_.connections});
  RunPhase(Phase::kExchange, &opening);
  held_ = tally_.exchanges;
  HoldUntil(now_ + absl::ToInt64Nanoseconds(options_.duration));
  if (open_ == 0) return;
  Pacer verifying({.count = open_});
  RunPhase(Phase::kVerify, &verifying);
}

void Engine::RecordUnsent(int64_t unsent) {
  if (unsent == 0) return;
  tally_.errors(ErrorKind::kUnsent, Age::kNew) += unsent;
  if (tally_.first_error.empty()) {
    tally_.first_error = absl::StrCat(unsent, " exchanges never begun");
  }
}

Report Engine::MakeReport() {
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
  report.elapsed = absl::Nanoseconds(NowNanos() - started_);
  report.cpu = CpuUsed() - cpu_at_start_;
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

bool Engine::PhaseOver() const {
  return in_flight_ == 0 && owed_ == 0 && pacer_->Over(now_);
}

// The time of the run starts when the connections stand: or a schedule would
// begin with a backlog, and a short run be over before it had them all.
void Engine::ConnectAll(Pacer* pacer) {
  phase_ = Phase::kConnect;
  pacer_ = pacer;
  do {
    Turn(kNever);
  } while (!stopped_ && (connecting_ > 0 || MayOpenNext()));
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

absl::StatusOr<Report> RunLoad(LoadOptions options) {
  auto engine = Engine::Create(std::move(options));
  if (!engine.ok()) return engine.status();
  return (*engine)->Run();
}

}  // namespace baton::loadgen
