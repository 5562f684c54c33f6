#ifndef BATON_NET_OPEN_FDS_H_
#define BATON_NET_OPEN_FDS_H_

// Problem: a process that has to close or shut down "everything but" needs to
// know what it has, and its own bookkeeping is the last to know of a
// descriptor that somebody else opened or forgot.
//
// OpenFds asks the kernel: the entries of /proc/self/fd.
//
// Contract
// * Ascending; without the descriptor that the enumeration itself uses, which
//   is closed again when it returns.
// * A snapshot: in a process with threads a descriptor may be gone, or be
//   another, by the time it is looked at. baton asks while it has one thread.
// * Errors: the errno's code; NotFound when /proc is not mounted.

#include <vector>

#include "absl/status/statusor.h"

namespace baton {

absl::StatusOr<std::vector<int>> OpenFds();

// Both are false for a number that is not open.
bool IsSocket(int fd);
// A stream socket on which listen() was called (and not yet shutdown()).
bool IsListening(int fd);

}  // namespace baton

#endif  // BATON_NET_OPEN_FDS_H_
