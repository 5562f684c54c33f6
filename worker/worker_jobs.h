#ifndef BATON_WORKER_WORKER_JOBS_H_
#define BATON_WORKER_WORKER_JOBS_H_

#include <cstddef>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "net/event_loop.h"
#include "pool/job_pool.h"
#include "worker/job_desk.h"
#include "worker/scoreboard.h"
#include "worker/settings.h"

namespace baton {

// The job threads of a worker, and the desk between them and its loop. Counts
// what they do, and logs which job takes too long.
class WorkerJobs {
 public:
  // `counters` outlive it.
  explicit WorkerJobs(JobCounters& counters) : counters_(counters) {}

  // `on_idle` is called when the last job has ended.
  absl::Status Start(EventLoop& loop, const WorkerSettings& settings, int slot,
                     absl::AnyInvocable<void()> on_idle);
  // Jobs that have not been answered.
  size_t pending() const { return desk_->pending(); }
  // Logs those that run, which the worker does not wait for.
  void LogCut() const;
  // No more jobs; waits for the threads, but not for one that has a job.
  void End();

 private:
  void Count(const JobPoolStats& stats);

  JobCounters& counters_;
  int slot_ = 0;
  std::unique_ptr<JobPool> pool_;
  std::unique_ptr<JobDesk> desk_;
};

}  // namespace baton

#endif  // BATON_WORKER_WORKER_JOBS_H_
