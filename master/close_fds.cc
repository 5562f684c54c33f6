#include "master/close_fds.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "absl/status/statusor.h"
#include "glog/logging.h"
#include "net/open_fds.h"

namespace baton {
namespace {

// close_range(2) is not there before Linux 5.9, nor where a seccomp filter does
// not know it.
void CloseOneByOne(const std::vector<int>& keep) {
  std::vector<int> open;
  if (absl::StatusOr<std::vector<int>> listed = OpenFds(); listed.ok()) {
    open = *std::move(listed);
  } else {
    rlimit limit;
    PCHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (rlim_t fd = 0; fd < limit.rlim_cur; ++fd) {
      open.push_back(static_cast<int>(fd));
    }
  }
  for (int fd : open) {
    if (!std::binary_search(keep.begin(), keep.end(), fd)) close(fd);
  }
}

}  // namespace

void CloseAllFdsExcept(std::vector<int> keep) {
  keep.insert(keep.end(), {0, 1, 2});
  std::sort(keep.begin(), keep.end());
  unsigned first = 0;
  for (int fd : keep) {
    if (fd < 0) continue;
    const auto kept = static_cast<unsigned>(fd);
    if (first < kept && close_range(first, kept - 1, 0) != 0) {
      return CloseOneByOne(keep);
    }
    first = kept + 1;
  }
  if (close_range(first, std::numeric_limits<unsigned>::max(), 0) != 0) {
    CloseOneByOne(keep);
  }
}

}  // namespace baton
