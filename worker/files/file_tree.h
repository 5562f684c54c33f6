#ifndef BATON_WORKER_FILES_FILE_TREE_H_
#define BATON_WORKER_FILES_FILE_TREE_H_

// Problem: a server of files must never be led out of its root: not by "..",
// not by a symbolic link, not by a folder that is renamed while it looks.
// Checks of a path's text, or of what realpath(3) says, are done before the
// open, and what they have checked may be another file by then.
//
// FileTree asks the kernel: openat2(2) with RESOLVE_BENEATH, below a descriptor
// of the root, refuses any step that leaves it, at the time of that step.
// (RESOLVE_NO_MAGICLINKS is for a root that has a /proc in it.) Absolute links
// are refused even if they lead inside.
//
// Contract
// * Paths are relative to the root, without a leading '/'; empty is the root.
// * Nothing but regular files is ever opened for reading: a device may do
//   things when it is opened.
// * Errors are errno values: what a client asks for in vain is no event.
// * Calls may wait for the disk. Belongs to one thread.

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "net/unique_fd.h"

namespace baton {

// Which file, with which content: another one differs in something. Two changes
// within a tick of the kernel's clock, some milliseconds, that leave the size
// as it was can't be told apart.
struct FileStamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t size = 0;            // bytes
  int64_t modified_nanos = 0;  // since the epoch, as below
  int64_t changed_nanos = 0;

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

enum class FileKind : uint8_t { kRegular, kDirectory, kOther };

struct FileFacts {
  FileKind kind = FileKind::kOther;
  FileStamp stamp;
};

class FileTree {
 public:
  // Fails with what is wrong with `root`: it must be a directory that can be
  // searched. A relative one is taken from the working directory.
  static absl::StatusOr<std::unique_ptr<FileTree>> Open(std::string root);

  // What is at `path`. Follows links, also those that leave the root: to know
  // what is there is not yet to open it. Returns 0 or errno; what is wrong
  // beyond such a link is ENOENT, ENOTDIR or EXDEV.
  int Look(const std::string& path, FileFacts* facts) const;

  // Opens a regular file, with the facts of what is opened. 0 or errno: EISDIR
  // for whatever is no regular file, EXDEV for a path that leaves the root.
  int OpenFile(const std::string& path, UniqueFd* fd, FileFacts* facts) const;
  // Whether `path` is a directory beneath the root: 0 or errno.
  int FindDirectory(const std::string& path) const;

  // Another directory stands at the root's path than is served: a link that was
  // swapped. Follow serves that one.
  bool RootHasMoved() const;
  void Follow();

  const std::string& root() const { return root_; }
  // A descriptor of the root, for *at calls; empty if there is none left.
  UniqueFd CopyRootFd() const;

 private:
  FileTree(std::string root, UniqueFd fd)
      : root_(std::move(root)), fd_(std::move(fd)) {}

  int OpenBeneath(const std::string& path, int flags, UniqueFd* fd) const;

  const std::string root_;
  UniqueFd fd_;
};

// What is open as `fd`; 0 or errno.
int LookAt(int fd, FileFacts* facts);

}  // namespace baton

#endif  // BATON_WORKER_FILES_FILE_TREE_H_
