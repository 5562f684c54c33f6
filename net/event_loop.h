#ifndef BATON_NET_EVENT_LOOP_H_
#define BATON_NET_EVENT_LOOP_H_

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/clock.h"
#include "net/counter.h"
#include "net/slab.h"
#include "net/timer_wheel.h"
#include "net/unique_fd.h"

namespace baton {

// One thread's event loop: an edge-triggered epoll instance, a timer wheel on
// one timerfd, and a ready list.
//
// The problem with edge-triggered sockets is that an edge is told once: whoever
// is told must either use it up or remember it. The loop's answer is the ready
// list. A client that stops before it met EAGAIN, to be fair to others, puts
// itself on the list and is called again in the next round; while the list is
// not empty, epoll_wait does not block. Each round swaps the list first, so a
// round is bounded and no client can keep the loop to itself.
//
// epoll's data word is never a pointer. It names a client of the loop, an index
// into that client's table, and the generation of that index: an event that
// outlived its owner (a copy of the descriptor lives in another process:
// epoll(7), Q6) has an old generation and is recognised and dropped.
//
// A turn is: wait; read the clock once; events; due timers; the ready list;
// coroutines to be resumed. now_nanos() is the cached time of the turn. All
// members are for the loop's own thread.
//
// A loop that comes late (the process was stopped, a handler computed) finds
// deadlines that have passed, and events of peers that had kept them: behind
// one batch of epoll_wait, or behind an epoll_wait that the stop interrupted or
// that returned just before it. So a late turn fetches once more after it has
// read the clock, and then timers wait until a batch is not full; for a second
// at most, and once until that batch, so that no load can starve them.

// Receives what happens to a plain descriptor, see FdWatch.
class EventHandler {
 public:
  virtual ~EventHandler() = default;
  // `events`: EPOLLIN and so on, edge-triggered. May destroy the watch and the
  // handler.
  virtual void OnEvents(uint32_t events) = 0;
};

// A table of things that the loop serves in large numbers (the connections of a
// worker).
class LoopClient {
 public:
  virtual ~LoopClient() = default;
  // `generation` is the one that was given to AddFd or MakeReady; the client
  // checks it.
  virtual void OnEvents(uint32_t index, uint32_t generation,
                        uint32_t events) = 0;
  // `node` is no longer filed; its real deadline may be later (timer_wheel.h).
  virtual void OnTimer(TimerNode* node) = 0;
};

// What a watchdog in another process needs to know of a loop. Written by the
// loop, relaxed.
struct LoopHeartbeat {
  std::atomic<uint64_t> turns{0};  // grows by one when a turn begins
  std::atomic<uint64_t> waiting{
      0};  // 1 while in epoll_wait: a loop that waits is never stuck
};

// Told how long each turn of a loop has taken, which it costs the loop one more
// look at the clock to know.
class TurnObserver {
 public:
  virtual ~TurnObserver() = default;
  virtual void OnTurnEnd(int64_t nanos) = 0;
};

class EventLoop {
 public:
  static constexpr uint32_t kGenerationMask = (1u << 28) - 1;
  // Set in `events` of a call that comes from the ready list.
  static constexpr uint32_t kReadyEvent = 1u << 27;
  static constexpr int kEventsPerTurn = 256;

  // `clock` outlives the loop. With a clock other than MonotonicClock no
  // timerfd is armed: the test moves the clock and calls Turn.
  static absl::StatusOr<std::unique_ptr<EventLoop>> Create(
      Clock* clock = MonotonicClock::Get());
  ~EventLoop();

  // The loop of this thread, for code that runs on it; CHECKs that there is
  // one.
  static EventLoop& Current();

  // In the child of a fork: the loop that this thread had is the parent's. It
  // must never be touched or destroyed here: its epoll set is shared with the
  // parent - epoll(7). This thread may create one of its own.
  static void LeaveToParent();

  // Runs turns until Stop(), which may come before Run: then there is none. A
  // loop that was stopped stays so.
  void Run();
  void Stop() { stopped_ = true; }
  // One turn. With `wait`, blocks until there is something to do.
  void Turn(bool wait);

  void SetHeartbeat(LoopHeartbeat* heartbeat) { heartbeat_ = heartbeat; }
  // It outlives the loop's turns.
  void SetTurnObserver(TurnObserver* observer) { turn_observer_ = observer; }

  int64_t now_nanos() const { return now_nanos_; }
  // Ticks since the loop began, rounded down.
  Tick now_tick() const { return now_tick_; }
  // For deadlines that must not be early even if they begin late in a turn.
  int64_t FreshNowNanos() const { return clock_->NowNanos(); }
  TimerWheel& wheel() { return wheel_; }
  void FileTimer(TimerNode* node, Tick tick) { wheel_.File(node, tick); }

  // For clients with a table of their own. A client stays until the loop is
  // destroyed.
  uint8_t AddClient(LoopClient* client);
  // Edge-triggered; `events` without EPOLLET. Returns errno, 0 if it went well.
  int AddFd(int fd, uint32_t events, uint8_t client, uint32_t index,
            uint32_t generation);
  void RemoveFd(int fd);
  // The client is called with kReadyEvent in the next round.
  void MakeReady(uint8_t client, uint32_t index, uint32_t generation) {
    ready_.push_back(Token(client, index, generation));
  }
  // Resumes `coroutine` in the next round: for wake-ups that come from inside
  // another coroutine. It must stay suspended until then.
  void ResumeSoon(std::coroutine_handle<> coroutine) {
    resumes_.push_back(coroutine);
  }
  bool HasReady() const { return !ready_.empty() || !resumes_.empty(); }

  // Events that epoll told of something that is gone.
  void SetStaleEventCounter(Counter* counter) { stale_events_ = counter; }
  uint64_t stale_events() const { return stale_events_->value(); }
  // `events` as the client was given them.
  void CountStale(uint32_t events) {
    if ((events & kReadyEvent) == 0) stale_events_->Add(1);
  }

 private:
  friend class FdWatch;
  friend class TimerBase;
  struct Watched {
    EventHandler* handler = nullptr;
    uint32_t generation = 0;
    bool queued = false;  // in the ready list
  };
  struct NoHandler final : EventHandler {
    void OnEvents(uint32_t /*events*/) override {}
  };
  static constexpr uint32_t kTimerFdIndex = 0;
  static constexpr int kMaxClients = 8;
  static constexpr uint8_t kLoopItself = 0;  // handlers and Timers
  static constexpr int64_t kLateTurnNanos = 100'000'000;
  static constexpr int64_t kCatchUpNanos = 1'000'000'000;

  EventLoop(Clock* clock, UniqueFd epoll, UniqueFd timer);

  static uint64_t Token(uint8_t client, uint32_t index, uint32_t generation) {
    return uint64_t{client} << 60 |
           uint64_t{generation & kGenerationMask} << 32 | index;
  }
  void Dispatch(uint64_t token, uint32_t events);
  void DispatchToHandler(uint32_t index, uint32_t generation, uint32_t events);
  int CatchUp(epoll_event* events, int count);  // returns the new count
  // The first tick at which it is `nanos` of the clock; the present one if that
  // is past; the last one that can be filed.
  Tick TickAt(int64_t nanos) const;
  void RunTimers(bool full_batch);
  void RunReady();
  void ArmTimerFd();

  Clock* const clock_;
  const UniqueFd epoll_;
  const UniqueFd timer_;
  const int64_t start_nanos_;
  int64_t now_nanos_;
  Tick now_tick_ = 0;
  int64_t hold_timers_until_ = 0;  // 0: they have not been held up
  bool stopped_ = false;
  bool armed_ = false;
  Tick armed_tick_ = 0;
  LoopHeartbeat own_heartbeat_;
  LoopHeartbeat* heartbeat_ = &own_heartbeat_;
  TurnObserver* turn_observer_ = nullptr;
  TimerWheel wheel_{0};
  std::array<LoopClient*, kMaxClients> clients_{};
  uint8_t client_count_ = 1;
  NoHandler timer_fd_handler_;
  Slab<Watched> watched_;
  std::vector<uint64_t> ready_, ready_now_;
  std::vector<std::coroutine_handle<>> resumes_, resumes_now_;
  Counter own_stale_events_;
  Counter* stale_events_ = &own_stale_events_;
};

// Keeps a descriptor in the loop's epoll set while it lives. The handler may be
// called until then.
class FdWatch {
 public:
  FdWatch() = default;
  FdWatch(FdWatch&& other) noexcept { *this = std::move(other); }
  FdWatch& operator=(FdWatch&& other) noexcept;
  ~FdWatch() { Stop(); }

  // `events` as in epoll_ctl(2), edge-triggered in any case. `fd` outlives the
  // watch.
  static absl::StatusOr<FdWatch> Start(EventLoop& loop, int fd, uint32_t events,
                                       EventHandler* handler);
  void Stop();
  bool active() const { return loop_ != nullptr; }
  // The handler is called in the next round with `events` in any case, for an
  // edge that it could not use up.
  void MakeReady();

 private:
  EventLoop* loop_ = nullptr;
  int fd_ = -1;
  uint32_t index_ = 0;
};

// A timer with a deadline of its own, counted from the clock and not from the
// turn. Fires at most 5 ms late (a tick) if the loop is not, never early.
class TimerBase : public TimerNode {
 public:
  bool pending() const { return filed(); }

 protected:
  explicit TimerBase(EventLoop& loop) : TimerNode(0), loop_(loop) {}
  ~TimerBase() { Cancel(); }

  void Start(absl::Duration after);
  void Cancel() { loop_.wheel().Remove(this); }
  EventLoop& loop() const { return loop_; }

 private:
  friend class EventLoop;
  virtual void OnDue() = 0;

  EventLoop& loop_;
  int64_t due_nanos_ = 0;
};

// Calls a function. Neither copied nor moved.
class Timer final : public TimerBase {
 public:
  Timer(EventLoop& loop, absl::AnyInvocable<void()> on_due)
      : TimerBase(loop), on_due_(std::move(on_due)) {}

  // Puts it off or forward if it is pending. InfiniteDuration() = never; zero
  // or less = at the next tick. on_due may start it again or destroy it.
  void Start(absl::Duration after) { TimerBase::Start(after); }
  void Cancel() { TimerBase::Cancel(); }

 private:
  void OnDue() override { on_due_(); }

  absl::AnyInvocable<void()> on_due_;
};

}  // namespace baton

#endif  // BATON_NET_EVENT_LOOP_H_
