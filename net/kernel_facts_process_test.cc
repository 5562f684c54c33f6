// What baton relies on the kernel for, where processes, signals and passed
// descriptors are concerned. See kernel_facts_test.cc for why these are tests.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "net/signal_fd.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    reader.reset(ends[0]);
    writer.reset(ends[1]);
  }
  // Whether every copy of the writing end is closed.
  bool IsAtEnd() const {
    char byte;
    return read(reader.get(), &byte, 1) == 0;
  }

  UniqueFd reader;
  UniqueFd writer;
};

std::pair<UniqueFd, UniqueFd> SeqpacketPair() {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Sends one byte with `fds`; 0 or the errno.
int SendFds(int socket, absl::Span<const int> fds) {
  char byte = 'x';
  iovec part = {&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(300 * sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  return sendmsg(socket, &message, MSG_DONTWAIT) == 1 ? 0 : errno;
}

// Receives a message with a control buffer for `room` descriptors.
std::vector<UniqueFd> ReceiveFds(int socket, size_t room, int& flags) {
  char byte;
  iovec part = {&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(300 * sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  // CMSG_LEN: CMSG_SPACE would round up to room for one more.
  message.msg_controllen = CMSG_LEN(room * sizeof(int));
  EXPECT_EQ(recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT), 1);
  flags = message.msg_flags;
  std::vector<UniqueFd> fds;
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header == nullptr) return fds;
  const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  for (size_t i = 0; i < count; ++i) {
    int fd;
    memcpy(&fd, CMSG_DATA(header) + i * sizeof(fd), sizeof(fd));
    fds.emplace_back(fd);
  }
  return fds;
}

int WaitFor(pid_t child) {
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

// unix(7): at most SCM_MAX_FD descriptors a message. baton: a batch of a
// handover is that long.
TEST(KernelFactsProcessTest, AMessageCarries253Descriptors) {
  const auto [a, b] = SeqpacketPair();
  const std::vector<int> fds(254, a.get());
  EXPECT_EQ(SendFds(a.get(), fds), EINVAL);
  EXPECT_EQ(SendFds(a.get(), absl::MakeSpan(fds).first(253)), 0);
  int flags = 0;
  EXPECT_EQ(ReceiveFds(b.get(), 253, flags).size(), 253u);
  EXPECT_EQ(flags & MSG_CTRUNC, 0);
}

// unix(7): descriptors for which there is no room are closed in the receiver,
// and MSG_CTRUNC is all that is said. baton: the receiver refuses such a
// message as a whole, and the sender keeps its copies until it is acknowledged.
TEST(KernelFactsProcessTest, DescriptorsThatDoNotFitAreClosed) {
  const auto [a, b] = SeqpacketPair();
  Pipe fits, too_much;
  ASSERT_EQ(SendFds(a.get(), {fits.writer.get(), too_much.writer.get()}), 0);
  fits.writer.reset();
  too_much.writer.reset();
  EXPECT_FALSE(too_much.IsAtEnd()) << "the message holds it";
  int flags = 0;
  const std::vector<UniqueFd> fds = ReceiveFds(b.get(), 1, flags);
  EXPECT_TRUE(flags & MSG_CTRUNC);
  EXPECT_EQ(fds.size(), 1u);
  EXPECT_FALSE(fits.IsAtEnd());
  EXPECT_TRUE(too_much.IsAtEnd());
}

// signalfd(2), fork(2) handling: a read gives the signals of the process that
// reads, but an epoll set was armed with those of the process that added it,
// and inheriting the set changes nothing about that. baton: a worker makes its
// own epoll and its own signalfd.
TEST(KernelFactsProcessTest, InheritedEpollNeverReportsTheChildsSignals) {
  // In a child of its own, so that nothing stays blocked here.
  const pid_t parent = fork();
  if (parent == 0) {
    auto signals = SignalFd::Create({SIGUSR1});
    const int inherited = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event = {EPOLLIN, {}};
    if (!signals.ok() ||
        epoll_ctl(inherited, EPOLL_CTL_ADD, signals->fd(), &event) < 0) {
      _exit(2);
    }
    const pid_t child = fork();
    if (child == 0) {
      if (raise(SIGUSR1) != 0) _exit(3);
      if (epoll_wait(inherited, &event, 1, 0) != 0) _exit(4);
      const int own = epoll_create1(EPOLL_CLOEXEC);
      event = {EPOLLIN, {}};
      epoll_ctl(own, EPOLL_CTL_ADD, signals->fd(), &event);
      if (epoll_wait(own, &event, 1, 0) != 1) _exit(5);
      _exit(signals->Next().has_value() ? 0 : 6);
    }
    int status = -1;
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 7);
  }
  const int status = WaitFor(parent);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// signal(7): blocked signals stay pending across execve, and so does the mask.
// baton: an upgrade in place loses no signal.
TEST(KernelFactsProcessTest, BlockedSignalsStayPendingAcrossExec) {
  const pid_t child = fork();
  if (child == 0) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) _exit(2);
    if (raise(SIGUSR1) != 0) _exit(3);
    // The tenth bit of both masks is SIGUSR1 - proc(5).
    execlp("awk", "awk",
           "/^Sig(Pnd|Blk):.*[2367abef]..$/ {n++} END {exit n != 2}",
           "/proc/self/status", nullptr);
    _exit(4);
  }
  const int status = WaitFor(child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// prctl(2), PR_SET_PDEATHSIG: the parent is the thread that forked. baton:
// forks only from the main thread of the master, which ends with the process.
TEST(KernelFactsProcessTest, ParentDeathSignalIsThatOfTheForkingThread) {
  int ready[2];
  ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
  const UniqueFd reader(ready[0]);
  UniqueFd writer(ready[1]);
  pid_t child = -1;
  std::thread forker([&] {
    child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      (void)!write(writer.get(), "x", 1);
      for (;;) pause();
    }
    char byte;
    EXPECT_EQ(read(reader.get(), &byte, 1), 1);
    // The child is armed, and this thread ends. The process goes on.
  });
  forker.join();
  const int status = WaitFor(child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

// memfd_create(2), fcntl(2) F_ADD_SEALS: a sealed size is final for everybody.
// A reader of a mapping whose file was truncated gets SIGBUS. baton: a worker
// that runs wild can write nonsense into its scoreboard, but not kill the
// master that reads it.
TEST(KernelFactsProcessTest, SealedMemfdKeepsItsSize) {
  const UniqueFd fd(memfd_create("facts", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_TRUE(fd);
  ASSERT_EQ(ftruncate(fd.get(), 4096), 0);
  ASSERT_EQ(
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
      0);
  EXPECT_EQ(ftruncate(fd.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(fd.get(), 8192), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(fallocate(fd.get(), 0, 0, 8192), -1);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  EXPECT_EQ(errno, EPERM);
  // Writing within it is what it is for.
  EXPECT_EQ(pwrite(fd.get(), "x", 1, 4095), 1);
}

// memfd_create(2) with a read-only mapping: what is mapped from a descriptor
// reopened for reading can't be made writable. baton: every process but its
// worker sees a scoreboard that way.
TEST(KernelFactsProcessTest, ReadOnlyCopyOfAMemfdCannotBeMappedForWriting) {
  const UniqueFd fd(memfd_create("facts", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_TRUE(fd);
  ASSERT_EQ(ftruncate(fd.get(), 4096), 0);
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  const UniqueFd read_only(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(read_only);
  EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
                 read_only.get(), 0),
            MAP_FAILED);
  EXPECT_EQ(errno, EACCES);
  void* const view =
      mmap(nullptr, 4096, PROT_READ, MAP_SHARED, read_only.get(), 0);
  ASSERT_NE(view, MAP_FAILED);
  EXPECT_EQ(mprotect(view, 4096, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
  munmap(view, 4096);
}

}  // namespace
}  // namespace baton
