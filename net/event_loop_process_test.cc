// What the loop does when its process is stopped and continued.

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <fstream>
#include <new>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/event_loop.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

constexpr int kPeers = 3;

// In memory that parent and child share: the parent moves the clock.
struct Shared final : Clock {
  int64_t NowNanos() override { return now_nanos.load(); }

  std::atomic<int64_t> now_nanos{1'000'000'000};
  LoopHeartbeat heartbeat;
};

class Counting final : public EventHandler {
 public:
  void OnEvents(uint32_t /*events*/) override { ++count; }
  char count = 0;
};

// Writes how many peers were heard before a deadline of a minute.
void RunChild(Shared* shared, const std::array<UniqueFd, kPeers>& peers,
              int result) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  auto loop = EventLoop::Create(shared).value();
  Counting counting;
  std::vector<FdWatch> watches;
  for (const UniqueFd& peer : peers) {
    watches.push_back(
        FdWatch::Start(*loop, peer.get(), EPOLLIN, &counting).value());
  }
  Timer deadline(*loop, [&] {
    if (write(result, &counting.count, 1) != 1) abort();
    loop->Stop();
  });
  deadline.Start(absl::Minutes(1));
  loop->SetHeartbeat(&shared->heartbeat);
  loop->Run();
}

// The third field of proc_pid_stat(5).
char StateOf(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string line;
  std::getline(file, line);
  const size_t comm_end = line.rfind(')');
  return comm_end == std::string::npos ? '?' : line[comm_end + 2];
}

// epoll_wait then ends with EINTR and tells nothing of what came meanwhile
// (signal(7)).
TEST(StoppedProcess, HearsItsPeersBeforeItsTimers) {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* shared = new (memory) Shared;
  std::array<UniqueFd, kPeers> peers;
  for (UniqueFd& peer : peers)
    peer.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  UniqueFd result(ends[0]), child_result(ends[1]);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    RunChild(shared, peers, child_result.get());
    _exit(0);
  }
  child_result.reset();

  const int64_t give_up =
      MonotonicClock::Get()->NowNanos() + int64_t{20'000'000'000};
  while ((shared->heartbeat.waiting.load() == 0 || StateOf(child) != 'S') &&
         MonotonicClock::Get()->NowNanos() < give_up) {
    sched_yield();
  }
  ASSERT_EQ(shared->heartbeat.waiting.load(), 1u);
  ASSERT_EQ(kill(child, SIGSTOP), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  for (const UniqueFd& peer : peers) {
    const uint64_t one = 1;
    ASSERT_EQ(write(peer.get(), &one, sizeof(one)), 8);
  }
  shared->now_nanos += absl::ToInt64Nanoseconds(absl::Seconds(61));
  ASSERT_EQ(kill(child, SIGCONT), 0);

  pollfd readable = {.fd = result.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&readable, 1, 20'000), 1);
  kill(child, SIGKILL);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  char heard = 0;
  EXPECT_EQ(read(result.get(), &heard, 1), 1);
  EXPECT_EQ(heard, kPeers);
  munmap(memory, sizeof(Shared));
}

}  // namespace
}  // namespace baton
