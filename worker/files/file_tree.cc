#include "worker/files/file_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "net/errno_status.h"

namespace baton {
namespace {

// openat2(2) gives up with EAGAIN when something was renamed on its way.
constexpr int kAttempts = 8;

int64_t Nanos(const timespec& time) {
  return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
}

FileFacts FactsOf(const struct stat& status) {
  FileFacts facts;
  if (S_ISREG(status.st_mode)) facts.kind = FileKind::kRegular;
  if (S_ISDIR(status.st_mode)) facts.kind = FileKind::kDirectory;
  facts.stamp = {.device = status.st_dev,
                 .inode = status.st_ino,
                 .size = status.st_size,
                 .modified_nanos = Nanos(status.st_mtim),
                 .changed_nanos = Nanos(status.st_ctim)};
  return facts;
}

const char* OrDot(const std::string& path) {
  return path.empty() ? "." : path.c_str();
}

UniqueFd OpenRoot(const std::string& root) {
  return UniqueFd(open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileTree>> FileTree::Open(std::string root) {
  UniqueFd fd = OpenRoot(root);
  if (!fd) return ErrnoStatus("open directory", root, errno);
  // O_PATH asks for no right: whether its files can be reached shows here.
  if (faccessat(fd.get(), ".", X_OK, AT_EACCESS) != 0) {
    return ErrnoStatus("search directory", root, errno);
  }
  std::unique_ptr<FileTree> tree(new FileTree(std::move(root), std::move(fd)));
  // Linux 5.6 has the call; a container's filter may not.
  if (const int error = tree->FindDirectory(""); error != 0) {
    return ErrnoStatus("openat2", tree->root_, error);
  }
  return tree;
}

int FileTree::OpenBeneath(const std::string& path, int flags,
                          UniqueFd* fd) const {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 1;; ++attempt) {
    const long opened =
        syscall(SYS_openat2, fd_.get(), OrDot(path), &how, sizeof(how));
    if (opened >= 0) {
      *fd = UniqueFd(static_cast<int>(opened));
      return 0;
    }
    if ((errno != EAGAIN && errno != EINTR) || attempt == kAttempts) {
      return errno;
    }
  }
}

int FileTree::Look(const std::string& path, FileFacts* facts) const {
  struct stat status = {};
  if (fstatat(fd_.get(), OrDot(path), &status, 0) == 0) {
    *facts = FactsOf(status);
    return 0;
  }
  const int error = errno;
  if (error == ENOENT || error == ENOTDIR) return error;
  // That nobody may look there, say, must not be told of a place outside.
  UniqueFd fd;
  return OpenBeneath(path, O_PATH, &fd) == EXDEV ? EXDEV : error;
}

int FileTree::OpenFile(const std::string& path, UniqueFd* fd,
                       FileFacts* facts) const {
  if (const int error = Look(path, facts); error != 0) return error;
  if (facts->kind != FileKind::kRegular) return EISDIR;
  // Should it have become a FIFO meanwhile, nobody waits for its writer.
  if (const int error = OpenBeneath(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, fd);
      error != 0) {
    return error;
  }
  if (const int error = LookAt(fd->get(), facts); error != 0) return error;
  return facts->kind == FileKind::kRegular ? 0 : EISDIR;
}

int FileTree::FindDirectory(const std::string& path) const {
  UniqueFd fd;
  return OpenBeneath(path, O_PATH | O_DIRECTORY, &fd);
}

UniqueFd FileTree::CopyRootFd() const {
  return UniqueFd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
}

bool FileTree::RootHasMoved() const {
  struct stat at_path = {};
  struct stat served = {};
  // Nothing there: it may be in the middle of being swapped.
  if (stat(root_.c_str(), &at_path) != 0) return false;
  return fstat(fd_.get(), &served) != 0 || at_path.st_dev != served.st_dev ||
         at_path.st_ino != served.st_ino;
}

void FileTree::Follow() {
  if (UniqueFd fd = OpenRoot(root_); fd) fd_ = std::move(fd);
}

int LookAt(int fd, FileFacts* facts) {
  struct stat status = {};
  if (fstat(fd, &status) != 0) return errno;
  *facts = FactsOf(status);
  return 0;
}

}  // namespace baton
