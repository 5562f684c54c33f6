#ifndef BATON_NET_TRAFFIC_COUNTERS_H_
#define BATON_NET_TRAFFIC_COUNTERS_H_

// What a loop counts about its connections.
//
// Connections, acceptors and datagram sockets are given a pointer to one of
// these and add to it on the hot path. Where it lives is not their business:
// in a worker it is part of the scoreboard that other processes read, in a test
// it is a local variable.
//
// One writer: the loop's thread. Whole struct zero is the start. The fields
// fill cache lines of their own, so that no other writer shares them.

#include "net/counter.h"

namespace baton {

struct alignas(64) TrafficCounters {
  // Touched by every request.
  Counter bytes_in;   // read from peers, datagrams included
  Counter bytes_out;  // taken by the kernel for sending, datagrams included
  Counter requests;   // what the service calls one: a chunk echoed, a response
  Counter datagrams_in;
  Counter datagrams_out;
  // Touched once or twice a client's connection. Whatever happens to it,
  //   accepted + received == open + closed + handed_over
  // as the writer sees it: each is counted when it is admitted, so one that is
  // refused or that epoll does not take is in neither side, and each ends once.
  Counter accepted;
  Counter closed;
  Gauge open;
  // The rest is rare.
  Counter handed_over;        // ended here, and passed on to a successor
  Counter received;           // connections taken over from a predecessor
  Counter handover_refused;   // not taken by the one they were offered to
  Counter handover_later;     // ... now: no descriptors or no memory there
  Counter reaped_idle;        // idle reads that ended by idle_timeout
  Counter read_timeouts;      // other reads that ended by their time-out
  Counter write_timeouts;     // closed: the peer took no byte for write_timeout
  Counter buffers_refused;    // operations, bodies: no memory in the pool
  Counter refused_per_ip;     // closed at once: max_connections_per_ip
  Counter accept_pauses;      // accepting stopped for a while: limit or EMFILE
  Counter accept_errors;      // accept failed for one connection (ECONNABORTED)
  Counter datagrams_dropped;  // answers that the kernel did not take
  // Connections that were made from here; in none of the numbers above that
  // count connections.
  Counter outbound;
  Gauge outbound_open;
};

}  // namespace baton

#endif  // BATON_NET_TRAFFIC_COUNTERS_H_
