#ifndef BATON_MASTER_PID_FILE_H_
#define BATON_MASTER_PID_FILE_H_

// The file that tells scripts which process to signal.
//
// A pid file lies as soon as its process dies without removing it, and two
// servers started with the same one overwrite each other's. So the file is
// locked for as long as its process lives: a second server sees the lock, and
// names the holder, while a file that was left behind is not locked and is
// simply taken over.
//
// The lock is fcntl(2)'s, the only kind that is right on both sides of fork and
// exec: children do not have it, so that an orphan can't hold it, and a server
// that execs its successor keeps it.
//
// Contract
// * Lock() creates and locks it, empty; Write() puts the PID in. The destructor
//   removes the file if it still is the one that was locked.
// * fcntl locks go when the process closes *any* descriptor of the file: nobody
//   else here opens it, and who wants another one asks IsAt() first.
// * A child of a fork must not destroy a PidFile.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "net/unique_fd.h"

namespace baton {

class PidFile {
 public:
  // Errors: AlreadyExists with the holder's PID; else the errno's code.
  static absl::StatusOr<PidFile> Lock(absl::string_view path);

  // One that this process has locked, as another binary: the lock stays.
  static PidFile TakeOver(absl::string_view path, UniqueFd fd) {
    return PidFile(std::string(path), std::move(fd));
  }

  PidFile(PidFile&& other) = default;
  PidFile& operator=(PidFile&& other) = delete;
  ~PidFile();

  // The calling process's PID.
  absl::Status Write();

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  // Whether that is another name of this file, or its own.
  bool IsAt(const std::string& path) const;

 private:
  PidFile(std::string path, UniqueFd fd)
      : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  UniqueFd fd_;
};

}  // namespace baton

#endif  // BATON_MASTER_PID_FILE_H_
