#ifndef BATON_MASTER_SUPERVISOR_DRIVER_H_
#define BATON_MASTER_SUPERVISOR_DRIVER_H_

// For tests: holds a Supervisor and the time, answers forks, and keeps what the
// last events brought about, so that a test reads as a script.

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "glog/logging.h"
#include "master/supervisor.h"

namespace baton {

class SupervisorDriver {
 public:
  explicit SupervisorDriver(SupervisorSettings settings)
      : supervisor(settings) {}

  // Clears `actions`, then does it. Forks are answered at once, successfully
  // unless `failing_forks` is left.
  void Do(const Event& event) {
    actions.clear();
    Feed(event);
  }

  // Lets `by` pass; on the way, Timer is given whenever it was asked for.
  void Advance(absl::Duration by) {
    actions.clear();
    const Instant end = now + by;
    while (supervisor.next_deadline() <= end) {
      const Instant due = supervisor.next_deadline();
      now = std::max(now, due);
      Feed(event::Timer{});
      CHECK(supervisor.next_deadline() > due) << "a deadline that stays";
    }
    now = end;
  }

  // Takes a forked worker to where it serves.
  void Up(WorkerId worker) {
    actions.clear();
    Feed(event::WorkerReady{worker});
    Feed(event::WorkerServing{worker});
  }
  void Ready(WorkerId worker) { Do(event::WorkerReady{worker}); }
  void Serving(WorkerId worker) { Do(event::WorkerServing{worker}); }
  // It accepts no longer, and has passed its connections on.
  void Leaves(WorkerId worker) {
    actions.clear();
    Feed(event::AcceptStopped{worker});
    Feed(event::ConnectionsPassed{worker, 0});
  }
  void Exit(WorkerId worker, ExitStatus status = ExitStatus::Exited(0)) {
    Do(event::WorkerExited{worker, status});
  }
  // Brings the whole server up: workers 1..n in slots 0..n-1.
  void StartAll() {
    Do(event::Start{});
    const auto count = static_cast<WorkerId>(supervisor.wanted_workers());
    for (WorkerId id = 1; id <= count; ++id) Ready(id);
    for (WorkerId id = 1; id <= count; ++id) Serving(id);
    CHECK(supervisor.state() == ServerState::kRunning);
  }
  // Asks for a reload and answers the load.
  void Reload(const SupervisorSettings& settings) {
    Do(event::ReloadRequested{});
    const auto loads = All<action::LoadConfig>();
    CHECK_EQ(loads.size(), 1u);
    Do(event::ConfigLoaded{loads[0].generation, settings});
  }

  template <typename T>
  std::vector<T> All() const {
    std::vector<T> found;
    for (const Action& action : actions) {
      if (const T* one = std::get_if<T>(&action)) found.push_back(*one);
    }
    return found;
  }
  template <typename T>
  bool Has() const {
    return !All<T>().empty();
  }
  // The only action of its type.
  template <typename T>
  T Only() const {
    const std::vector<T> found = All<T>();
    CHECK_EQ(found.size(), 1u);
    return found[0];
  }
  // All fields of all records of that name, "reason=..., slot=1".
  std::string Logged(const std::string& name) const {
    std::string text;
    for (const action::Log& log : All<action::Log>()) {
      if (log.name != name) continue;
      for (const auto& [key, value] : log.fields) {
        text += text.empty() ? "" : ", ";
        text += std::string(key) + "=";
        if (const auto* number = std::get_if<int64_t>(&value)) {
          text += std::to_string(*number);
        } else {
          text += std::get<std::string>(value);
        }
      }
    }
    return text;
  }
  WorkerId current(int slot) const { return supervisor.slots()[slot].current; }
  WorkerId incoming(int slot) const {
    return supervisor.slots()[slot].incoming;
  }

  Supervisor supervisor;
  Instant now = absl::Seconds(1000);
  std::vector<Action> actions;
  int failing_forks = 0;
  // The answer to the next CommitConfig or DropConfig.
  event::ListenersRemoved removed;

 private:
  void Feed(const Event& event) {
    for (Action& action : supervisor.Handle(now, event)) {
      actions.push_back(action);
      if (std::holds_alternative<action::CommitConfig>(action) ||
          std::holds_alternative<action::DropConfig>(action)) {
        Feed(std::exchange(removed, {}));
      }
      const auto* fork = std::get_if<action::Fork>(&action);
      if (fork == nullptr) continue;
      if (failing_forks > 0) {
        --failing_forks;
        Feed(event::ForkFailed{fork->worker, "fork: no memory"});
      } else {
        Feed(event::Forked{fork->worker,
                           static_cast<pid_t>(1000 + fork->worker)});
      }
    }
  }
};

}  // namespace baton

#endif  // BATON_MASTER_SUPERVISOR_DRIVER_H_
