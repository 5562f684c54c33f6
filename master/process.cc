#include "master/process.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <utility>

#include "glog/logging.h"
#include "net/errno_status.h"
#include "net/event_loop.h"

namespace baton {
namespace {

// ThreadSanitizer has a thread of its own, which it starts again in a child.
#if defined(__SANITIZE_THREAD__)
#define BATON_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BATON_TSAN 1
#endif
#endif
#ifdef BATON_TSAN
constexpr int kOurThreads = 2;
#else
constexpr int kOurThreads = 1;
#endif

// The C library's <sys/pidfd.h> declares these for C only.
int PidfdOpen(pid_t pid) {
  return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
}
int PidfdSendSignal(int pidfd, int signal) {
  return static_cast<int>(
      syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

// 0 if that can't be known (no /proc).
int CountThreads() {
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir("/proc/self/task"),
                                                  &closedir);
  if (tasks == nullptr) return 0;
  int count = 0;
  while (const dirent* entry = readdir(tasks.get())) {
    if (entry->d_name[0] != '.') ++count;
  }
  return count;
}

void Flush() {
  fflush(nullptr);
  google::FlushLogFiles(google::GLOG_INFO);
}

}  // namespace

absl::StatusOr<Process> Process::Fork(absl::FunctionRef<int()> child_main) {
  CHECK_LE(CountThreads(), kOurThreads)
      << "a thread runs in a process that forks; start threads in the workers";
  Flush();
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus("fork", "", errno);
  if (pid == 0) {
    EventLoop::LeaveToParent();
    const int code = child_main();
    Flush();
    _exit(code);
  }
  // Until it is reaped, the PID is this child's: no race.
  UniqueFd pidfd(PidfdOpen(pid));
  if (pidfd) return Process(pid, std::move(pidfd));
  // A child that can't be supervised must not be.
  const int error = errno;
  PCHECK(kill(pid, SIGKILL) == 0) << "kill";
  while (waitpid(pid, nullptr, 0) < 0) PCHECK(errno == EINTR) << "waitpid";
  return ErrnoStatus("pidfd_open", "", error);
}

std::optional<ExitStatus> Process::Wait(int flags) {
  CHECK(!reaped_) << "reaped twice";
  siginfo_t info = {};
  int result;
  do {
    result = waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info,
                    WEXITED | flags);
  } while (result != 0 && errno == EINTR);
  PCHECK(result == 0) << "waitid";
  if (info.si_pid == 0) return std::nullopt;
  reaped_ = true;
  if (info.si_code == CLD_EXITED) return ExitStatus::Exited(info.si_status);
  return ExitStatus::Signalled(info.si_status, info.si_code == CLD_DUMPED);
}

std::optional<bool> Process::StopChange() {
  std::optional<bool> stopped;
  siginfo_t info = {};
  // ECHILD: it has ended, and only that is left to be told.
  while (waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info,
                WSTOPPED | WCONTINUED | WNOHANG) == 0 &&
         info.si_pid != 0) {
    stopped = info.si_code == CLD_STOPPED;
    info = {};
  }
  return stopped;
}

int ReapStrangers(absl::FunctionRef<bool(pid_t)> is_known, int limit) {
  int reaped = 0;
  for (; reaped < limit; ++reaped) {
    siginfo_t info = {};
    // Looked at first: a known child's status belongs to its Process.
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0 || is_known(info.si_pid)) {
      break;
    }
    waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
  }
  return reaped;
}

std::optional<ExitStatus> Process::Reap() { return Wait(WNOHANG); }

ExitStatus Process::WaitAndReap() { return *Wait(0); }

void Process::Kill(int signal) const {
  if (PidfdSendSignal(pidfd_.get(), signal) == 0) return;
  PCHECK(errno == ESRCH) << "pidfd_send_signal";
}

}  // namespace baton
