#ifndef BATON_NET_SOCKET_OPTIONS_H_
#define BATON_NET_SOCKET_OPTIONS_H_

// Problem: setsockopt takes a level, a number and an int of whatever unit that
// option happens to use; the seconds of one are the milliseconds of the next.
//
// One function per option that baton sets, with units in the types. They are
// for set-up: all but OutputQueueBytes are called on listeners, whose TCP
// options accepted sockets inherit, so that a connection costs no setsockopt.
//
// Contract: errors carry the call, the option's name and the errno. The
// descriptor is used, not owned. Thread-safe.

#include <climits>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace baton {

// How the kernel finds out that a silent peer is gone - tcp(7). After `idle`
// without a byte it sends a probe each `interval`; `count` of them unanswered
// reset the connection.
struct KeepaliveOptions {
  bool enabled = true;
  // Whole seconds, 1s to 32767s: what the kernel takes.
  absl::Duration idle = absl::Seconds(60);
  absl::Duration interval = absl::Seconds(5);
  // 1 to 127.
  int count = 3;

  friend bool operator==(const KeepaliveOptions&,
                         const KeepaliveOptions&) = default;
};

// "60s:5s:3" (idle : interval : count) or "off". Errors: InvalidArgument that
// quotes the value and says what is allowed.
absl::StatusOr<KeepaliveOptions> ParseKeepalive(absl::string_view text);
// What ParseKeepalive reads back as the same; off is only "off".
std::string KeepaliveToString(const KeepaliveOptions& options);

absl::Status SetKeepalive(int fd, const KeepaliveOptions& options);

// TCP_USER_TIMEOUT counts milliseconds in an int - tcp(7).
inline constexpr absl::Duration kMaxTcpUserTimeout =
    absl::Milliseconds(INT_MAX);

// How long sent bytes may stay unacknowledged before the connection is given
// up; zero = the kernel's own patience (about 15 minutes). While it is set it
// also decides when keepalive gives up, instead of `count`.
// Errors: InvalidArgument outside 0 to kMaxTcpUserTimeout.
absl::Status SetTcpUserTimeout(int fd, absl::Duration timeout);

// No waiting for more to send (Nagle).
absl::Status SetTcpNoDelay(int fd);

// Wake the acceptor only when bytes are there, for about that long; 0 = off.
absl::Status SetTcpDeferAccept(int fd, int seconds);

absl::Status SetReuseAddr(int fd);
absl::Status SetReusePort(int fd);

// Whether an IPv6 socket on [::] leaves IPv4 alone.
absl::Status SetV6Only(int fd, bool on);

// Datagrams come with the local address that they were sent to, so that the
// answer can be sent from there. `family` is the socket's - ip(7), ipv6(7).
absl::Status SetReceivePacketInfo(int fd, int family);

// Bytes written and not yet taken by the peer: not acknowledged for TCP
// (tcp(7), SIOCOUTQ), not read for unix. A writer for whom this number does
// not fall has a peer that takes nothing, whatever EPOLLOUT says.
absl::StatusOr<int64_t> OutputQueueBytes(int fd);

}  // namespace baton

#endif  // BATON_NET_SOCKET_OPTIONS_H_
