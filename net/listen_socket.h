#ifndef BATON_NET_LISTEN_SOCKET_H_
#define BATON_NET_LISTEN_SOCKET_H_

// Problem: a listening socket is the one thing that outlives every worker, and
// what it was not given before bind or listen, no connection will have.
// SO_REUSEPORT, on which one socket per worker rests, makes a second server on
// the same port succeed in silence. A unix socket leaves its file behind and
// then stands in its own way.
//
// Contract
// * OpenListener returns a bound, non-blocking, close-on-exec socket that
//   already queues connections (TCP, unix) or datagrams (UDP). On an error
//   nothing stays bound.
// * TCP_NODELAY, keepalive and TCP_USER_TIMEOUT are set on the listener:
//   accepted sockets inherit them, so a connection costs no setsockopt for
//   them. TuneListener changes them for connections to come, also while
//   another process accepts from the socket.
// * The URL must be resolved (CHECKs). Port 0 takes any free port: ask
//   Endpoint::LocalOf for it, and put it into the URL before opening the next
//   socket of the group.
// * Errors name the call, the address and the errno.
// * Blocking: no call here waits for a peer.

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "net/endpoint.h"
#include "net/listen_url.h"
#include "net/socket_options.h"
#include "net/unique_fd.h"

namespace baton {

struct ListenFlags {
  // Several sockets of ours share the address. Of no effect for unix, where
  // all workers share one socket.
  bool reuseport = false;
  KeepaliveOptions tcp_keepalive;
  // Zero = the kernel's own.
  absl::Duration tcp_user_timeout = absl::Seconds(75);
  // A unix path is for its owner only (mode 0600). Sets the umask for a moment,
  // which is the process's: for one with a single thread.
  bool owner_only = false;
};

// A unix path where a socket file is left over from a server that is gone (it
// refuses connections) is unlinked and bound anew. One that answers is an
// error (EADDRINUSE), and so is anything that is not a socket: it stays.
absl::StatusOr<UniqueFd> OpenListener(const ListenUrl& url,
                                      const ListenFlags& flags);

// Sets what can be changed while a listener lives: backlog, defer_accept,
// keepalive, user time-out. Does nothing for UDP.
absl::Status TuneListener(int fd, const ListenUrl& url,
                          const ListenFlags& flags);

// Whether somebody else has the address: binds without SO_REUSEPORT (TCP with
// SO_REUSEADDR, so that connections in TIME_WAIT do not count) and closes
// again. `ours` are the addresses that this process has bound on the same
// transport; a URL that overlaps one of them is not probed, and neither is
// port 0 or unix, where OpenListener itself finds out. Without SO_REUSEPORT
// there is nothing to probe for. Between probe and open the port can still be
// taken; that is then seen by OpenListener unless the taker shares it and runs
// as the same user.
absl::Status ProbeBind(const ListenUrl& url, absl::Span<const Endpoint> ours);

}  // namespace baton

#endif  // BATON_NET_LISTEN_SOCKET_H_
