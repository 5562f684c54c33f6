#ifndef BATON_MASTER_SUPERVISOR_TYPES_H_
#define BATON_MASTER_SUPERVISOR_TYPES_H_

// What goes into the supervisor (events) and what comes out (actions).
//
// Both are plain values, so that a test can write them down, a simulation can
// make them up, and a log of them can be replayed. Workers are named by a
// WorkerId that is never used twice, not by PID: a PID may belong to a stranger
// by the time that an action reaches it.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "master/exit_status.h"
#include "worker/sockets_id.h"

namespace baton {

// 0 is no worker.
using WorkerId = uint64_t;

// Numbers the configurations that workers were started with, 1 for the first.
// A reload that is rolled back uses its number up, a rejected one does not.
// 0 is none.
using Generation = uint64_t;

// Monotonic time since an arbitrary origin; InfiniteDuration() = never.
using Instant = absl::Duration;

// The part of a configuration that supervision goes by.
struct SupervisorSettings {
  int workers = 1;  // at least 1
  absl::Duration ready_timeout = absl::Seconds(10);
  // Of the first new worker of a reload, before it accepts.
  absl::Duration probation = absl::ZeroDuration();
  // Infinite: a draining worker may live as long as its connections.
  absl::Duration drain_timeout = absl::InfiniteDuration();
  int max_draining = 8;  // per slot, at least 1
  absl::Duration drain_delay = absl::ZeroDuration();
  absl::Duration stop_timeout = absl::Seconds(8);
  // How long a slot's sockets stay open after new connections were steered away
  // from them: longer than a handshake that has begun may take.
  absl::Duration linger = absl::Seconds(63);
  int crash_loop_limit = 0;  // 0 = none
};

// What keeps a worker that serves from accepting in time.
enum class Impairment : uint8_t {
  kFull,     // it is at a limit, or out of descriptors or memory
  kStuck,    // too long in one turn of its loop
  kStopped,  // by a signal
};
inline constexpr int kImpairments = 3;

// What keeps a worker from leaving: connections, of which the oldest is named,
// and what handlers still do that have none any more.
struct Pinned {
  uint64_t connections = 0;
  Instant oldest_since = absl::ZeroDuration();
  std::string service;
  std::string peer;
  uint64_t handlers = 0;  // without a connection
  uint64_t jobs = 0;

  bool empty() const { return connections + handlers + jobs == 0; }
};

namespace event {

struct Start {};

// The outcome of an action::Fork.
struct Forked {
  WorkerId worker;
  pid_t pid;
};
struct ForkFailed {
  WorkerId worker;
  std::string reason;
};

// What workers say over their channels. The shell names the worker by the
// channel, whatever the message claims.
struct WorkerReady {
  WorkerId worker;
};
struct WorkerServing {
  WorkerId worker;
};
struct AcceptStopped {
  WorkerId worker;
};
struct WorkerDrained {
  WorkerId worker;
  uint64_t connections_cut;
};
struct ReplaceRequested {
  WorkerId worker;
};
// It has served or grown enough; the shell says so of its memory.
struct RecycleRequested {
  WorkerId worker;
  const char* reason;  // [a-z0-9_]
};
// The worker has passed on whatever it could at once.
struct ConnectionsPassed {
  WorkerId worker;
  uint64_t left;
};
// Of that HandOver not every receiver is, or was, there for the worker. The
// shell says so too, if one could not be told.
struct HandoverBroken {
  WorkerId worker;
  uint64_t round;
};
// What keeps a worker that leaves.
struct WorkerPinned {
  WorkerId worker;
  Pinned pinned;
};
// It accepts no longer from sockets that it had adopted.
struct SocketsReleased {
  WorkerId worker;
  SocketsId sockets;
  uint64_t ticket;  // of the Release
  bool emptied;     // it took all that was queued
};
// It does not accept from all that it should adopt. The shell says so too, if
// the worker could not be told.
struct AdoptFailed {
  WorkerId worker;
  SocketsId sockets;
};
// The shell sees the latter two for itself.
struct WorkerImpaired {
  WorkerId worker;
  Impairment what;
  bool on;
};
// It has been in one turn of its loop for longer than --stall_timeout allows,
// in which it could have run.
struct WorkerStalled {
  WorkerId worker;
  absl::Duration in_turn;
};
// The kernel is writing its core file. Told again and again while it does.
struct WorkerDumpsCore {
  WorkerId worker;
};
// The worker's channel is closed or brought garbage, but it lives.
struct WorkerBroken {
  WorkerId worker;
  std::string reason;
};

struct WorkerExited {
  WorkerId worker;
  ExitStatus status;
};

// The outcome of an action::Steer that could not be done everywhere.
struct SteerFailed {};

// The outcome of an action::CommitConfig or DropConfig: each listener that no
// configuration has any more is still open under this name.
struct ListenersRemoved {
  struct Listener {
    SocketsId sockets;
    absl::Duration linger;  // its own, as SupervisorSettings has it
  };
  std::vector<Listener> listeners;
};

// One worker more or less, or several; `to`: counted from that many.
struct ScaleRequested {
  int by;
  std::optional<int> to = std::nullopt;
};
// The outcome of an action::OpenSlots.
struct SlotsOpened {
  int slots;
};
struct SlotsRefused {
  int slots;
  std::string reason;
};

struct ReloadRequested {};
// The outcome of an action::LoadConfig.
struct ConfigLoaded {
  Generation generation;
  SupervisorSettings settings;
};
struct ConfigRejected {
  Generation generation;
  std::string reason;
};

// To become the binary that is on disk now.
struct UpgradeRequested {};
// The outcome of an action::CheckBinary; empty: it will do.
struct BinaryChecked {
  std::string refusal;
};
// Of the worker that an action::StartCanary has started, or could not.
struct CanaryReady {};
struct CanaryEnded {
  bool clean;  // by its own will, and with exit code 0
  std::string how;
};
// The process should have become another binary (Supervisor::exec_wanted()) and
// has not.
struct ExecFailed {
  std::string reason;
};
// The process has become another binary, with the state of the one before.
struct TakenUp {};

struct TerminateRequested {};  // SIGTERM, SIGINT
struct QuitRequested {};       // SIGQUIT

// next_deadline() has come. Harmless at any other time.
struct Timer {};

}  // namespace event

using Event = std::variant<
    event::Start, event::Forked, event::ForkFailed, event::WorkerReady,
    event::WorkerServing, event::AcceptStopped, event::WorkerDrained,
    event::ReplaceRequested, event::RecycleRequested, event::ConnectionsPassed,
    event::HandoverBroken, event::WorkerPinned, event::SocketsReleased,
    event::AdoptFailed, event::WorkerImpaired, event::WorkerStalled,
    event::WorkerDumpsCore, event::WorkerBroken, event::WorkerExited,
    event::SteerFailed, event::ListenersRemoved, event::ScaleRequested,
    event::SlotsOpened, event::SlotsRefused, event::ReloadRequested,
    event::ConfigLoaded, event::ConfigRejected, event::UpgradeRequested,
    event::BinaryChecked, event::CanaryReady, event::CanaryEnded,
    event::ExecFailed, event::TakenUp, event::TerminateRequested,
    event::QuitRequested, event::Timer>;

namespace action {

// Answered by Forked or ForkFailed, at once or later.
struct Fork {
  WorkerId worker;
  int slot;
  Generation generation;
};

// Messages to a worker, see worker/channel_messages.h.
struct Serve {
  WorkerId worker;
};
struct StopAccepting {
  WorkerId worker;
  bool shut_down_listeners;
};
struct Drain {
  WorkerId worker;
  absl::Duration timeout;
};
struct StopWorker {
  WorkerId worker;
};
// To the worker: pass your connections on to these, of whom there may be none
// yet, and end when none is left. To each of them: take them. Answered by
// ConnectionsPassed, once; and by HandoverBroken whenever it has to be said
// again.
struct HandOver {
  WorkerId worker;
  std::vector<WorkerId> to;
  uint64_t round;
  absl::Duration timeout;  // for all of it, and then cut the rest
};

struct Kill {
  WorkerId worker;
  int signal;
};

// To the worker: accept from these sockets too (of a slot: those of the
// listeners that are yours); or no longer, once their queues are empty, and say
// so.
struct Adopt {
  WorkerId worker;
  SocketsId sockets;
};
struct Release {
  WorkerId worker;
  SocketsId sockets;
  uint64_t ticket;  // comes back in the answer
};

// Read and check the configuration, bind what is new in it for
// WorkersAfterReload() slots, keep both. Answered by ConfigLoaded or
// ConfigRejected, at once or later.
struct LoadConfig {
  Generation generation;
  int configured;  // workers, as the last configuration had it
  int wanted;      // workers, as it is now
};
// The configuration that serves from now on: the one before may go. Answered by
// ListenersRemoved.
struct CommitConfig {
  Generation generation;
};
// A loaded configuration that is given up. Answered by ListenersRemoved.
struct DropConfig {
  Generation generation;
};

// Sockets for slots 0 to slots-1 of every listener; those that come get no new
// connections yet. Answered by SlotsOpened or SlotsRefused, at once or later.
struct OpenSlots {
  int slots;
};
// From now on new connections go to slots 0 to live-1. Answered only if that
// fails, by SteerFailed.
struct Steer {
  int live;
};
// The last slot. Nobody accepts from its sockets any more: close them.
struct CloseSlot {
  int slot;
};
// Nobody accepts from this removed listener any more: close it.
struct CloseRemoved {
  SocketsId sockets;
};
// The server stops: shut down and close every listener.
struct CloseListeners {};

// Have the binary on disk say whether it could take over. Answered by
// BinaryChecked, at once or later.
struct CheckBinary {};
// Start a worker of that binary, without listeners. Answered by CanaryReady,
// and in the end by CanaryEnded.
struct StartCanary {
  Generation generation;
};
// It has shown what it should: let it end.
struct StopCanary {};
// End what CheckBinary and StartCanary have started, at once and unanswered.
struct KillTrial {};
// All workers serve for the first time.
struct AnnounceReady {};

// The last action of all: no worker is left.
struct Exit {
  int code;
};

enum class Severity { kInfo, kWarning, kError };

// A state change, for the log.
struct Log {
  using Value = std::variant<int64_t, std::string>;

  Severity severity;
  const char* name;  // [a-z0-9_], stable
  std::vector<std::pair<const char*, Value>> fields;
};

}  // namespace action

using Action = std::variant<
    action::Fork, action::Serve, action::StopAccepting, action::Drain,
    action::StopWorker, action::HandOver, action::Kill, action::Adopt,
    action::Release, action::OpenSlots, action::Steer, action::LoadConfig,
    action::CommitConfig, action::DropConfig, action::CloseSlot,
    action::CloseRemoved, action::CloseListeners, action::CheckBinary,
    action::StartCanary, action::StopCanary, action::KillTrial,
    action::AnnounceReady, action::Exit, action::Log>;

// A number that was set by signal holds until --workers itself changes.
inline int WorkersAfterReload(int configured_before, int wanted,
                              int configured_now) {
  return configured_now == configured_before ? wanted : configured_now;
}

enum class ServerState {
  kStarting,
  kRunning,
  kReloading,
  kUpgrading,
  kStopping
};

struct ReloadResult {
  enum class Outcome { kOk, kRejected, kRolledBack };

  Outcome outcome = Outcome::kOk;
  std::string reason;         // empty if ok
  Generation generation = 0;  // that the reload would have been or is
  bool upgrade = false;       // it came with another binary
};

// "running", "rolled_back": as the status shows them.
const char* ServerStateName(ServerState state);
const char* ReloadOutcomeName(ReloadResult::Outcome outcome);

}  // namespace baton

#endif  // BATON_MASTER_SUPERVISOR_TYPES_H_
