#ifndef BATON_WORKER_SCOREBOARD_H_
#define BATON_WORKER_SCOREBOARD_H_

// The numbers of one worker, readable from outside while it runs.
//
// The master wants to know what each worker does without asking it: a worker
// that is stuck can't answer, one that has died can't either, and a question
// would wake an idle one. So each worker process has a scoreboard, a memfd that
// it writes and others map read-only.
//
// The reader's side is hardened, because a worker that was taken over owns
// every byte of this memory:
//   * the file is sealed against shrinking, growing and further sealing before
//     the worker exists: a truncated mapping would kill the reader by SIGBUS -
//     memfd_create(2);
//   * each worker holds its own scoreboard only;
//   * the field table is copied once and every offset checked; later reads use
//     the copy;
//   * a read is one relaxed load per field, no locks, no retries: a reader
//     never waits for what a worker writes;
//   * counters are clamped: they never run backwards and never exceed
//     kCounterLimit, so that sums over workers can't overflow.
//
// Layout: a header with magic, layout version and a table of (name, offset,
// kind), so that a reader of another build finds the fields that it knows and
// does without those that are missing (they read 0).
//
// Not thread-safe: one thread writes a Scoreboard, one thread uses a
// ScoreboardView.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "net/counter.h"
#include "net/event_loop.h"
#include "net/traffic_counters.h"
#include "net/unique_fd.h"
#include "worker/http/http_counters.h"

namespace baton {

// What the worker says it is doing; the master goes by its own view.
enum class WorkerState : int64_t {
  kStarting = 0,
  kReady = 1,
  kServing = 2,
  kDraining = 3,
  kStopping = 4,
};

// The part that the worker writes. All zero at the start.
struct WorkerCounters {
  TrafficCounters traffic;
  alignas(64) LoopHeartbeat heartbeat;  // stored to in every turn
  alignas(64) Gauge state;              // a WorkerState
  Counter stale_events;                 // of EventLoop
  alignas(64) HttpCounters http;
};

// A worker's numbers at one moment, each for itself.
struct WorkerSnapshot {
  uint64_t connections = 0;  // open now
  uint64_t accepted = 0;
  uint64_t closed = 0;
  uint64_t requests = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t datagrams_in = 0;
  uint64_t datagrams_out = 0;
  uint64_t datagrams_dropped = 0;
  uint64_t handed_over = 0;
  uint64_t received = 0;
  uint64_t reaped_idle = 0;
  uint64_t read_timeouts = 0;
  uint64_t write_timeouts = 0;
  uint64_t buffers_refused = 0;
  uint64_t refused_per_ip = 0;
  uint64_t accept_pauses = 0;
  uint64_t accept_errors = 0;
  uint64_t outbound = 0;
  uint64_t outbound_open = 0;
  uint64_t stale_events = 0;
  uint64_t http_responses_2xx = 0;
  uint64_t http_responses_3xx = 0;
  uint64_t http_responses_4xx = 0;
  uint64_t http_responses_5xx = 0;
  uint64_t http_rejected = 0;
  uint64_t http_timeouts = 0;
  uint64_t http_handler_failures = 0;
  uint64_t state = 0;  // a WorkerState, or anything
  // Heartbeat: stuck is who does not wait and shows the same turn twice.
  uint64_t turns = 0;
  uint64_t waiting = 0;
};

// Exact in a double, and a thousand of them fit a uint64_t.
inline constexpr uint64_t kCounterLimit = uint64_t{1} << 53;

// Unmaps what it points to.
struct Unmapper {
  size_t bytes = 0;
  void operator()(std::byte* base) const;
};
using Mapping = std::unique_ptr<std::byte, Unmapper>;

// The master's first step, before the fork: a memfd of the right size, header
// written, sealed.
absl::StatusOr<UniqueFd> CreateScoreboardFile();

// The worker's side.
class Scoreboard {
 public:
  // Maps a file made by CreateScoreboardFile() of this build. The descriptor is
  // not needed afterwards.
  static absl::StatusOr<Scoreboard> Open(int fd);
  // Both steps, for a worker without a master (tests).
  static absl::StatusOr<Scoreboard> Create();

  // Valid as long as this object.
  WorkerCounters& counters() const { return *counters_; }

 private:
  explicit Scoreboard(Mapping mapping);

  Mapping mapping_;
  WorkerCounters* counters_;
};

// Everybody else's side: read-only.
class ScoreboardView {
 public:
  // Refuses what is not sealed, not a scoreboard, or points outside itself. The
  // mapping is not inherited by forked children; the descriptor is not needed
  // afterwards.
  static absl::StatusOr<ScoreboardView> Open(int fd);

  // Clamped against what this view read before.
  WorkerSnapshot Read();

 private:
  struct Field {
    size_t offset;
    uint64_t WorkerSnapshot::* member;
    bool monotonic;
  };

  ScoreboardView(Mapping mapping, std::vector<Field> fields)
      : mapping_(std::move(mapping)), fields_(std::move(fields)) {}

  Mapping mapping_;
  std::vector<Field> fields_;
  WorkerSnapshot last_;
};

}  // namespace baton

#endif  // BATON_WORKER_SCOREBOARD_H_
