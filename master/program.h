#ifndef BATON_MASTER_PROGRAM_H_
#define BATON_MASTER_PROGRAM_H_

// The program that this process runs, and how the process becomes another one.
//
// An upgrade in place keeps the PID: the process is given another program by
// execveat(2) and keeps its children, its pending signals and the descriptors
// that it says. What it was started with goes along: arguments, environment and
// working directory.
//
// Not thread-safe. For the master, and for children that it has just forked.

#include <sys/stat.h>
#include <time.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "master/handoff.h"
#include "net/unique_fd.h"

namespace baton {

// Which bytes a file has, as far as its inode tells. What is renamed over it is
// another file; what is written into it is another version.
class FileVersion {
 public:
  FileVersion() = default;
  static FileVersion Of(int fd);
  bool Is(int fd) const;

 private:
  int64_t size_ = -1;
  timespec modified_ = {};
};

class Program {
 public:
  // To be called before the process changes its directory. `args` begins with
  // argv[0], `environment` holds NAME=VALUE.
  Program(std::vector<std::string> args, std::vector<std::string> environment);

  // Where the program was started from: the working directory of the start and
  // argv[0], or where $PATH had it. Links are followed when it is opened, so
  // that one may be swapped.
  const std::string& path() const { return path_; }
  // As the binary before has found it: it saw the start.
  void GoOnAt(std::string path) { path_ = std::move(path); }

  // The one that is on disk now, and the one that runs, which may have been
  // replaced or deleted: proc(5), /proc/PID/exe. Errors name the path.
  absl::StatusOr<UniqueFd> OpenOnDisk() const;
  static absl::StatusOr<UniqueFd> OpenRunning();

  // Becomes the program of `binary`. `more_args` come behind the arguments of
  // this one's start; `handoff` (handoff.h) is left in its environment. Of the
  // descriptors that close on exec, `keep` stay. Returns only if that fails,
  // with everything as it was.
  absl::Status Exec(int binary, const std::vector<std::string>& more_args,
                    const std::string& handoff,
                    absl::Span<const int> keep) const;

  // For a binary that can't take up what it was left: becomes the one before
  // again, with the same. Returns, and has logged why, if that fails too.
  void GiveBack(const Handoff& handoff, const absl::Status& why) const;

 private:
  std::vector<std::string> args_;
  std::vector<std::string> environment_;
  std::string path_;
};

}  // namespace baton

#endif  // BATON_MASTER_PROGRAM_H_
