#ifndef BATON_TESTS_CHAOS_SOCKETS_H_
#define BATON_TESTS_CHAOS_SOCKETS_H_

// Which connections a process holds, exactly, at the moment of its death.
//
// A client that loses its connection when a worker is killed has lost it for a
// reason only if that very worker held that very connection. What the worker
// has said before, or what a table showed a moment ago, does not tell: it
// accepts and passes on all the time. So it is held still by ptrace(2), which
// its master does not hear of, its descriptors are looked at (pidfd_getfd(2)),
// and then it is killed without having moved in between.

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"

namespace baton {

// A TCP connection on loopback: its two ports.
struct ConnectionKey {
  uint16_t client = 0;
  uint16_t server = 0;

  auto operator<=>(const ConnectionKey&) const = default;
  std::string ToString() const;
};

// Of the server's end; {} if it is no connection.
ConnectionKey KeyOfServerEnd(int fd);
ConnectionKey KeyOfClientEnd(int fd);

// Of this process, and of another one while it goes on.
std::vector<ConnectionKey> OwnConnections();
std::vector<ConnectionKey> ConnectionsOf(pid_t pid);

// How many descriptors a process has.
struct DescriptorCount {
  int listening = 0;  // sockets
  int others = 0;

  int all() const { return listening + others; }
};
DescriptorCount CountDescriptors(pid_t pid);

// Kills it with SIGKILL. `note` is called with what it holds while it does not
// move any more. False if it has ended before that, by itself.
bool KillFrozen(
    pid_t pid, absl::FunctionRef<void(const std::vector<ConnectionKey>&)> note);

}  // namespace baton

#endif  // BATON_TESTS_CHAOS_SOCKETS_H_
