#include "master/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "net/errno_status.h"

namespace baton {
namespace {

struct flock WholeFile() {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

absl::Status HeldError(int fd, const std::string& path) {
  struct flock lock = WholeFile();
  std::string holder = "another process";
  if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
    holder = absl::StrCat("process ", lock.l_pid);
  }
  return absl::AlreadyExistsError(
      absl::StrCat("lock ", path, ": it is held by ", holder));
}

// Whether `path` still names the file that `fd` is.
bool StillNames(const std::string& path, int fd) {
  struct stat named, open;
  return lstat(path.c_str(), &named) == 0 && fstat(fd, &open) == 0 &&
         named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

}  // namespace

absl::StatusOr<PidFile> PidFile::Lock(absl::string_view path) {
  std::string name(path);
  // A holder that ends removes the name between our open and our lock: then we
  // hold a file that nobody can see, and begin again.
  while (true) {
    UniqueFd fd(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                     S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH));
    if (!fd) return ErrnoStatus("open", name, errno);
    struct flock lock = WholeFile();
    if (fcntl(fd.get(), F_SETLK, &lock) != 0) {
      if (errno == EACCES || errno == EAGAIN) return HeldError(fd.get(), name);
      return ErrnoStatus("fcntl(F_SETLK)", name, errno);
    }
    if (!StillNames(name, fd.get())) continue;
    // Whatever a dead server left in it names nobody.
    if (ftruncate(fd.get(), 0) != 0)
      return ErrnoStatus("ftruncate", name, errno);
    return PidFile(std::move(name), std::move(fd));
  }
}

bool PidFile::IsAt(const std::string& path) const {
  return StillNames(path, fd_.get());
}

absl::Status PidFile::Write() {
  const std::string text = absl::StrCat(getpid(), "\n");
  const ssize_t written = pwrite(fd_.get(), text.data(), text.size(), 0);
  if (written != static_cast<ssize_t>(text.size())) {
    return ErrnoStatus("write", path_, written < 0 ? errno : ENOSPC);
  }
  return absl::OkStatus();
}

PidFile::~PidFile() {
  if (fd_ && StillNames(path_, fd_.get())) unlink(path_.c_str());
}

}  // namespace baton
