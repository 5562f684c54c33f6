#include "master/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/event_loop.h"
#include "net/testing/descriptor_limit.h"

namespace baton {
namespace {

using ::testing::HasSubstr;

// Ends when it is killed.
int Forever() {
  while (true) pause();
}

bool HasEnded(const Process& process, int timeout_ms) {
  pollfd poll_fd{process.pidfd(), POLLIN, 0};
  return poll(&poll_fd, 1, timeout_ms) == 1;
}

TEST(ProcessTest, TheChildEndsWithWhatItsMainReturns) {
  auto process = Process::Fork([] { return 42; });
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ(process->WaitAndReap(), ExitStatus::Exited(42));
}

TEST(ProcessTest, ItsEndIsReadableAndReapedOnce) {
  auto process = Process::Fork([] { return Forever(); });
  ASSERT_TRUE(process.ok());
  EXPECT_FALSE(HasEnded(*process, 0));
  EXPECT_FALSE(process->Reap().has_value());
  process->Kill(SIGKILL);
  ASSERT_TRUE(HasEnded(*process, -1));
  const pid_t pid = process->pid();
  EXPECT_EQ(process->Reap(), ExitStatus::Signalled(SIGKILL));
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH) << "still a zombie";
  process->Kill(SIGKILL);  // nobody is hit
}

TEST(ProcessTest, ASignalToOneThatHasEndedIsNothing) {
  auto process = Process::Fork([] { return 0; });
  ASSERT_TRUE(process.ok());
  ASSERT_TRUE(HasEnded(*process, -1));
  process->Kill(SIGTERM);
  EXPECT_EQ(process->WaitAndReap(), ExitStatus::Exited(0));
}

TEST(ProcessTest, TheChildMayHaveAnEventLoopThoughTheParentHasOne) {
  auto loop = EventLoop::Create();
  ASSERT_TRUE(loop.ok());
  auto process = Process::Fork([] { return EventLoop::Create().ok() ? 0 : 1; });
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(process->WaitAndReap(), ExitStatus::Exited(0));
}

TEST(ProcessTest, WhatWasPrintedBeforeTheForkAppearsOnce) {
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  FILE* out = fdopen(pipe_fds[1], "w");
  fputs("once.", out);
  auto process = Process::Fork([out] {
    fputs("child.", out);
    return 0;
  });
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(process->WaitAndReap(), ExitStatus::Exited(0));
  fclose(out);
  char text[100] = {};
  EXPECT_GT(read(pipe_fds[0], text, sizeof(text) - 1), 0);
  EXPECT_STREQ(text, "once.child.");
  close(pipe_fds[0]);
}

TEST(ProcessTest, AChildThatCannotBeWatchedIsNotLeftBehind) {
  absl::StatusOr<Process> process = absl::UnknownError("not yet");
  {
    const testing::DescriptorLimit limit(3);  // 0, 1 and 2 are in use
    process = Process::Fork([] { return Forever(); });
  }
  ASSERT_FALSE(process.ok());
  EXPECT_THAT(std::string(process.status().message()), HasSubstr("pidfd_open"));
  siginfo_t info;
  EXPECT_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(ProcessTest, StopsAndContinuationsAreTold) {
  auto process = Process::Fork([] { return Forever(); });
  ASSERT_TRUE(process.ok());
  EXPECT_EQ(process->StopChange(), std::nullopt);
  siginfo_t info = {};
  const auto await = [&](int what) {  // without taking it away
    return waitid(P_PID, static_cast<id_t>(process->pid()), &info,
                  what | WNOWAIT) == 0;
  };
  process->Kill(SIGSTOP);
  ASSERT_TRUE(await(WSTOPPED));
  EXPECT_EQ(process->StopChange(), true);
  EXPECT_EQ(process->StopChange(), std::nullopt);
  process->Kill(SIGCONT);
  ASSERT_TRUE(await(WCONTINUED));
  EXPECT_EQ(process->StopChange(), false);
  process->Kill(SIGKILL);
  ASSERT_TRUE(await(WEXITED));
  EXPECT_EQ(process->StopChange(), std::nullopt) << "its end is no change";
  EXPECT_EQ(process->WaitAndReap(), ExitStatus::Signalled(SIGKILL));
}

// In a process of its own: what it inherits is not the test's.
TEST(ProcessTest, StrangersAreReapedAndKnownChildrenLeftAlone) {
  auto subreaper = Process::Fork([] {
    PCHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    auto known = Process::Fork([] { return 7; });
    auto parent = Process::Fork([] {
      for (int i = 0; i < 3; ++i) {
        if (fork() == 0) _exit(0);  // an orphan soon
      }
      return 0;
    });
    parent->WaitAndReap();
    const pid_t known_pid = known->pid();
    const auto is_known = [&](pid_t pid) { return pid == known_pid; };
    // The known one may stand in front of them until it is reaped.
    int reaped = ReapStrangers(is_known, 100);
    if (known->WaitAndReap() != ExitStatus::Exited(7)) return 1;
    siginfo_t info = {};
    while (reaped < 3 && waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0) {
      const int more = ReapStrangers(is_known, 2);
      if (more < 1 || more > 2) return 3;
      reaped += more;
    }
    return reaped == 3 ? 0 : 2;
  });
  ASSERT_TRUE(subreaper.ok());
  EXPECT_EQ(subreaper->WaitAndReap(), ExitStatus::Exited(0));
}

using ProcessDeathTest = ::testing::Test;

TEST(ProcessDeathTest, ASecondThreadIsABug) {
  EXPECT_DEATH(
      {
        // Two: ThreadSanitizer's own is allowed for, and not there after the
        // fork of a death test.
        std::thread second([] { pause(); });
        std::thread third([] { pause(); });
        (void)Process::Fork([] { return 0; });
      },
      "a thread runs in a process that forks");
}

}  // namespace
}  // namespace baton
