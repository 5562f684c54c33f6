#ifndef BATON_WORKER_WORKER_LIMITS_H_
#define BATON_WORKER_WORKER_LIMITS_H_

#include <cstdint>

#include "worker/settings.h"

namespace baton {

// How many connections a worker takes: the flag, or what the limit of
// descriptors allows, which is raised as far as it goes.
int64_t MaxConnections(const WorkerSettings& settings);

// After how many it asks to be recycled. Somewhere above the flag, each worker
// elsewhere: siblings that began together do not ask together.
uint64_t RequestsUntilRecycled(int64_t max_requests);

}  // namespace baton

#endif  // BATON_WORKER_WORKER_LIMITS_H_
