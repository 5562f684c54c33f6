#ifndef BATON_MASTER_PROCESS_H_
#define BATON_MASTER_PROCESS_H_

// A child process, from fork to reaping, by pidfd.
//
// A PID is a number that belongs to somebody else as soon as its process is
// reaped; whoever remembers PIDs will one day signal a stranger. A pidfd is
// that process and no other, for as long as it is held - pidfd_open(2).
//
// And fork() copies one thread, whatever locks the others held: the master
// forks from one thread only, and checks it.
//
// Contract
// * Fork() runs `child_main` in the child and ends it by _exit with what that
//   returns; nothing of the parent's is destroyed there. Buffered output is
//   flushed before the fork, so that no line appears twice, and before the
//   exit.
// * The child has: the parent's memory and descriptors; no parent-death signal,
//   no event loop (EventLoop::LeaveToParent), and the signal mask of the
//   parent. All further dropping and closing is child_main's.
// * A second thread in the parent is a bug of the program and CHECKs.
// * Destroying a Process that has not been reaped leaves the child alone: it
//   stays our child, and a zombie once it ends.
// * Not thread-safe.

#include <sys/types.h>

#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "master/exit_status.h"
#include "net/unique_fd.h"

namespace baton {

// Reaps children that nobody here has forked: as PID 1, or as a subreaper, a
// process inherits orphans. The exit of a known child that has not been reaped
// is left alone, and may hide strangers until it is. Returns how many, at most
// `limit`.
int ReapStrangers(absl::FunctionRef<bool(pid_t)> is_known, int limit);

class Process {
 public:
  // Errors: the errno's code (EAGAIN: too many processes; ENOMEM; EMFILE).
  static absl::StatusOr<Process> Fork(absl::FunctionRef<int()> child_main);

  // A child of the binary that this process was before an exec. Its pidfd must
  // not be another process's.
  static Process TakeOver(pid_t pid, UniqueFd pidfd) {
    return Process(pid, std::move(pidfd));
  }

  Process(Process&&) = default;
  Process& operator=(Process&&) = default;

  pid_t pid() const { return pid_; }
  // Readable once the child has ended, reaped or not. For epoll; owned here.
  int pidfd() const { return pidfd_.get(); }

  // Its status if it has ended, which this call reaps; else nothing. Not again
  // after it gave a status (CHECKs). While a tracer of the child has not been
  // told of its end, that is nothing too - ptrace(2).
  std::optional<ExitStatus> Reap();
  // The same, and waits for it.
  ExitStatus WaitAndReap();

  // Whether a signal has stopped it (true) or continued it since the last call;
  // nothing if neither. SIGCHLD tells of both.
  std::optional<bool> StopChange();

  // Nothing happens if it has ended.
  void Kill(int signal) const;

 private:
  Process(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  std::optional<ExitStatus> Wait(int flags);

  pid_t pid_;
  UniqueFd pidfd_;
  bool reaped_ = false;
};

}  // namespace baton

#endif  // BATON_MASTER_PROCESS_H_
