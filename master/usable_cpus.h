#ifndef BATON_MASTER_USABLE_CPUS_H_
#define BATON_MASTER_USABLE_CPUS_H_

// Problem: one worker per CPU is right only if those CPUs are ours. The
// machine's number is wrong under taskset, in a cpuset, and above all under a
// CPU quota: 64 workers that share 2 CPUs' worth of time are throttled
// together, each in the middle of somebody's request.
//
// Contract: usable are the CPUs of the affinity mask (which cpusets shape,
// too), but no more than the cgroup's quota pays for, rounded up; at least 1.
// ResolveWorkerCount() is pure.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "master/cgroup_limits.h"

namespace baton {

// More are refused, and never started by themselves.
inline constexpr int kMaxWorkers = 1024;

// The CPUs that this process may run on, ascending; not empty. Worker i is
// pinned to number i of them, modulo how many there are.
absl::StatusOr<std::vector<int>> AffinityCpus();

// How many workers `asked` stands for: itself, or for 0 one per usable CPU of
// `affinity_cpus`, and with `worker_memory` > 0 (bytes) no more than the
// cgroup's memory holds of these. From 1 to kMaxWorkers.
int ResolveWorkerCount(int asked, int64_t worker_memory, int affinity_cpus,
                       const CgroupLimits& limits);

}  // namespace baton

#endif  // BATON_MASTER_USABLE_CPUS_H_
