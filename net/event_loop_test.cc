#include "net/event_loop.h"

#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "net/clock.h"

namespace baton {
namespace {

class Recorder final : public EventHandler {
 public:
  void OnEvents(uint32_t events) override {
    seen.push_back(events);
    if (then) then();
  }
  std::vector<uint32_t> seen;
  absl::AnyInvocable<void()> then;
};

UniqueFd MakeEventFd() {
  return UniqueFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}
void Signal(const UniqueFd& fd) {
  const uint64_t one = 1;
  ASSERT_EQ(write(fd.get(), &one, sizeof(one)), 8);
}

TEST(EventLoop, AnEdgeIsToldOnce) {
  auto loop = EventLoop::Create().value();
  UniqueFd fd = MakeEventFd();
  Recorder recorder;
  FdWatch watch = FdWatch::Start(*loop, fd.get(), EPOLLIN, &recorder).value();
  Signal(fd);
  loop->Turn(/*wait=*/true);
  loop->Turn(/*wait=*/false);
  EXPECT_EQ(recorder.seen, (std::vector<uint32_t>{EPOLLIN}));
}

TEST(EventLoop, MakeReadyCallsAgainWithoutAnEvent) {
  auto loop = EventLoop::Create().value();
  UniqueFd fd = MakeEventFd();
  Recorder recorder;
  FdWatch watch = FdWatch::Start(*loop, fd.get(), EPOLLIN, &recorder).value();
  watch.MakeReady();
  EXPECT_TRUE(loop->HasReady());
  loop->Turn(/*wait=*/true);  // does not block
  EXPECT_EQ(recorder.seen, (std::vector<uint32_t>{EventLoop::kReadyEvent}));
  EXPECT_FALSE(loop->HasReady());
}

// One that is always ready is called once a round: others get their turn.
TEST(EventLoop, ARoundIsBounded) {
  auto loop = EventLoop::Create().value();
  UniqueFd fd = MakeEventFd();
  Recorder recorder;
  FdWatch watch = FdWatch::Start(*loop, fd.get(), EPOLLIN, &recorder).value();
  recorder.then = [&] { watch.MakeReady(); };
  watch.MakeReady();
  for (int i = 0; i < 5; ++i) loop->Turn(/*wait=*/true);
  EXPECT_EQ(recorder.seen.size(), 5u);
}

TEST(EventLoop, ReadyTwiceIsReadyOnce) {
  auto loop = EventLoop::Create().value();
  UniqueFd fd = MakeEventFd();
  Recorder recorder;
  FdWatch watch = FdWatch::Start(*loop, fd.get(), EPOLLIN, &recorder).value();
  recorder.then = [&] {
    watch.MakeReady();
    watch.MakeReady();
  };
  watch.MakeReady();
  for (int i = 0; i < 5; ++i) loop->Turn(/*wait=*/false);
  EXPECT_EQ(recorder.seen.size(), 5u);
}

TEST(EventLoop, AStopBeforeRunCounts) {
  auto loop = EventLoop::Create().value();
  loop->Stop();
  loop->Run();
}

TEST(EventLoop, AHandlerMayStopAWatchWhoseEventIsInTheSameBatch) {
  auto loop = EventLoop::Create().value();
  UniqueFd one = MakeEventFd(), two = MakeEventFd();
  Recorder a, b;
  FdWatch watch_a = FdWatch::Start(*loop, one.get(), EPOLLIN, &a).value();
  FdWatch watch_b = FdWatch::Start(*loop, two.get(), EPOLLIN, &b).value();
  a.then = [&] { watch_b.Stop(); };
  b.then = [&] { watch_a.Stop(); };
  Signal(one);
  Signal(two);
  loop->Turn(/*wait=*/true);
  loop->Turn(/*wait=*/false);
  EXPECT_EQ(a.seen.size() + b.seen.size(), 1u);
  EXPECT_EQ(loop->stale_events(), 1u);
}

// A copy of the descriptor keeps the registration alive after close (epoll(7),
// Q6): its events carry an old generation.
TEST(EventLoop, AReusedIndexDoesNotGetAStaleReadyCall) {
  auto loop = EventLoop::Create().value();
  UniqueFd one = MakeEventFd(), two = MakeEventFd();
  Recorder a, b;
  FdWatch watch = FdWatch::Start(*loop, one.get(), EPOLLIN, &a).value();
  watch.MakeReady();
  watch.Stop();
  watch = FdWatch::Start(*loop, two.get(), EPOLLIN, &b).value();
  loop->Turn(/*wait=*/false);
  EXPECT_TRUE(a.seen.empty());
  EXPECT_TRUE(b.seen.empty());
  EXPECT_EQ(loop->stale_events(), 0u) << "epoll told nothing wrong";
}

TEST(EventLoop, RefusesADescriptorThatEpollRefuses) {
  auto loop = EventLoop::Create().value();
  Recorder recorder;
  EXPECT_FALSE(FdWatch::Start(*loop, -1, EPOLLIN, &recorder).ok());
}

TEST(Timer, FiresByTheTimerFd) {
  auto loop = EventLoop::Create().value();
  bool fired = false;
  const int64_t start = MonotonicClock::Get()->NowNanos();
  Timer timer(*loop, [&] {
    fired = true;
    loop->Stop();
  });
  timer.Start(absl::Milliseconds(20));
  loop->Run();
  EXPECT_TRUE(fired);
  EXPECT_GE(MonotonicClock::Get()->NowNanos() - start, 20'000'000);
}

TEST(Timer, MayBePutOffCancelledAndStartedFromItself) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  int fired = 0;
  Timer* self = nullptr;
  Timer timer(*loop, [&] {
    if (++fired < 3) self->Start(absl::Seconds(1));
  });
  self = &timer;
  timer.Start(absl::Seconds(1));
  timer.Start(absl::Seconds(5));
  auto advance = [&](absl::Duration by) {
    clock.Advance(by);
    loop->Turn(/*wait=*/false);
  };
  advance(absl::Seconds(2));
  EXPECT_EQ(fired, 0);
  advance(absl::Seconds(4));
  EXPECT_EQ(fired, 1);
  advance(absl::Milliseconds(1010));
  EXPECT_EQ(fired, 2);
  timer.Cancel();
  advance(absl::Seconds(10));
  EXPECT_EQ(fired, 2);
}

TEST(Timer, CountsFromTheClockNotFromTheTurn) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  bool fired = false;
  Timer second(*loop, [&] { fired = true; });
  Timer first(*loop, [&] {
    clock.Advance(absl::Milliseconds(500));  // a long turn
    second.Start(absl::Milliseconds(400));
  });
  first.Start(absl::Milliseconds(1));
  clock.Advance(absl::Milliseconds(10));
  loop->Turn(/*wait=*/false);
  clock.Advance(absl::Milliseconds(390));
  loop->Turn(/*wait=*/false);
  EXPECT_FALSE(fired);
  clock.Advance(absl::Milliseconds(15));
  loop->Turn(/*wait=*/false);
  EXPECT_TRUE(fired);
}

TEST(Timer, LongPastIsDueAtOnce) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  int fired = 0;
  Timer hours(*loop, [&] { ++fired; });
  hours.Start(absl::Hours(-1));
  Timer months(*loop, [&] { ++fired; });
  months.Start(absl::Hours(-24 * 120));  // further than ticks can tell
  Timer ever(*loop, [&] { ++fired; });
  ever.Start(-absl::InfiniteDuration());
  clock.Advance(absl::Milliseconds(5));
  loop->Turn(/*wait=*/false);
  EXPECT_EQ(fired, 3);
}

TEST(Timer, MayBeMonthsAhead) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  int day = 0;
  int fired_on = 0;
  Timer timer(*loop, [&] { fired_on = day; });
  timer.Start(absl::Hours(24 * 90));
  Timer never(*loop, [&] { fired_on = -1; });
  never.Start(absl::Nanoseconds(std::numeric_limits<int64_t>::max()));
  for (day = 1; day <= 120; ++day) {
    for (int minute = 0; minute < 24 * 60; ++minute) {
      clock.Advance(absl::Minutes(1));
      loop->Turn(/*wait=*/false);
    }
  }
  EXPECT_EQ(fired_on, 90);
}

TEST(Timer, MayBeStartedAfterMonthsWithoutOne) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  UniqueFd fd = MakeEventFd();
  Recorder recorder;
  FdWatch watch = FdWatch::Start(*loop, fd.get(), EPOLLIN, &recorder).value();
  bool fired = false;
  Timer timer(*loop, [&] { fired = true; });
  recorder.then = [&] { timer.Start(absl::Seconds(1)); };
  loop->Turn(/*wait=*/false);
  clock.Advance(absl::Hours(24 * 110));
  Signal(fd);
  loop->Turn(/*wait=*/false);
  clock.Advance(absl::Milliseconds(1010));
  loop->Turn(/*wait=*/false);
  EXPECT_TRUE(fired);
}

TEST(EventLoop, AfterALateTurnEventsComeBeforeTimers) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  std::vector<UniqueFd> fds;
  std::vector<FdWatch> watches;
  Recorder recorder;
  size_t seen_before_timer = 0;
  Timer deadline(*loop, [&] { seen_before_timer = recorder.seen.size(); });
  deadline.Start(absl::Seconds(60));
  constexpr int kFds = EventLoop::kEventsPerTurn * 5 / 2;
  for (int i = 0; i < kFds; ++i) {
    fds.push_back(MakeEventFd());
    watches.push_back(
        FdWatch::Start(*loop, fds.back().get(), EPOLLIN, &recorder).value());
  }
  loop->Turn(/*wait=*/false);
  for (const UniqueFd& fd : fds) Signal(fd);
  clock.Advance(absl::Seconds(61));  // frozen
  for (int i = 0; i < 3; ++i) loop->Turn(/*wait=*/false);
  EXPECT_EQ(seen_before_timer, size_t{kFds});
}

// Stopped when epoll_wait has returned and the clock is not yet read.
TEST(EventLoop, EventsOfAStopAfterTheFetchComeBeforeTimers) {
  struct StoppingClock final : Clock {
    int64_t NowNanos() override {
      if (stop) std::exchange(stop, nullptr)();
      return clock.NowNanos();
    }
    SimulatedClock clock;
    absl::AnyInvocable<void()> stop;
  } clock;
  auto loop = EventLoop::Create(&clock).value();
  UniqueFd fd = MakeEventFd();
  Recorder recorder;
  FdWatch watch = FdWatch::Start(*loop, fd.get(), EPOLLIN, &recorder).value();
  size_t seen_before_timer = 0;
  Timer deadline(*loop, [&] { seen_before_timer = recorder.seen.size(); });
  deadline.Start(absl::Seconds(60));
  clock.stop = [&] {
    clock.clock.Advance(absl::Seconds(61));
    Signal(fd);
  };
  loop->Turn(/*wait=*/false);
  EXPECT_FALSE(deadline.pending());
  EXPECT_EQ(seen_before_timer, 1u);
}

// Peers that are never out of work do not hold timers up for long.
TEST(EventLoop, FullBatchesHoldTimersUpForASecondAtMost) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  std::vector<UniqueFd> fds;
  std::vector<FdWatch> watches;
  Recorder recorder;
  bool fired = false;
  Timer deadline(*loop, [&] { fired = true; });
  deadline.Start(absl::Seconds(60));
  for (int i = 0; i < 300; ++i) {
    fds.push_back(MakeEventFd());
    watches.push_back(
        FdWatch::Start(*loop, fds.back().get(), EPOLLIN, &recorder).value());
  }
  clock.Advance(absl::Seconds(61));
  absl::Duration held;
  while (!fired && held < absl::Seconds(10)) {
    for (const UniqueFd& fd : fds) Signal(fd);  // as fast as they are served
    loop->Turn(/*wait=*/false);
    clock.Advance(absl::Milliseconds(50));
    held += absl::Milliseconds(50);
  }
  EXPECT_GE(held, absl::Milliseconds(900));
  EXPECT_LE(held, absl::Milliseconds(1100));
}

// Overload, where every turn is late, is no reason to hold timers up again.
TEST(EventLoop, LateTurnsThatFollowDoNotHoldTimersUpForLonger) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  std::vector<UniqueFd> fds;
  std::vector<FdWatch> watches;
  Recorder recorder;
  int fired = 0;
  Timer* self = nullptr;
  Timer timer(*loop, [&] {
    ++fired;
    self->Start(absl::Seconds(1));
  });
  self = &timer;
  timer.Start(absl::Seconds(1));
  for (int i = 0; i < EventLoop::kEventsPerTurn; ++i) {
    fds.push_back(MakeEventFd());
    watches.push_back(
        FdWatch::Start(*loop, fds.back().get(), EPOLLIN, &recorder).value());
  }
  for (int i = 0; i < 100; ++i) {
    for (const UniqueFd& fd : fds) Signal(fd);
    clock.Advance(absl::Milliseconds(150));
    loop->Turn(/*wait=*/false);
  }
  EXPECT_GE(fired, 10);
}

// A batch that is full and the last.
TEST(EventLoop, TimersThatWereHeldUpRunWithoutAnEvent) {
  auto loop = EventLoop::Create().value();
  std::vector<UniqueFd> fds;
  std::vector<FdWatch> watches;
  Recorder recorder;
  // With the loop's timerfd, which expires first.
  for (int i = 0; i < EventLoop::kEventsPerTurn - 1; ++i) {
    fds.push_back(MakeEventFd());
    watches.push_back(
        FdWatch::Start(*loop, fds.back().get(), EPOLLIN, &recorder).value());
  }
  bool fired = false;
  Timer timer(*loop, [&] {
    fired = true;
    loop->Stop();
  });
  Recorder handler;
  handler.then = [&] {
    const int64_t start = loop->FreshNowNanos();
    while (loop->FreshNowNanos() - start < 150'000'000) continue;  // computes
    for (const UniqueFd& fd : fds) Signal(fd);
  };
  UniqueFd begin = MakeEventFd();
  FdWatch watch = FdWatch::Start(*loop, begin.get(), EPOLLIN, &handler).value();
  // Ends the test if the loop waits without a time-out.
  UniqueFd guard(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  const itimerspec when = {.it_interval = {},
                           .it_value = {.tv_sec = 20, .tv_nsec = 0}};
  ASSERT_EQ(timerfd_settime(guard.get(), 0, &when, nullptr), 0);
  Recorder guarded;
  guarded.then = [&] {
    EXPECT_TRUE(fired);
    loop->Stop();
  };
  FdWatch guard_watch =
      FdWatch::Start(*loop, guard.get(), EPOLLIN, &guarded).value();
  timer.Start(absl::Milliseconds(10));
  Signal(begin);
  loop->Run();
  EXPECT_TRUE(fired);
}

TEST(EventLoop, HeartbeatCountsTurns) {
  auto loop = EventLoop::Create().value();
  LoopHeartbeat heartbeat;
  loop->SetHeartbeat(&heartbeat);
  loop->Turn(/*wait=*/false);
  loop->Turn(/*wait=*/false);
  EXPECT_EQ(heartbeat.turns.load(), 2u);
  EXPECT_EQ(heartbeat.waiting.load(), 0u);
}

}  // namespace
}  // namespace baton
