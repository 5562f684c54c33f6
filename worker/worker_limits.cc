#include "worker/worker_limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "absl/status/statusor.h"
#include "glog/logging.h"
#include "net/open_fds.h"

namespace baton {
namespace {

// Descriptors that are not for clients: what a service opens, a handover's
// channel, the log.
constexpr int64_t kReservedFds = 64;

}  // namespace

int64_t MostConnections() {
  rlimit limit{};
  PCHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  PCHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  const absl::StatusOr<std::vector<int>> open = OpenFds();
  const int64_t used =
      kReservedFds + (open.ok() ? static_cast<int64_t>(open->size()) : 0);
  return std::max<int64_t>(
      1,
      static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, 1 << 22)) - used);
}

int64_t MaxConnections(const WorkerSettings& settings) {
  return settings.max_connections > 0 ? settings.max_connections
                                      : MostConnections();
}

uint64_t RequestsUntilRecycled(int64_t max_requests) {
  if (max_requests == 0) return std::numeric_limits<uint64_t>::max();
  std::random_device random;
  std::uniform_int_distribution<int64_t> more(0, max_requests / 10);
  return static_cast<uint64_t>(max_requests + more(random));
}

}  // namespace baton
