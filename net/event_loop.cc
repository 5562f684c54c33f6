#include "net/event_loop.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/errno_status.h"

namespace baton {
namespace {

thread_local EventLoop* current_loop = nullptr;

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create(Clock* clock) {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return ErrnoStatus("epoll_create1", "", errno);
  UniqueFd timer;
  if (clock == MonotonicClock::Get()) {
    timer.reset(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!timer) return ErrnoStatus("timerfd_create", "", errno);
    // Edge-triggered and never read: an expiration is an edge whether or not
    // earlier ones were read (epoll(7)), and whether a timer is due is decided
    // by the clock alone.
    epoll_event event{.events = EPOLLIN | EPOLLET,
                      .data = {.u64 = Token(kLoopItself, kTimerFdIndex, 0)}};
    if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, timer.get(), &event) != 0) {
      return ErrnoStatus("epoll_ctl", "timerfd", errno);
    }
  }
  return absl::WrapUnique(
      new EventLoop(clock, std::move(epoll), std::move(timer)));
}

EventLoop::EventLoop(Clock* clock, UniqueFd epoll, UniqueFd timer)
    : clock_(clock),
      epoll_(std::move(epoll)),
      timer_(std::move(timer)),
      start_nanos_(clock->NowNanos()),
      now_nanos_(start_nanos_) {
  CHECK(current_loop == nullptr) << "a thread has one event loop";
  current_loop = this;
  // Due timers are run in every turn: the timerfd has only to end the wait.
  CHECK_EQ(watched_.Allocate(), kTimerFdIndex);
  watched_[kTimerFdIndex].handler = &timer_fd_handler_;
}

EventLoop::~EventLoop() { current_loop = nullptr; }

EventLoop& EventLoop::Current() {
  CHECK(current_loop != nullptr) << "this thread has no event loop";
  return *current_loop;
}

void EventLoop::LeaveToParent() { current_loop = nullptr; }

void EventLoop::Run() {
  while (!stopped_) Turn(/*wait=*/true);
}

void EventLoop::Turn(bool wait) {
  epoll_event events[kEventsPerTurn];
  if (timer_) ArmTimerFd();
  wait = wait && !HasReady() && !stopped_;
  if (wait) heartbeat_->waiting.store(1, std::memory_order_relaxed);
  // EINTR comes from SIGSTOP and SIGCONT even when no handler runs (signal(7)):
  // a turn without events.
  int count = epoll_wait(epoll_.get(), events, kEventsPerTurn, wait ? -1 : 0);
  PCHECK(count >= 0 || errno == EINTR) << "epoll_wait";
  heartbeat_->turns.store(heartbeat_->turns.load(std::memory_order_relaxed) + 1,
                          std::memory_order_relaxed);
  if (wait) heartbeat_->waiting.store(0, std::memory_order_relaxed);
  const int64_t before = std::exchange(now_nanos_, clock_->NowNanos());
  now_tick_ = static_cast<Tick>((now_nanos_ - start_nanos_) >> kTickShift);
  if (now_nanos_ - before >= kLateTurnNanos) [[unlikely]]
    count = CatchUp(events, count);
  for (int i = 0; i < count; ++i)
    Dispatch(events[i].data.u64, events[i].events);
  if (wheel_.now() != now_tick_) RunTimers(count == kEventsPerTurn);
  RunReady();
  if (turn_observer_ != nullptr)
    turn_observer_->OnTurnEnd(clock_->NowNanos() - now_nanos_);
}

// Much time has passed since the last turn: the loop waited, or it is late.
// Deadlines that are overdue then are judged only after a fetch that began
// later than they did.
int EventLoop::CatchUp(epoll_event* events, int count) {
  wheel_.SkipIfEmpty(now_tick_);
  const bool overdue =
      !wheel_.empty() && TickBefore(wheel_.NextTick(), now_tick_);
  if (count < 0 || (overdue && count < kEventsPerTurn)) {
    count = std::max(count, 0);
    const int more =
        epoll_wait(epoll_.get(), events + count, kEventsPerTurn - count, 0);
    PCHECK(more >= 0 || errno == EINTR) << "epoll_wait";
    count += std::max(more, 0);
  }
  // Not again before a batch that was not full: in constant overload every turn
  // may be late.
  if (count == kEventsPerTurn && hold_timers_until_ == 0)
    hold_timers_until_ = now_nanos_ + kCatchUpNanos;
  return count;
}

Tick EventLoop::TickAt(int64_t nanos) const {
  const int64_t ticks = (nanos - start_nanos_ + kTickNanos - 1) >> kTickShift;
  const int64_t now_ticks = (now_nanos_ - start_nanos_) >> kTickShift;
  return static_cast<Tick>(std::clamp(ticks, now_ticks, now_ticks + kMaxTicks));
}

void EventLoop::Dispatch(uint64_t token, uint32_t events) {
  const auto client = static_cast<uint8_t>(token >> 60);
  const auto generation = static_cast<uint32_t>(token >> 32) & kGenerationMask;
  const auto index = static_cast<uint32_t>(token);
  if (client == kLoopItself)
    return DispatchToHandler(index, generation, events);
  clients_[client]->OnEvents(index, generation, events);
}

void EventLoop::DispatchToHandler(uint32_t index, uint32_t generation,
                                  uint32_t events) {
  Watched& watched = watched_[index];
  if (watched.handler == nullptr ||
      (watched.generation & kGenerationMask) != generation)
    return CountStale(events);
  if ((events & kReadyEvent) != 0) watched.queued = false;
  watched.handler->OnEvents(events);
}

void EventLoop::RunTimers(bool full_batch) {
  if (!full_batch) {
    hold_timers_until_ = 0;
  } else if (now_nanos_ < hold_timers_until_) {
    return;
  }
  wheel_.Advance(now_tick_, [this](TimerNode* node) {
    if (node->client_ != kLoopItself)
      return clients_[node->client_]->OnTimer(node);
    auto* timer = static_cast<TimerBase*>(node);
    if (timer->due_nanos_ <= now_nanos_) return timer->OnDue();
    wheel_.File(timer, TickAt(timer->due_nanos_));
  });
}

void EventLoop::RunReady() {
  if (!ready_.empty()) {
    ready_now_.swap(ready_);
    for (uint64_t token : ready_now_) Dispatch(token, kReadyEvent);
    ready_now_.clear();
  }
  if (!resumes_.empty()) {
    resumes_now_.swap(resumes_);
    for (std::coroutine_handle<> coroutine : resumes_now_) coroutine.resume();
    resumes_now_.clear();
  }
}

// The timerfd stands at the earliest filed tick or earlier: timers that were
// put off or removed do not move it, they cost one idle wake-up at most. While
// timers are held up it stands in the past and ends the wait at once.
void EventLoop::ArmTimerFd() {
  if (armed_ && !TickBefore(now_tick_, armed_tick_)) armed_ = false;
  if (wheel_.empty()) return;
  const Tick next = wheel_.NextTick();
  if (armed_ && !TickBefore(next, armed_tick_)) return;
  const int64_t nanos =
      ((now_nanos_ - start_nanos_) >> kTickShift << kTickShift) + start_nanos_ +
      int64_t{static_cast<int32_t>(next - now_tick_)} * kTickNanos;
  itimerspec when{.it_interval = {},
                  .it_value = {.tv_sec = nanos / 1'000'000'000,
                               .tv_nsec = nanos % 1'000'000'000}};
  PCHECK(timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr) == 0);
  armed_ = true;
  armed_tick_ = next;
}

uint8_t EventLoop::AddClient(LoopClient* client) {
  CHECK_LT(client_count_, kMaxClients);
  clients_[client_count_] = client;
  return client_count_++;
}

int EventLoop::AddFd(int fd, uint32_t events, uint8_t client, uint32_t index,
                     uint32_t generation) {
  epoll_event event{.events = events | EPOLLET,
                    .data = {.u64 = Token(client, index, generation)}};
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void EventLoop::RemoveFd(int fd) {
  PCHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) == 0)
      << "epoll_ctl(DEL) " << fd;
}

absl::StatusOr<FdWatch> FdWatch::Start(EventLoop& loop, int fd, uint32_t events,
                                       EventHandler* handler) {
  FdWatch watch;
  watch.index_ = loop.watched_.Allocate();
  EventLoop::Watched& watched = loop.watched_[watch.index_];
  if (int error = loop.AddFd(fd, events, EventLoop::kLoopItself, watch.index_,
                             watched.generation);
      error != 0) {
    loop.watched_.Free(watch.index_);
    return ErrnoStatus("epoll_ctl", absl::StrCat("descriptor ", fd), error);
  }
  watched.handler = handler;
  watched.queued = false;
  watch.loop_ = &loop;
  watch.fd_ = fd;
  return watch;
}

FdWatch& FdWatch::operator=(FdWatch&& other) noexcept {
  if (this != &other) {
    Stop();
    loop_ = std::exchange(other.loop_, nullptr);
    fd_ = other.fd_;
    index_ = other.index_;
  }
  return *this;
}

void FdWatch::Stop() {
  if (loop_ == nullptr) return;
  loop_->RemoveFd(fd_);
  EventLoop::Watched& watched = loop_->watched_[index_];
  watched.handler = nullptr;
  ++watched.generation;
  loop_->watched_.Free(index_);
  loop_ = nullptr;
}

void FdWatch::MakeReady() {
  EventLoop::Watched& watched = loop_->watched_[index_];
  if (std::exchange(watched.queued, true)) return;
  loop_->MakeReady(EventLoop::kLoopItself, index_, watched.generation);
}

void TimerBase::Start(absl::Duration after) {
  if (after == absl::InfiniteDuration()) return Cancel();
  const int64_t now = loop_.FreshNowNanos();
  const int64_t most = std::numeric_limits<int64_t>::max() - now - kTickNanos;
  due_nanos_ = now + std::min(absl::ToInt64Nanoseconds(after), most);
  loop_.FileTimer(this, loop_.TickAt(due_nanos_));
}

}  // namespace baton
