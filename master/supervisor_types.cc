#include "master/supervisor_types.h"

#include "glog/logging.h"

namespace baton {

const char* ServerStateName(ServerState state) {
  switch (state) {
    case ServerState::kStarting:
      return "starting";
    case ServerState::kRunning:
      return "running";
    case ServerState::kReloading:
      return "reloading";
    case ServerState::kUpgrading:
      return "upgrading";
    case ServerState::kStopping:
      return "stopping";
  }
  LOG(FATAL) << "state " << static_cast<int>(state);
  return "";
}

const char* ReloadOutcomeName(ReloadResult::Outcome outcome) {
  switch (outcome) {
    case ReloadResult::Outcome::kOk:
      return "ok";
    case ReloadResult::Outcome::kRejected:
      return "rejected";
    case ReloadResult::Outcome::kRolledBack:
      return "rolled_back";
  }
  LOG(FATAL) << "outcome " << static_cast<int>(outcome);
  return "";
}

}  // namespace baton
