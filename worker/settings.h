#ifndef BATON_WORKER_SETTINGS_H_
#define BATON_WORKER_SETTINGS_H_

// What a worker is told about how to serve: the part of the configuration that
// concerns it, parsed and checked by the master before the fork. Plain values;
// a worker keeps the ones that it was started with, and a reload starts
// another. The defaults are those of the flags of the same names.

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "net/cidr.h"
#include "net/socket_options.h"

namespace baton {

// How many threads run a worker's jobs.
struct JobThreads {
  int min = 1;  // at least 1
  int max = 8;  // at least min

  friend bool operator==(const JobThreads&, const JobThreads&) = default;
};

struct WorkerSettings {
  // A connection that has waited this long in an idle read is reaped; zero =
  // never. A listener's own idle_timeout goes before it.
  absl::Duration idle_timeout = absl::Seconds(60);
  // A peer that takes no byte this long, while bytes wait, is dropped; zero =
  // never.
  absl::Duration write_timeout = absl::Seconds(20);
  // After a reload: how long connections that cannot be handed over may take
  // before they are cut; zero = as long as they need.
  absl::Duration drain_timeout = absl::ZeroDuration();
  // At a stop: how long before sockets are shut down; zero = at once.
  absl::Duration stop_timeout = absl::Seconds(8);

  KeepaliveOptions tcp_keepalive;
  // TCP_USER_TIMEOUT; zero = the kernel's own.
  absl::Duration tcp_user_timeout = absl::Seconds(75);

  // Per worker. At the limit it stops accepting; zero = what RLIMIT_NOFILE
  // allows.
  int64_t max_connections = 0;
  // Beyond, a new one from that address (of IPv6: that /64) is closed at once;
  // zero = no limit.
  int64_t max_connections_per_ip = 0;

  // A worker that has answered so many requests, and up to a tenth more, asks
  // to be recycled; zero = never.
  int64_t max_requests = 0;

  // Whose word is taken for where a request comes from.
  std::vector<Cidr> forwarded_from;

  JobThreads job_threads;
  int job_queue = 1024;  // jobs that may wait for one
};

}  // namespace baton

#endif  // BATON_WORKER_SETTINGS_H_
