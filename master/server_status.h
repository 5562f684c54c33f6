#ifndef BATON_MASTER_SERVER_STATUS_H_
#define BATON_MASTER_SERVER_STATUS_H_

// How things stand with the whole server, at one moment: what /status and
// /metrics are made of. Plain data that the master fills in; numbers of workers
// are those workers' own claims (worker/scoreboard.h).

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "master/supervisor_types.h"
#include "worker/scoreboard.h"

namespace baton {

enum class WorkerStatusState : uint8_t {
  kStarting,
  kProbation,
  kReady,
  kDraining,
  kStopped,  // by a signal
  kBackoff,  // there is none: the next one is waited for
};

struct WorkerStatus {
  int slot = 0;
  pid_t pid = 0;  // 0 = kBackoff
  Generation generation = 0;
  WorkerStatusState state = WorkerStatusState::kStarting;
  WorkerSnapshot numbers;
  int64_t rss_bytes = 0;
  double cpu_seconds = 0;
  // Of one that is draining: none, or what keeps it.
  Pinned pinned;
  absl::Duration oldest_age;
};

struct SlotStatus {
  uint64_t restarts = 0;  // after deaths
  std::string last_exit;  // "SIGSEGV"; empty = nobody has ended yet
  // What the workers that this slot has had before counted together.
  WorkerSnapshot ended;
};

struct ServerStatus {
  pid_t pid = 0;
  std::string version;
  std::string build;
  std::string binary;  // that an upgrade would take
  absl::Time started_at;
  ServerState state = ServerState::kStarting;
  Generation generation = 0;
  int wanted_workers = 0;
  int configured_workers = 0;  // others, if it has been scaled
  bool serving = false;        // at least one worker is
  bool ready = false;          // every slot is served, and this is no stop

  struct Reload {
    ReloadResult result;
    absl::Time at;
  };
  std::optional<Reload> last_reload;
  static constexpr int kReloadOutcomes = 3;
  std::array<uint64_t, kReloadOutcomes> reloads = {};  // by outcome

  struct Listener {
    std::string url;
    std::string address;  // as bound
  };
  std::vector<Listener> listeners;
  // By a reload, and served for those who are on the way.
  std::vector<Listener> removed_listeners;

  std::vector<SlotStatus> slots;
  // All that live, by slot; the one that serves comes first.
  std::vector<WorkerStatus> workers;

  // Workers that ended by no will of the server's, by cause: "SIGSEGV",
  // "exit code 3", "out of memory".
  std::map<std::string, uint64_t> crashes;
  uint64_t cut_while_leaving = 0;  // requests, with old workers
  uint64_t handovers_broken = 0;   // and told again
  uint64_t adoptions = 0;          // of a slot's sockets by another worker
  uint64_t log_lines_dropped = 0;  // by the master itself
};

// "starting", ...: as /status has them.
const char* WorkerStateName(WorkerStatusState state);

}  // namespace baton

#endif  // BATON_MASTER_SERVER_STATUS_H_
