#include "master/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/event_loop.h"

namespace baton {
namespace {

using testing::HasSubstr;

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
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{3, before.rlim_max};  // 0, 1 and 2 are in use
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  auto process = Process::Fork([] { return Forever(); });
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(process.ok());
  EXPECT_THAT(std::string(process.status().message()), HasSubstr("pidfd_open"));
  siginfo_t info;
  EXPECT_EQ(waitid(P_ALL, 0, &info, WEXITED | WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

using ProcessDeathTest = testing::Test;

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
