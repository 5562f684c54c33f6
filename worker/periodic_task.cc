#include "worker/periodic_task.h"

#include <algorithm>
#include <utility>

#include "glog/logging.h"
#include "net/event_loop.h"
#include "worker/job_desk.h"

namespace baton {
namespace {

class PoolRun final : public DeskJob {
 public:
  PoolRun(const char* name, void (*run)(uint64_t), uint64_t missed)
      : DeskJob(name), run_(run), missed_(missed) {}

 private:
  void Run() override { run_(missed_); }

  void (*const run_)(uint64_t);
  const uint64_t missed_;
};

}  // namespace

// Owned by the handle. While `run_` is being called it may be cancelled, and is
// then destroyed afterwards.
class PeriodicTask::State final : private TimerBase, private DeskJob::Waiter {
 public:
  State(absl::Duration period, bool once,
        absl::AnyInvocable<void(uint64_t)> run)
      : TimerBase(EventLoop::Current()),
        period_nanos_(absl::ToInt64Nanoseconds(period)),
        once_(once),
        run_(std::move(run)),
        due_nanos_(loop().FreshNowNanos() + period_nanos_) {
    Start(period);
  }
  State(const char* name, absl::Duration period, void (*run)(uint64_t))
      : State(period, /*once=*/false, nullptr) {
    name_ = name;
    pool_run_ = run;
  }
  ~State() override {
    if (job_ != nullptr && !JobDesk::GiveUp(*job_, /*begin=*/true)) {
      delete job_;
    }
  }

  bool over() const { return over_; }
  void Release() {
    if (running_) {
      TimerBase::Cancel();
      released_ = true;
    } else {
      delete this;
    }
  }

 private:
  void OnDue() override {
    // How many ticks it has been; the loop may be late by several.
    const int64_t now = loop().FreshNowNanos();
    const int64_t ticks =
        1 + std::max<int64_t>(now - due_nanos_, 0) / period_nanos_;
    due_nanos_ += ticks * period_nanos_;
    missed_ += static_cast<uint64_t>(ticks - 1);
    over_ = once_;
    if (!once_) Start(absl::Nanoseconds(due_nanos_ - now));
    if (pool_run_ != nullptr) return RunOnPool();
    running_ = true;
    run_(std::exchange(missed_, 0));
    running_ = false;
    if (released_) delete this;
  }

  void RunOnPool() {
    if (job_ == nullptr) {
      auto job = std::make_unique<PoolRun>(name_, pool_run_, missed_);
      if (JobDesk::Current()
              .Submit(*job, *this, /*wait_for_room=*/false)
              .ok()) {
        job_ = job.release();
        missed_ = 0;
        return;
      }
    }
    ++missed_;
  }
  void OnReturned(absl::Status /*status*/) override {
    delete std::exchange(job_, nullptr);
  }

  const int64_t period_nanos_;
  const bool once_;
  absl::AnyInvocable<void(uint64_t)> run_;
  const char* name_ = nullptr;
  void (*pool_run_)(uint64_t) = nullptr;
  PoolRun* job_ = nullptr;  // is with the desk
  int64_t due_nanos_;       // the next tick
  uint64_t missed_ = 0;
  bool over_ = false, running_ = false, released_ = false;
};

void PeriodicTask::Deleter::operator()(State* state) const { state->Release(); }

bool PeriodicTask::active() const {
  return state_ != nullptr && !state_->over();
}

PeriodicTask RunEvery(absl::Duration period,
                      absl::AnyInvocable<void(uint64_t missed)> run) {
  CHECK_GE(period, absl::Milliseconds(1));
  return PeriodicTask(std::make_unique<PeriodicTask::State>(
                          period, /*once=*/false, std::move(run))
                          .release());
}

PeriodicTask RunEveryOnPool(const char* name, absl::Duration period,
                            void (*run)(uint64_t missed)) {
  CHECK_GE(period, absl::Milliseconds(1));
  return PeriodicTask(
      std::make_unique<PeriodicTask::State>(name, period, run).release());
}

PeriodicTask RunAfter(absl::Duration delay, absl::AnyInvocable<void()> run) {
  return PeriodicTask(
      std::make_unique<PeriodicTask::State>(
          std::max(delay, absl::Milliseconds(1)), /*once=*/true,
          [run = std::move(run)](uint64_t /*missed*/) mutable { run(); })
          .release());
}

}  // namespace baton
