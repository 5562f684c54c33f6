#include "net/open_fds.h"

#include <dirent.h>
#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <system_error>

#include "net/errno_status.h"

namespace baton {
namespace {

constexpr char kFolder[] = "/proc/self/fd";

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

}  // namespace

absl::StatusOr<std::vector<int>> OpenFds() {
  const std::unique_ptr<DIR, CloseFolder> folder(opendir(kFolder));
  if (folder == nullptr) return ErrnoStatus("opendir", kFolder, errno);
  const int own = dirfd(folder.get());
  std::vector<int> fds;
  for (;;) {
    errno = 0;  // the only way to tell an error from the end - readdir(3)
    const dirent* const entry = readdir(folder.get());
    if (entry == nullptr) break;
    int fd = -1;
    const char* const end = entry->d_name + std::strlen(entry->d_name);
    const auto [rest, error] = std::from_chars(entry->d_name, end, fd);
    // What is no number is `.` and `..`.
    if (error == std::errc() && rest == end && fd != own) fds.push_back(fd);
  }
  if (errno != 0) return ErrnoStatus("readdir", kFolder, errno);
  std::sort(fds.begin(), fds.end());
  return fds;
}

bool IsSocket(int fd) {
  struct stat found;
  return fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
}

bool IsListening(int fd) {
  int value = 0;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 &&
         value != 0;
}

}  // namespace baton
