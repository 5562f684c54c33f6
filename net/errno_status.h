#ifndef BATON_NET_ERRNO_STATUS_H_
#define BATON_NET_ERRNO_STATUS_H_

// Problem: "Address already in use" on its own sends the reader searching. An
// error of a system call is of use when it says which call, on what, and the
// errno by the name under which the man pages explain it.
//
// For set-up errors (bind, open, socketpair): things that an operator reads.
// What a peer causes on a running connection is a value, not a Status.
//
// Contract: no allocation beyond the message, thread-safe, leaves errno alone.
// `errnum` of 0 is a bug and CHECKs: it would turn a failure into OK.

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace baton {

// "Address already in use (EADDRINUSE)"; "unknown error 4095" for a number
// that the C library has no name for. The wording does not follow the locale.
std::string ErrnoText(int errnum);

// "bind 127.0.0.1:80: Address already in use (EADDRINUSE)", with the code
// that Abseil assigns to that errno. An empty `object` is left out.
absl::Status ErrnoStatus(absl::string_view call, absl::string_view object,
                         int errnum);

}  // namespace baton

#endif  // BATON_NET_ERRNO_STATUS_H_
