#ifndef BATON_NET_CONNECT_H_
#define BATON_NET_CONNECT_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/connection.h"
#include "net/endpoint.h"
#include "net/task.h"

namespace baton {

// Outbound connections. Connect waits without blocking the loop; the Connection
// it yields is like an accepted one, and belongs to whoever awaited it.
//
// The deadline is for the connect alone; idle_timeout and write_timeout hold
// for the connection that comes of it. Connectors with equal ones are one kind
// to the worker's table, which knows at most 1024
// (ConnectionTable::AddSettings).
//
// Errors: DeadlineExceeded, Cancelled, or the errno of socket(2), connect(2) or
// the handshake, with the endpoint. One thread, that of the loop.

struct ConnectOptions {
  absl::Duration timeout = absl::Seconds(5);
  absl::Duration idle_timeout = absl::Seconds(60);
  absl::Duration write_timeout = absl::Seconds(20);
};

class Connector {
 public:
  explicit Connector(const ConnectOptions& options = {});

  // `endpoint`: TCP or unix.
  Task<absl::StatusOr<Connection>> Connect(Endpoint endpoint) const;

 private:
  absl::Duration timeout_;
  uint16_t settings_;
};

}  // namespace baton

#endif  // BATON_NET_CONNECT_H_
