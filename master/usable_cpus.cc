#include "master/usable_cpus.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "net/errno_status.h"

namespace baton {

absl::StatusOr<std::vector<int>> AffinityCpus() {
  // The kernel's mask may be larger than cpu_set_t, and then the call fails
  // with EINVAL - sched_setaffinity(2).
  for (size_t sets = 1; sets <= 64; sets *= 2) {
    std::vector<cpu_set_t> mask(sets);
    const size_t bytes = sets * sizeof(cpu_set_t);
    if (sched_getaffinity(0, bytes, mask.data()) != 0) {
      if (errno == EINVAL) continue;
      return ErrnoStatus("sched_getaffinity", "", errno);
    }
    std::vector<int> cpus;
    for (size_t cpu = 0; cpu < sets * CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, mask.data())) {
        cpus.push_back(static_cast<int>(cpu));
      }
    }
    if (!cpus.empty()) return cpus;
  }
  return ErrnoStatus("sched_getaffinity", "", EINVAL);
}

int ResolveWorkerCount(int asked, int64_t worker_memory, int affinity_cpus,
                       const CgroupLimits& limits) {
  if (asked > 0) return std::min(asked, kMaxWorkers);
  int64_t count = std::min(affinity_cpus, kMaxWorkers);
  if (limits.cpus && *limits.cpus < static_cast<double>(count)) {
    count = static_cast<int64_t>(std::ceil(*limits.cpus));
  }
  if (worker_memory > 0 && limits.memory_bytes) {
    count = std::min(count, *limits.memory_bytes / worker_memory);
  }
  return static_cast<int>(std::max<int64_t>(count, 1));
}

}  // namespace baton
