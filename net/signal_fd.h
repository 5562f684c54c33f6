#ifndef BATON_NET_SIGNAL_FD_H_
#define BATON_NET_SIGNAL_FD_H_

// Problem: a signal handler runs between any two instructions, where almost
// nothing may be called. A signalfd turns signals into something to read in
// the loop; but only signals that are blocked in every thread come there, and
// blocking the wrong ones (SIGSEGV) makes a crash silent.
//
// Contract
// * Create() blocks exactly the named signals in the calling thread, then opens
//   the descriptor. Call it before the first thread starts: threads inherit the
//   mask. A signal that came in between is pending, and is read.
// * Signals that report a fault of the instruction (SIGSEGV, SIGBUS, SIGFPE,
//   SIGILL, SIGTRAP, SIGSYS, SIGABRT) and those that cannot be blocked
//   (SIGKILL, SIGSTOP) are a bug and CHECK.
// * Destroying it leaves the signals blocked: to unblock one that is pending
//   would deliver it with its default action. Blocked and pending signals
//   survive execve(2), so no signal is lost across it.
// * Signals of one number that come before one is read are one: Next() says
//   that it happened, not how often. SIGCHLD in particular says that some
//   children changed.
// * A child after fork makes its own: an inherited signalfd reads the signals
//   of whoever reads, but epoll reports it for whoever registered it.
// * Non-blocking, close-on-exec; one thread at a time.

#include <sys/signalfd.h>

#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "net/unique_fd.h"

namespace baton {

class SignalFd {
 public:
  static absl::StatusOr<SignalFd> Create(absl::Span<const int> signals);

  SignalFd(SignalFd&&) = default;
  SignalFd& operator=(SignalFd&&) = default;

  // For epoll; still owned here. Edge-triggered users call Next() until it
  // gives nothing.
  int fd() const { return fd_.get(); }

  // The next pending signal with its sender (ssi_signo, ssi_pid, ssi_uid);
  // nothing when none is pending.
  std::optional<signalfd_siginfo> Next();

 private:
  explicit SignalFd(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace baton

#endif  // BATON_NET_SIGNAL_FD_H_
