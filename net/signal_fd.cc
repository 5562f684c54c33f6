#include "net/signal_fd.h"

#include <errno.h>
#include <glog/logging.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "net/errno_status.h"

namespace baton {
namespace {

constexpr int kNeverBlocked[] = {SIGSEGV, SIGBUS,  SIGFPE,  SIGILL, SIGTRAP,
                                 SIGSYS,  SIGABRT, SIGKILL, SIGSTOP};

}  // namespace

absl::StatusOr<SignalFd> SignalFd::Create(absl::Span<const int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : signals) {
    CHECK(std::find(std::begin(kNeverBlocked), std::end(kNeverBlocked),
                    number) == std::end(kNeverBlocked))
        << "signal " << number << " must not be blocked";
    CHECK_EQ(sigaddset(&set, number), 0) << "signal " << number;
  }
  const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr);
  CHECK_EQ(error, 0);
  UniqueFd fd(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd) return ErrnoStatus("signalfd", "", errno);
  return SignalFd(std::move(fd));
}

std::optional<signalfd_siginfo> SignalFd::Next() {
  signalfd_siginfo info;
  const ssize_t size = read(fd_.get(), &info, sizeof(info));
  if (size == sizeof(info)) return info;
  // No signal can interrupt a read that does not wait - signal(7).
  PCHECK(size < 0 && errno == EAGAIN) << "read of a signalfd gave " << size;
  return std::nullopt;
}

}  // namespace baton
