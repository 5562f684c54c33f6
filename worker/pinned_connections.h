#ifndef BATON_WORKER_PINNED_CONNECTIONS_H_
#define BATON_WORKER_PINNED_CONNECTIONS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "net/connection_table.h"

namespace baton {

// What keeps a worker that is to leave: its clients' connections, of which the
// oldest is named, and what handlers do that have none any more.
struct PinnedConnections {
  uint64_t connections = 0;
  uint64_t oldest_id = 0;  // Connection::id
  absl::Duration oldest_age;
  std::string service;  // scheme of the oldest one's listener
  std::string peer;
  // For whoever has the worker to fill in.
  uint64_t handlers = 0;  // without a connection
  uint64_t jobs = 0;

  // What a second look tells anew; an age grows by itself.
  bool SameAs(const PinnedConnections& other) const {
    return connections == other.connections && oldest_id == other.oldest_id &&
           handlers == other.handlers && jobs == other.jobs;
  }
};

// Looks at every connection. Those that are on their way to another worker do
// not count.
PinnedConnections FindPinned(ConnectionTable& table);

}  // namespace baton

#endif  // BATON_WORKER_PINNED_CONNECTIONS_H_
