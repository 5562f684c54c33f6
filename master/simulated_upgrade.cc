// The simulated kernel's part of an upgrade: binaries, and what is tried of
// them.

#include <utility>

#include "glog/logging.h"
#include "master/simulated_kernel.h"
#include "master/supervisor_state.h"

namespace baton {

void SimulatedKernel::Do(const action::CheckBinary&) {
  CHECK(!TrialUnderWay());
  check_asked_ = true;
  dropped_in_use_ = false;  // a roll back that was overtaken
}

void SimulatedKernel::Do(const action::StartCanary& start) {
  CHECK(!TrialUnderWay());
  CHECK_EQ(made_by_.count(start.generation), 0u) << "a number given twice";
  canary_ = Canary::kStarts;
}

void SimulatedKernel::Do(const action::StopCanary&) {
  if (canary_.has_value()) canary_ = Canary::kEnds;
}

void SimulatedKernel::Do(const action::KillTrial&) {
  check_asked_ = false;
  canary_.reset();
}

void SimulatedKernel::TrialStep() {
  const bool fails = !healing_ && Chance(20);
  if (std::exchange(check_asked_, false)) {
    return Feed(event::BinaryChecked{fails ? "simulated" : ""});
  }
  const Canary stage = *canary_;
  if (!fails && stage == Canary::kStarts) {
    canary_ = Canary::kReady;
    return Feed(event::CanaryReady{});
  }
  if (!fails && stage == Canary::kReady) return;
  // One that hangs says nothing more.
  if (fails && Chance(30)) return;
  canary_.reset();
  Feed(event::CanaryEnded{!fails, "simulated"});
}

void SimulatedKernel::BecomeOtherBinary() {
  const auto to = supervisor_.exec_wanted();
  if (!to.has_value()) return;
  CHECK(!TrialUnderWay()) << "a child is left that the other does not know";
  CHECK(!load_asked_.has_value() && !open_asked_.has_value());
  for (const auto& [id, process] : processes_) CHECK(process.forked);
  const bool no_way = no_way_back_ && *to == Supervisor::ExecTo::kOldBinary;
  if (no_way || (!healing_ && Chance(10))) {
    return Feed(event::ExecFailed{"execveat: simulated"});
  }
  const absl::StatusOr<SupervisorState> state =
      SupervisorStateFromJson(nlohmann::json::from_cbor(
          nlohmann::json::to_cbor(ToJson(supervisor_.State()))));
  CHECK(state.ok()) << state.status();
  supervisor_ = Supervisor(*state);
  if (*to == Supervisor::ExecTo::kNewBinary) {
    old_binary_ = std::exchange(binary_, ++last_binary_);
  } else {
    binary_ = old_binary_;
    ++upgrades_taken_back_;
  }
  taking_up_ = true;
  Feed(event::TakenUp{});
  taking_up_ = false;
}

// A new binary begins with it, and has nothing else to do.
void SimulatedKernel::AnswerLoadAtOnce() {
  const action::LoadConfig asked = *std::exchange(load_asked_, std::nullopt);
  if (!healing_ && Chance(25)) {
    reload_going_.reset();
    return answers_.push_back(
        event::ConfigRejected{asked.generation, "simulated"});
  }
  SupervisorSettings settings = RandomSettings();
  if (Chance(50)) settings.workers = asked.configured;
  OpenUpTo(
      WorkersAfterReload(asked.configured, asked.wanted, settings.workers));
  made_by_[asked.generation] = binary_;
  answers_.push_back(event::ConfigLoaded{asked.generation, settings});
}

}  // namespace baton
