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
// cells, kind), so that a reader of another build finds the fields that it
// knows and does without those that are missing (they read 0). The
// application's own metrics (application_metrics.h) come last.
//
// Not thread-safe: one thread writes a Scoreboard, one thread uses a
// ScoreboardView.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/counter.h"
#include "net/event_loop.h"
#include "net/log_histogram.h"
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

// Of the job pool, as the loop last saw it.
struct JobCounters {
  Gauge threads;
  Gauge queued;
  Counter run;
  Counter refused;
};

// The part that the worker writes. All zero at the start.
struct WorkerCounters {
  TrafficCounters traffic;
  alignas(64) LoopHeartbeat heartbeat;  // stored to in every turn
  NanosHistogram turn_nanos;            // of the loop
  alignas(64) Gauge state;              // a WorkerState
  Counter stale_events;                 // of EventLoop
  Counter log_lines_dropped;
  JobCounters jobs;
  alignas(64) HttpCounters http;
};

// The cells of a histogram: its buckets and then the sum of what they count.
using NanosCells = std::array<uint64_t, NanosHistogram::kCells>;
using BytesCells = std::array<uint64_t, BytesHistogram::kCells>;

// A worker's numbers at one moment, each for itself. No more than cells, so
// that they can be added up one by one.
struct WorkerNumbers {
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
  uint64_t handover_refused = 0;
  uint64_t handover_later = 0;
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
  NanosCells http_request_nanos = {};
  BytesCells http_response_bytes = {};
  uint64_t access_log_lines = 0;
  uint64_t access_log_dropped = 0;
  uint64_t job_threads = 0;
  uint64_t jobs_queued = 0;
  uint64_t jobs_run = 0;
  uint64_t jobs_refused = 0;
  uint64_t log_lines_dropped = 0;
  NanosCells turn_nanos = {};
  uint64_t state = 0;  // a WorkerState, or anything
  // Heartbeat: stuck is who does not wait and shows the same turn twice.
  uint64_t turns = 0;
  uint64_t waiting = 0;
};

// What has been counted, under the name and shape of its field: for builds that
// do not know each other's fields.
struct Counts {
  bool real = false;  // the cells are doubles
  std::vector<uint64_t> cells;
};
using CountsByName = std::map<std::string, Counts>;
void AddCounts(CountsByName& to, const CountsByName& more);

class WorkerSnapshot : public WorkerNumbers {
 public:
  std::vector<uint64_t> application;  // cells: application_metrics.h

  // Adds what another worker has counted in its life. What only says how things
  // stand with it is left out: that one is gone.
  void AddEnded(const WorkerSnapshot& other);
  // Adds all of it.
  void AddLive(const WorkerSnapshot& other);

  // What AddEnded() adds; and back, taking out what this build knows.
  CountsByName CountsOf() const;
  static WorkerSnapshot TakeCounts(CountsByName& counts);

  // All of it, one behind the other.
  std::vector<uint64_t> Cells() const;
  void SetCells(absl::Span<const uint64_t> cells);

 private:
  void Add(const WorkerSnapshot& other, bool levels);
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

  // Valid as long as this object, and so are the application's cells.
  WorkerCounters& counters() const { return *counters_; }
  std::atomic<uint64_t>* application_cells() const;

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

  // The header as it was when the worker did not exist yet; and a view that
  // goes by it. What the file's own header says by now is the worker's word.
  const std::string& header() const { return header_; }
  static absl::StatusOr<ScoreboardView> Open(int fd, absl::string_view header);

  // Clamped against what this view read before.
  WorkerSnapshot Read();

  // What a worker of another build has counted that this one does not know.
  CountsByName ReadUnknown() const;

 private:
  enum class Rule : uint8_t { kMonotonic, kLevel, kReal, kMonotonicReal };
  struct Field {
    size_t offset;  // in the mapping
    size_t cells;
    size_t target;  // in last_
    Rule rule;
  };

  struct UnknownField {
    std::string name;
    size_t offset;
    size_t cells;
    bool real;
  };

  ScoreboardView(Mapping mapping, std::vector<Field> fields,
                 std::vector<UnknownField> unknown);
  void ReadCell(uint64_t value, Rule rule, uint64_t& last);

  Mapping mapping_;
  std::string header_;
  std::vector<Field> fields_;
  std::vector<UnknownField> unknown_;
  // The cells of a WorkerNumbers, then the application's.
  std::vector<uint64_t> last_;
};

}  // namespace baton

#endif  // BATON_WORKER_SCOREBOARD_H_
