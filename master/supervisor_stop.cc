// The supervisor's way to the end: delay, drain, quit, exit code.

#include <utility>

#include "glog/logging.h"
#include "master/supervisor.h"

namespace baton {

using action::Severity;

void Supervisor::On(const event::TerminateRequested&) {
  if (phase_ == Phase::kIdle || phase_ == Phase::kStarting) {
    Log(Severity::kInfo, "stop_started", {{"how", "at_once"}});
    return BeginQuit();  // nobody is served yet
  }
  if (phase_ != Phase::kUp) {
    if (now_ - stop_asked_at_ > kSecondTerminate) BeginQuit();
    return;
  }
  AbandonUpgrade();
  stop_asked_at_ = now_;
  phase_ = Phase::kDelaying;
  delay_until_ = now_ + settings_.drain_delay;
  Log(Severity::kInfo, "stop_started",
      {{"how", "graceful"},
       {"drain_delay_ms", absl::ToInt64Milliseconds(settings_.drain_delay)},
       {"stop_timeout_ms", absl::ToInt64Milliseconds(settings_.stop_timeout)}});
}

void Supervisor::On(const event::QuitRequested&) {
  if (phase_ == Phase::kQuitting) return;
  Log(Severity::kInfo, "stop_started", {{"how", "at_once"}});
  BeginQuit();
}

// A worker of the configuration that serves has failed.
void Supervisor::CountFailure() {
  failures_.push_back(now_);
  while (now_ - failures_.front() > kCrashLoopWindow) failures_.pop_front();
  const auto limit = static_cast<size_t>(settings_.crash_loop_limit);
  if (limit == 0 || failures_.size() < limit || phase_ != Phase::kUp) return;
  crash_loop_ = true;
  Log(Severity::kError, "crash_loop",
      {{"failures", static_cast<int64_t>(failures_.size())},
       {"crash_loop_limit", int64_t{settings_.crash_loop_limit}}});
  Log(Severity::kInfo, "stop_started", {{"how", "crash_loop"}});
  stop_asked_at_ = now_;
  BeginDrain();
}

void Supervisor::BeginDrain() {
  AbandonUpgrade();
  phase_ = Phase::kDraining;
  stop_deadline_ = now_ + settings_.stop_timeout;
  if (roll_.has_value()) {
    const Generation target = roll_->target;
    roll_.reset();
    FinishReload(ReloadResult::Outcome::kRolledBack, "the server is stopping",
                 target);
  }
  NoteWhoServes();
  for (auto& [id, worker] : workers_) EndServing(worker);
}

void Supervisor::NoteWhoServes() {
  for (auto& [id, worker] : workers_) {
    worker.uncounted = worker.phase >= WorkerPhase::kAdding &&
                       worker.phase <= WorkerPhase::kDraining;
  }
}

// One that a stop ends by a signal. How many requests it had nobody knows.
void Supervisor::CountCut(SupervisedWorker& worker) {
  if (!std::exchange(worker.uncounted, false)) return;
  ++workers_cut_;
  if (phase_ == Phase::kDraining || stop_timeout_over_) {
    stop_timeout_cut_ = true;
  }
}

void Supervisor::EndServing(SupervisedWorker& worker) {
  switch (worker.phase) {
    case WorkerPhase::kForking:
    case WorkerPhase::kStarting:
    case WorkerPhase::kReady:
      return EndWorker(worker);
    case WorkerPhase::kAdding:
    case WorkerPhase::kServing:
      return Retire(worker, /*shut_down_listeners=*/true);
    case WorkerPhase::kPassing:
    case WorkerPhase::kDraining:
      return StartDrain(worker);  // has less time from now on
    case WorkerPhase::kEnding:
      return EndSooner(worker, stop_deadline_);
    case WorkerPhase::kRetiring:
    case WorkerPhase::kKilled:
      return;
  }
}

void Supervisor::BeginQuit() {
  AbandonUpgrade();
  if (phase_ != Phase::kDraining) NoteWhoServes();
  stop_timeout_over_ = now_ >= stop_deadline_;
  phase_ = Phase::kQuitting;
  roll_.reset();
  upgrade_.reset();
  for (auto& [id, worker] : workers_) EndWorker(worker);
}

void Supervisor::AdvanceStop() {
  if (!stopping()) return;
  bool accepting = false;
  for (const auto& [id, worker] : workers_) {
    accepting = accepting || worker.phase == WorkerPhase::kRetiring;
  }
  if (!accepting && !listeners_closed_) {
    listeners_closed_ = true;
    Emit(action::CloseListeners{});
  }
  if (!workers_.empty()) return;
  const bool cut = connections_cut_ != 0 || workers_cut_ != 0;
  const int code = start_failed_       ? 1
                   : crash_loop_       ? 4
                   : stop_timeout_cut_ ? 3
                                       : 0;
  phase_ = Phase::kExited;
  Log(cut ? Severity::kWarning : Severity::kInfo, "stopped",
      {{"exit_code", int64_t{code}},
       {"connections_cut", static_cast<int64_t>(connections_cut_)},
       {"workers_cut", static_cast<int64_t>(workers_cut_)}});
  Emit(action::Exit{code});
}

}  // namespace baton
