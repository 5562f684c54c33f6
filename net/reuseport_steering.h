#ifndef BATON_NET_REUSEPORT_STEERING_H_
#define BATON_NET_REUSEPORT_STEERING_H_

// Which socket of a SO_REUSEPORT group gets a new connection or a datagram.
//
// Closing a socket of a group resets the connections in its queue, and
// handshakes that have begun in it too. So before a socket goes, nothing new
// may come to it. The kernel chooses by a hash over all sockets of the group,
// unless the group has a program that names an index (socket(7),
// SO_ATTACH_REUSEPORT_CBPF): ours names one of the first `live`.
//
// Index order is the order of listen(2) for TCP and of bind(2) for UDP; closing
// a socket moves the last one to its index. An index that does not exist falls
// back to the kernel's hash.
//
// TCP: at random, each connection anew. UDP: by a hash of the sender's address
// and port, so that a sender stays with its worker while `live` stays.

#include "absl/status/status.h"

namespace baton {

enum class SteerBy { kRandom, kSourceHash };

// For the whole group that `fd` is in, in place of an earlier program. `live`
// is at least 1.
absl::Status SteerReuseport(int fd, SteerBy how, int live);

// Back to the kernel's own choice; also if there is no program.
absl::Status StopSteering(int fd);

}  // namespace baton

#endif  // BATON_NET_REUSEPORT_STEERING_H_
