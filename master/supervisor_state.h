#ifndef BATON_MASTER_SUPERVISOR_STATE_H_
#define BATON_MASTER_SUPERVISOR_STATE_H_

// What a supervisor knows when the master becomes another binary: all that
// another one needs to go on. It is never in the middle of a stop then.
//
// In words rather than bytes, since the two binaries need not be one build:
// each field has its name, one that is missing keeps its default, one that is
// unknown is ignored. A name is never given to something else, and the numbers
// of an enumeration stay.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "master/supervised.h"
#include "master/supervisor_types.h"
#include "nlohmann/json.hpp"

namespace baton {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ReloadResult, outcome, reason,
                                                generation, upgrade)

struct SupervisorState {
  SupervisorSettings settings;
  int configured_workers = 1;
  std::vector<SupervisedSlot> slots;
  std::vector<SupervisedWorker> workers;
  WorkerId last_worker = 0;
  uint64_t last_ticket = 0;
  Generation generation = 1;
  Generation last_generation = 1;
  Generation own_from = 1;  // of the binary that leaves this
  bool reload_pending = false;
  bool upgrade_pending = false;
  uint64_t reloads_begun = 0;
  uint64_t reloads_finished = 0;
  uint64_t upgrades_begun = 0;
  uint64_t upgrades_finished = 0;
  std::optional<int> scale_to;
  int pending_scale = 0;
  bool scaling = false;
  std::string scale_error;
  int steered = 0;
  Instant steer_at = absl::ZeroDuration();
  std::map<SocketsId, RemovedListener> removed;
  std::optional<SupervisedRoll> roll;
  SupervisedUpgrade upgrade;
  std::optional<ReloadResult> last_reload;
  std::deque<Instant> failures;
  uint64_t cut_while_leaving = 0;
  uint64_t handovers_broken = 0;
};

nlohmann::json ToJson(const SupervisorState& state);
// InvalidArgument if it could not have come from ToJson().
absl::StatusOr<SupervisorState> SupervisorStateFromJson(
    const nlohmann::json& json);

}  // namespace baton

#endif  // BATON_MASTER_SUPERVISOR_STATE_H_
