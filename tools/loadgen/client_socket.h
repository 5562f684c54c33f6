#ifndef BATON_TOOLS_LOADGEN_CLIENT_SOCKET_H_
#define BATON_TOOLS_LOADGEN_CLIENT_SOCKET_H_

// Problem: a client that opens connections by the thousand runs out of local
// ports long before the server runs out of anything: one address has 28,000,
// and each closed connection holds its port in TIME_WAIT.
//
// OpenClientSocket begins one connection: non-blocking, close-on-exec, TCP
// without Nagle's delay. To an IPv4 loopback target it takes turns among
// several source addresses of 127.0.0.0/8, all of which are local.

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "tools/loadgen/load_target.h"

namespace baton::loadgen {

struct OpenedSocket {
  // Empty when it failed at once. A connect that is under way is no failure:
  // epoll reports its end, EPOLLOUT, or EPOLLERR and SO_ERROR (connect(2)).
  UniqueFd fd;
  int error = 0;       // errno of what failed
  bool local = false;  // it was not connect() that failed
};

// `number` chooses the source address: number modulo `sources`. With one
// source, or a target that is not IPv4 loopback, the kernel chooses.
OpenedSocket OpenClientSocket(const LoadTarget& target, uint64_t number,
                              int sources);

// The same, waited for: blocks up to `timeout`. The socket is non-blocking all
// the same. Errors: the errno's status, DeadlineExceeded.
absl::StatusOr<UniqueFd> ConnectWithin(const LoadTarget& target,
                                       absl::Duration timeout);

// True for 127.0.0.0/8: only there are source addresses to be had.
bool IsIpv4Loopback(const Endpoint& endpoint);

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_CLIENT_SOCKET_H_
