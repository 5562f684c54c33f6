#ifndef BATON_WORKER_LOG_WRITER_H_
#define BATON_WORKER_LOG_WRITER_H_

// Problem: a log that blocks stops the server. A full pipe to a stalled log
// collector holds up a blocking write(2) for ever, and O_NONBLOCK is a property
// of the open file description: set on an inherited stderr it would surprise
// every program that shares it.
//
// Contract
// * One line, one system call that writes; never waits. What the log does
//   not take at once (full disk, full pipe, reader gone) the caller drops and
//   counts, or keeps and tries again. Many lines go to a file in one call, to
//   anything else in as many as there are times PIPE_BUF in them.
// * Lines of several processes on one description do not mix: a file is
//   opened with O_APPEND, and on a pipe a line is at most PIPE_BUF bytes -
//   write(2), pipe(7). A line that went out in part (disk full in the middle)
//   is taken back from a file, where another process's would be appended to it
//   next; where that can't be done, it is ended before this writer's next one.
// * SIGPIPE and SIGXFSZ must be ignored in the process, as the master does: a
//   pipe without a reader raises the one - pipe(7) -, a file at the limit of
//   its size the other - setrlimit(2), RLIMIT_FSIZE.
// * Not thread-safe, but for Write() from the handler of a signal that ends the
//   process (crash_trace.h), whatever another thread is in the middle of.
//
// How it keeps from waiting depends on what the descriptor is: a regular file
// does not block; a socket takes MSG_DONTWAIT; a pipe or a terminal is opened
// once more through /proc/self/fd, which makes a description of our own that
// may be O_NONBLOCK - open(2), fifo(7). Where that is refused (no /proc, or the
// pipe is another user's) poll(2) asks first: a pipe that is writable has a
// page free, and a line fits in one; only a line of another process that comes
// between the two calls can then make this one wait.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "net/unique_fd.h"

namespace baton {

// Opens (creates, mode 0640) the log at `path` for appending; the last
// component may not be a symbolic link. Empty: a copy of stderr, or /dev/null
// if that is closed. A FIFO that nobody reads is an error (ENXIO).
absl::StatusOr<UniqueFd> OpenLog(absl::string_view path);

class LogWriter {
 public:
  explicit LogWriter(UniqueFd fd);

  // `line` ends in '\n' and is no longer than max_line_bytes(). Returns
  // whether it was written whole.
  bool Write(absl::string_view line) { return WriteLines(line) == line.size(); }
  // Several such lines. Returns the size of those that were written whole, the
  // first ones.
  size_t WriteLines(absl::string_view lines);

  // From now on the log is `fd`, under the number that it had.
  void Reopen(UniqueFd fd);

  size_t max_line_bytes() const;
  int fd() const { return fd_.get(); }

 private:
  enum class Kind { kFile, kSocket, kNonBlocking, kPolled };

  // Of `fd`, in whose place it may put one that does not block.
  static Kind Prepare(UniqueFd& fd);
  size_t WriteAtOnce(absl::string_view lines);
  bool TakeBack(size_t bytes);

  UniqueFd fd_;  // never changes its number
  std::atomic<Kind> kind_ = Kind::kFile;
  std::atomic<bool> torn_ = false;  // the last line went out in part
};

}  // namespace baton

#endif  // BATON_WORKER_LOG_WRITER_H_
