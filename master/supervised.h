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
// The numbers go from one binary to another.
enum class WorkerPhase {
  kForking = 0,   // Fork was asked for
  kStarting = 1,  // it runs and builds its services
  kReady = 2,     // it could serve and is not told to
  kAdding = 3,    // told to serve; it may accept from now on
  kServing = 4,   // it says that it serves
  kRetiring = 5,  // told to stop accepting
  kPassing = 6,   // accepts nothing any more, passes its idle connections on
  kDraining = 7,  // has done so, or the server stops: serves what is left
  kEnding = 8,    // told to end at once, or has got SIGABRT
  kKilled = 9,    // SIGKILL is under way
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
  // It served when the stop began, and has not said since what it cut.
  bool uncounted = false;
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

// An upgrade under way. The numbers go from one binary to another.
enum class UpgradeStage {
  kChecking = 0,      // the binary says whether it could take over
  kCanary = 1,        // a worker of it starts
  kProbation = 2,     // and is watched
  kCanaryEnding = 3,  // and told to end
  kExec = 4,          // become that binary
  kTakenUp = 5,       // in the new binary: load, and roll
  kGoingBack = 6,     // it has failed: become the old binary again
  kTakenBack = 7,     // in the old binary: roll back
};
struct SupervisedUpgrade {
  UpgradeStage stage = UpgradeStage::kChecking;
  Instant deadline = absl::InfiniteDuration();  // of the stage
  std::string reason;                           // why it goes back
  int failed_execs = 0;
  // In the new binary: the first generation that the old one has made.
  Generation old_own_from = 1;
};

}  // namespace baton

#endif  // BATON_MASTER_SUPERVISED_H_
