#include "net/fd_table.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>

#include "net/unique_fd.h"

namespace baton {

void GrowFdTable(int descriptors) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const auto size = static_cast<int>(
      std::min<rlim_t>(limit.rlim_cur, static_cast<rlim_t>(descriptors)));
  // The lowest free number that is not below: the table reaches that far.
  const UniqueFd any(open("/", O_PATH | O_CLOEXEC));
  UniqueFd(fcntl(any.get(), F_DUPFD_CLOEXEC, size - 1)).reset();
}

}  // namespace baton
