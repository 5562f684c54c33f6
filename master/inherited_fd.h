#ifndef BATON_MASTER_INHERITED_FD_H_
#define BATON_MASTER_INHERITED_FD_H_

#include <errno.h>
#include <fcntl.h>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "net/errno_status.h"
#include "net/unique_fd.h"

namespace baton {

// A descriptor that this process had as another binary, and whose number that
// one has left (handoff.h). It closes on exec from now on.
inline absl::StatusOr<UniqueFd> TakeInheritedFd(int number) {
  const int flags = fcntl(number, F_GETFD);
  if (flags < 0 || fcntl(number, F_SETFD, flags | FD_CLOEXEC) != 0) {
    return ErrnoStatus("fcntl", absl::StrCat("descriptor ", number), errno);
  }
  return UniqueFd(number);
}

}  // namespace baton

#endif  // BATON_MASTER_INHERITED_FD_H_
