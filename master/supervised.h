#ifndef BATON_MASTER_SUPERVISED_H_
#define BATON_MASTER_SUPERVISED_H_

// What the supervisor remembers of a worker and of a slot. Plain data: the
// rules that change it are in supervisor*.cc.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "master/backoff.h"
#include "master/exit_status.h"
#include "master/supervisor_types.h"

namespace baton {

// A worker's life, in this order; it may skip ahead, never back.
enum class WorkerPhase {
  kForking,   // Fork was asked for
  kStarting,  // it runs and builds its services
  kReady,     // it could serve and is not told to
  kAdding,    // told to serve; it may accept from now on
  kServing,   // it says that it serves
  kRetiring,  // told to stop accepting
  kPassing,   // accepts nothing any more, passes its idle connections on
  kDraining,  // has done so, or the server stops: serves what is left
  kEnding,    // told to end at once, or has got SIGABRT
  kKilled,    // SIGKILL is under way
};

struct SupervisedWorker {
  WorkerId id = 0;
  int slot = 0;
  Generation generation = 0;
  pid_t pid = 0;  // for logs only
  WorkerPhase phase = WorkerPhase::kForking;
  Instant deadline = absl::InfiniteDuration();  // of the phase
  // After SIGABRT: so long the kernel may take for its core file.
  Instant dump_until = absl::ZeroDuration();
  Instant serving_since = absl::InfiniteDuration();
  bool replace_wanted = false;
  bool recycle_wanted = false;  // replaced when no other one is for that
  uint8_t impairments = 0;      // a bit for each Impairment
  Instant room_at = absl::InfiniteDuration();  // when kFull ends
  Instant adopts_from = absl::ZeroDuration();  // not chosen before
  // Of the last Release, until it is answered: it may hold those sockets.
  uint64_t release_ticket = 0;
  // It has closed its listening sockets, those that it had adopted too.
  bool accept_stopped = false;
  // From kPassing on, unless the server stops: who takes its connections, as
  // it was last told. Round 0: it was not, or has to be told again.
  std::vector<WorkerId> heirs;
  uint64_t handover_round = 0;
  Instant hand_over_at = absl::ZeroDuration();     // not told before
  Instant drain_until = absl::InfiniteDuration();  // and then it is cut
  Pinned pinned;
  // Its channel is gone. Normally its exit is about to be told; if not, it is
  // killed at broken_deadline.
  std::string broken_reason;
  Instant broken_deadline = absl::InfiniteDuration();
};

// Listening sockets, and who accepts from them beside or instead of their own
// worker.
struct AdoptableSockets {
  bool closing = false;         // nobody shall accept from them any more
  WorkerId adopter = 0;         // 0 = nobody
  WorkerId releaser = 0;        // was told to stop, for closing, and has not
  uint64_t release_ticket = 0;  // answered this
};

// A slot is a place for one serving worker, with sockets of its own. While one
// replaces another it holds more: `incoming` comes up beside `current`, and
// those that no longer accept are `outgoing`.
struct SupervisedSlot {
  // Which generation is to serve here. 0: none, the slot is on its way out.
  Generation generation = 0;
  WorkerId current = 0;
  WorkerId incoming = 0;
  std::vector<WorkerId> outgoing;  // oldest first

  Backoff backoff;
  Instant retry_at = absl::ZeroDuration();  // no fork before
  std::string fork_error;  // of the last fork, empty if it went
  uint64_t restarts = 0;   // after deaths, not reloads
  std::optional<ExitStatus> last_exit;

  // Its sockets. In the order of a slot's life:
  bool live = false;  // new connections are steered to them
  // No longer live: connections that had begun may still arrive until then.
  Instant linger_until = absl::ZeroDuration();
  AdoptableSockets sockets;
  bool closed = false;
};

// A listener that a reload has removed, of all slots.
struct RemovedListener {
  Instant linger_until;
  // Until then it waits for somebody to empty its queues. Unlike a slot, it
  // gets new connections to the end: it must not get them for ever.
  Instant close_by;
  AdoptableSockets sockets;
};

// A reload under way: loaded, and now rolled slot by slot.
struct SupervisedRoll {
  Generation target = 0;
  SupervisorSettings settings;  // workers: as many as are wanted
  int configured = 0;           // workers, as the configuration has it
  bool back = false;            // the target has failed
  std::string reason;
  int slot = -1;        // in work, -1 = none
  bool proven = false;  // a new worker has come through its probation
  // A slot whose forks fail holds the roll up until then.
  Instant fork_deadline = absl::InfiniteDuration();
};

// An upgrade under way, in this order.
enum class UpgradeStage {
  kChecking,      // the binary says whether it could take over
  kCanary,        // a worker of it starts
  kProbation,     // and is watched
  kCanaryEnding,  // and told to end
  kExec,          // become that binary
  kTakenUp,       // in the new binary: load, and roll
  kGoingBack,     // it has failed: become the old binary again
  kTakenBack,     // in the old binary: roll back
};
struct SupervisedUpgrade {
  UpgradeStage stage = UpgradeStage::kChecking;
  Instant deadline = absl::InfiniteDuration();  // of the stage
  // Why it goes back, if not because of a worker in mid-roll.
  std::string reason;
};

}  // namespace baton

#endif  // BATON_MASTER_SUPERVISED_H_
