#ifndef BATON_WORKER_WORKER_JOBS_H_
#define BATON_WORKER_WORKER_JOBS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "pool/job_pool.h"
#include "worker/scoreboard.h"
#include "worker/settings.h"

namespace baton {

// The job pool of a worker. It starts threads.
absl::StatusOr<std::unique_ptr<JobPool>> MakeJobPool(
    const WorkerSettings& settings);

// Brings the scoreboard's numbers up to `stats`.
void CountJobs(const JobPoolStats& stats, JobCounters& counters);

}  // namespace baton

#endif  // BATON_WORKER_WORKER_JOBS_H_
