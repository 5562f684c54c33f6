#ifndef BATON_WORKER_WORKER_LIMITS_H_
#define BATON_WORKER_WORKER_LIMITS_H_

#include <cstdint>

#include "worker/settings.h"

namespace baton {

// How many connections a worker has descriptors for. Raises the limit of
// descriptors as far as it goes.
int64_t MostConnections();

// How many it admits: the flag, or as many as it has descriptors for.
int64_t MaxConnections(const WorkerSettings& settings);

// After how many it asks to be recycled. Somewhere above the flag, each worker
// elsewhere: siblings that began together do not ask together.
uint64_t RequestsUntilRecycled(int64_t max_requests);

}  // namespace baton

#endif  // BATON_WORKER_WORKER_LIMITS_H_
