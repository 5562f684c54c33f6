#include "master/supervisor_state.h"

#include <algorithm>
#include <exception>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "master/json_values.h"

namespace baton {

// What each of them consists of, by name.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SupervisorSettings, workers,
                                                ready_timeout, probation,
                                                drain_timeout, max_draining,
                                                drain_delay, stop_timeout,
                                                linger, crash_loop_limit)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Pinned, connections,
                                                oldest_since, service, peer,
                                                handlers, jobs)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(
    SupervisedWorker, id, slot, generation, pid, phase, deadline, dump_until,
    serving_since, replace_wanted, recycle_wanted, impairments, room_at,
    adopts_from, release_ticket, accept_stopped, heirs, handover_round,
    hand_over_at, drain_until, pinned, broken_reason, broken_deadline,
    uncounted)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(AdoptableSockets, closing,
                                                adopter, releaser,
                                                release_ticket)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SupervisedSlot, generation,
                                                current, incoming, outgoing,
                                                backoff, retry_at, fork_error,
                                                restarts, last_exit, live,
                                                linger_until, sockets, closed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(RemovedListener, linger_until,
                                                close_by, sockets)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SupervisedRoll, target,
                                                settings, configured, back,
                                                reason, slot, proven,
                                                fork_deadline)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SupervisedUpgrade, stage,
                                                deadline, reason, failed_execs,
                                                old_own_from)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(
    SupervisorState, settings, configured_workers, slots, workers, last_worker,
    last_ticket, generation, last_generation, own_from, reload_pending,
    upgrade_pending, reloads_begun, reloads_finished, upgrades_begun,
    upgrades_finished, scale_to, pending_scale, scaling, scale_error, steered,
    steer_at, removed, roll, upgrade, last_reload, failures, cut_while_leaving,
    handovers_broken)

namespace {

// There is none in a state, and where a whole number is wanted the library
// makes one of it, whether it fits or not.
bool HasReal(const nlohmann::json& json) {
  return json.is_number_float() ||
         (json.is_structured() &&
          std::any_of(json.begin(), json.end(), HasReal));
}

// A newer build's may have more.
template <typename Enum>
bool IsUpTo(Enum value, Enum last) {
  return value >= Enum{} && value <= last;
}

absl::Status Validate(const SupervisorState& state) {
  const auto allowed = [](const SupervisorSettings& settings) {
    return settings.workers >= 1 && settings.max_draining >= 1;
  };
  if (!allowed(state.settings) ||
      (state.roll.has_value() && !allowed(state.roll->settings))) {
    return absl::InvalidArgumentError("numbers that no configuration allows");
  }
  if (!IsUpTo(state.upgrade.stage, UpgradeStage::kTakenBack) ||
      (state.last_reload.has_value() &&
       !IsUpTo(state.last_reload->outcome,
               ReloadResult::Outcome::kRolledBack))) {
    return absl::InvalidArgumentError("an unknown stage or outcome");
  }
  std::map<WorkerId, int> slot_of;
  for (const SupervisedWorker& worker : state.workers) {
    const bool known =
        worker.slot >= 0 && worker.slot < static_cast<int>(state.slots.size());
    if (!known || !slot_of.emplace(worker.id, worker.slot).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("worker ", worker.id, " is nowhere, or twice"));
    }
    if (!IsUpTo(worker.phase, WorkerPhase::kKilled)) {
      return absl::InvalidArgumentError(
          absl::StrCat("worker ", worker.id, " is in an unknown phase"));
    }
  }
  std::set<WorkerId> placed;
  for (size_t i = 0; i < state.slots.size(); ++i) {
    const SupervisedSlot& slot = state.slots[i];
    std::vector<WorkerId> ids = slot.outgoing;
    if (slot.current != 0) ids.push_back(slot.current);
    if (slot.incoming != 0) ids.push_back(slot.incoming);
    for (const WorkerId id : ids) {
      const auto worker = slot_of.find(id);
      if (worker == slot_of.end() || worker->second != static_cast<int>(i)) {
        return absl::InvalidArgumentError(
            absl::StrCat("slot ", i, " has worker ", id, ", who is not there"));
      }
      if (!placed.insert(id).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("slot ", i, " has worker ", id, " twice"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

nlohmann::json ToJson(const SupervisorState& state) { return state; }

absl::StatusOr<SupervisorState> SupervisorStateFromJson(
    const nlohmann::json& json) {
  if (HasReal(json)) {
    return absl::InvalidArgumentError(
        "supervisor state: a number that is not whole");
  }
  SupervisorState state;
  try {
    state = json.get<SupervisorState>();
  } catch (const std::exception& error) {  // the library's only way
    return absl::InvalidArgumentError(
        absl::StrCat("supervisor state: ", error.what()));
  }
  if (absl::Status status = Validate(state); !status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("supervisor state: ", status.message()));
  }
  return state;
}

}  // namespace baton
