#include "net/unique_fd.h"

#include <errno.h>
#include <glog/logging.h>
#include <unistd.h>

namespace baton {

void UniqueFd::reset(int fd) {
  CHECK(fd < 0 || fd != fd_) << "descriptor " << fd << " is already owned";
  const int old = std::exchange(fd_, fd < 0 ? -1 : fd);
  if (old >= 0) Close(old);
}

void UniqueFd::Close(int fd) {
  const int saved_errno = errno;
  if (close(fd) < 0) {
    CHECK_NE(errno, EBADF) << "descriptor " << fd << " was closed behind the "
                           << "back of its owner";
  }
  errno = saved_errno;
}

}  // namespace baton
