#include "net/signal_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <set>

namespace baton {
namespace {

bool IsBlocked(int number) {
  sigset_t set;
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, nullptr, &set), 0);
  return sigismember(&set, number) == 1;
}

// Unblocks what a test blocked; the test has read what was pending.
class RestoreSignals {
 public:
  RestoreSignals() { pthread_sigmask(SIG_BLOCK, nullptr, &saved_); }
  ~RestoreSignals() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }

 private:
  sigset_t saved_;
};

TEST(SignalFdTest, BlocksTheNamedSignalsAndNoOthers) {
  const RestoreSignals restore;
  const auto signals = SignalFd::Create({SIGUSR1, SIGHUP});
  ASSERT_TRUE(signals.ok()) << signals.status();
  EXPECT_TRUE(IsBlocked(SIGUSR1));
  EXPECT_TRUE(IsBlocked(SIGHUP));
  for (const int number : {SIGUSR2, SIGTERM, SIGSEGV, SIGABRT}) {
    EXPECT_FALSE(IsBlocked(number)) << number;
  }
  EXPECT_TRUE(fcntl(signals->fd(), F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(fcntl(signals->fd(), F_GETFD) & FD_CLOEXEC);
}

TEST(SignalFdTest, TellsNumberAndSender) {
  const RestoreSignals restore;
  auto signals = SignalFd::Create({SIGUSR1, SIGHUP});
  ASSERT_TRUE(signals.ok());
  EXPECT_FALSE(signals->Next().has_value());
  ASSERT_EQ(kill(getpid(), SIGHUP), 0);
  ASSERT_EQ(kill(getpid(), SIGUSR1), 0);
  pollfd poll_fd = {signals->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
  std::set<uint32_t> numbers;
  while (const auto info = signals->Next()) {
    numbers.insert(info->ssi_signo);
    EXPECT_EQ(info->ssi_pid, static_cast<uint32_t>(getpid()));
  }
  EXPECT_EQ(numbers, (std::set<uint32_t>{SIGHUP, SIGUSR1}));
}

TEST(SignalFdTest, SignalsOfOneNumberCoalesce) {
  const RestoreSignals restore;
  auto signals = SignalFd::Create({SIGUSR1});
  ASSERT_TRUE(signals.ok());
  for (int i = 0; i < 3; ++i) ASSERT_EQ(kill(getpid(), SIGUSR1), 0);
  EXPECT_TRUE(signals->Next().has_value());
  EXPECT_FALSE(signals->Next().has_value());
}

TEST(SignalFdTest, PendingSignalsOutliveTheDescriptor) {
  const RestoreSignals restore;
  {
    const auto first = SignalFd::Create({SIGUSR1});
    ASSERT_TRUE(first.ok());
    ASSERT_EQ(kill(getpid(), SIGUSR1), 0);
  }
  EXPECT_TRUE(IsBlocked(SIGUSR1));
  auto second = SignalFd::Create({SIGUSR1});
  ASSERT_TRUE(second.ok());
  const auto info = second->Next();
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->ssi_signo, static_cast<uint32_t>(SIGUSR1));
}

TEST(SignalFdDeathTest, FaultsAndTheUnblockableAreABug) {
  for (const int number : {SIGSEGV, SIGABRT, SIGKILL, SIGSTOP}) {
    EXPECT_DEATH((void)SignalFd::Create({number}), "must not be blocked");
  }
  EXPECT_DEATH((void)SignalFd::Create({0}), "signal 0");
}

}  // namespace
}  // namespace baton
