#ifndef BATON_WORKER_WORKER_LISTENER_H_
#define BATON_WORKER_WORKER_LISTENER_H_

#include "net/listen_url.h"
#include "net/unique_fd.h"

namespace baton {

// A listener of a worker's configuration, and its slot's socket for it.
struct WorkerListener {
  ListenUrl url;
  UniqueFd fd;
};

}  // namespace baton

#endif  // BATON_WORKER_WORKER_LISTENER_H_
