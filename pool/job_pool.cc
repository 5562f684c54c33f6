#include "pool/job_pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

// How nobody sleeps while a job waits.
//
// A submitter first fills a cell of the queue (a store to its turn) and then
// reads free_. A thread first counts itself among the sleepers (an addition to
// free_) and then looks at the queue once more. All four are sequentially
// consistent, so at least one of the two sees the other: either the submitter
// finds a sleeper and wakes it, or the thread finds the job. A thread that is
// free and not asleep is about to look, and the submitter leaves the job to it;
// when it finds one and others wait behind it, it wakes or makes the next
// thread itself (OnBusy). The same holds between a thread that frees a cell and
// a submitter that waits for room.

namespace baton {
namespace {

// How a thread without a job looks for one before it sleeps: for about as long
// as going to sleep and being woken takes. Not all the time: each look takes
// the next cell's cache line away from the submitter that is about to fill it,
// and one that looks once in a while finds several jobs (measured: 60 ns a job
// instead of 200).
constexpr int kLooksBeforeSleep = 4;
constexpr int64_t kBetweenLooksNanos = 1000;

constexpr int64_t kSpawnRetryNanos = 100'000'000;

int64_t NowNanos() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void RelaxFor(int64_t nanos) {
  const int64_t end = NowNanos() + nanos;
  do {
    for (int i = 0; i < 8; ++i) Relax();
  } while (NowNanos() < end);
}

// Far enough for any wait, near enough not to overflow a clock.
std::chrono::nanoseconds ToChrono(absl::Duration duration) {
  constexpr absl::Duration kLongest = absl::Hours(24 * 365);
  return absl::ToChronoNanoseconds(
      std::clamp(duration, absl::ZeroDuration(), kLongest));
}

// While it lives, this thread blocks all signals, and so do the threads that it
// makes; but for those of a fault, which would end the process without a word.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t most;
    sigfillset(&most);
    for (const int fault :
         {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
      sigdelset(&most, fault);
    }
    pthread_sigmask(SIG_SETMASK, &most, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

struct JobPool::Thread {
  enum class State { kNone, kAlive, kEnded };  // ended: to be joined

  Thread(JobPool* owner, int place) : pool(owner), number(place) {}

  JobPool* const pool;
  const int number;
  // Guarded by mutex_:
  State state = State::kNone;
  pthread_t handle{};
  bool woken = false;
  std::condition_variable wake;
  // Written by the thread; stay when another takes its place.
  alignas(64) std::atomic<const char*> job_name{nullptr};  // null: it has none
  std::atomic<uint64_t> jobs_run{0};
  Histogram wait_nanos, run_nanos;
};

// --- start and end

JobPool::JobPool(const Options& options)
    : options_(options),
      creator_nice_(getpriority(PRIO_PROCESS, 0)),
      queue_(options.queue) {
  CHECK_GE(options.min_threads, 1);
  CHECK_GE(options.max_threads, options.min_threads);
  CHECK(std::has_single_bit(options.timed_job_interval));
  for (int i = 0; i < options.max_threads; ++i) {
    threads_.push_back(std::make_unique<Thread>(this, i));
  }
}

absl::StatusOr<std::unique_ptr<JobPool>> JobPool::Create(
    const Options& options) {
  auto pool = absl::WrapUnique(new JobPool(options));
  const std::lock_guard<std::mutex> lock(pool->mutex_);
  for (int i = 0; i < options.min_threads; ++i) {
    if (absl::Status status = pool->SpawnLocked(); !status.ok()) return status;
  }
  return pool;
}

JobPool::~JobPool() {
  Stop();
  Join(absl::InfiniteDuration());
}

absl::Status JobPool::SpawnLocked() {
  const auto place =
      std::find_if(threads_.begin(), threads_.end(), [](const auto& thread) {
        return thread->state != Thread::State::kAlive;
      });
  CHECK(place != threads_.end());
  Thread& thread = **place;
  JoinLocked(thread);
  // It counts before it runs, or each submission until then would make another.
  free_.fetch_add(kFree);
  thread_count_.fetch_add(1);
  const SignalsBlocked blocked;
  const int error =
      pthread_create(&thread.handle, nullptr, &JobPool::ThreadMain, &thread);
  if (error != 0) {
    free_.fetch_sub(kFree);
    thread_count_.fetch_sub(1);
    ++spawn_failures_;
    return absl::ErrnoToStatus(
        error, absl::StrCat("pthread_create(", options_.thread_name, "-",
                            thread.number, ")"));
  }
  thread.state = Thread::State::kAlive;
  ++spawned_;
  return absl::OkStatus();
}

void* JobPool::ThreadMain(void* argument) {
  Thread& thread = *static_cast<Thread*>(argument);
  JobPool& pool = *thread.pool;
  pthread_setname_np(pthread_self(),
                     absl::StrCat(pool.options_.thread_name, "-", thread.number)
                         .substr(0, 15)
                         .c_str());
  if (pool.options_.nice != 0) {
    // 0 is the calling thread, not the process: getpriority(2), "C library/
    // kernel differences". Not relative: it may inherit from a thread of the
    // pool. To be nicer is always allowed, and beyond 19 is 19.
    setpriority(PRIO_PROCESS, 0, pool.creator_nice_ + pool.options_.nice);
  }
  pool.RunJobs(thread);
  return nullptr;
}

void JobPool::Stop() {
  queue_.Close();
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!asleep_.empty()) WakeLocked();
  TellRoomLocked();
}

bool JobPool::Join(absl::Duration timeout) {
  CHECK(queue_.closed()) << "threads end after Stop()";
  std::unique_lock<std::mutex> lock(mutex_);
  if (!ended_.wait_for(lock, ToChrono(timeout),
                       [this] { return thread_count_.load() == 0; })) {
    return false;
  }
  // What they do after they let go of the lock needs nothing of ours.
  for (const auto& thread : threads_) JoinLocked(*thread);
  return true;
}

void JobPool::JoinLocked(Thread& thread) {
  if (thread.state != Thread::State::kEnded) return;
  pthread_join(thread.handle, nullptr);
  thread.state = Thread::State::kNone;
}

// --- submitting

JobQueue::PushResult JobPool::Offer(Job& job) {
  CHECK(job) << "an empty job";
  const bool timed = (queue_.pushed() & (options_.timed_job_interval - 1)) == 0;
  job.set_submitted_nanos(timed ? NowNanos() : 0);
  const JobQueue::PushResult result = queue_.Push(job);
  // Also for those that wait behind a queue that is full.
  if (result != JobQueue::PushResult::kClosed) OnSubmitted();
  return result;
}

absl::Status JobPool::TrySubmit(Job& job) {
  switch (Offer(job)) {
    case JobQueue::PushResult::kOk:
      return absl::OkStatus();
    case JobQueue::PushResult::kFull:
      CountRefused();
      return absl::ResourceExhaustedError("the job queue is full");
    case JobQueue::PushResult::kClosed:
      break;
  }
  return absl::UnavailableError("the job pool is stopping");
}

class JobPool::BlockedSubmitter final : public RoomWaiter {
 public:
  void OnRoom() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    told_ = true;
    condition_.notify_one();
  }
  // False: not told in time.
  bool Await(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock<std::mutex> lock(mutex_);
    const bool told =
        condition_.wait_until(lock, deadline, [this] { return told_; });
    told_ = false;
    return told;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool told_ = false;
};

absl::Status JobPool::Submit(Job& job, absl::Duration timeout) {
  JobQueue::PushResult result = Offer(job);
  if (result == JobQueue::PushResult::kFull) {
    const auto deadline = std::chrono::steady_clock::now() + ToChrono(timeout);
    BlockedSubmitter waiter;
    while (result == JobQueue::PushResult::kFull) {
      AwaitRoom(&waiter);
      const bool told = waiter.Await(deadline);
      ForgetWaiter(&waiter);
      if (told) result = Offer(job);
      if (result == JobQueue::PushResult::kFull &&
          std::chrono::steady_clock::now() >= deadline) {
        return absl::DeadlineExceededError("no room in the job queue in time");
      }
    }
  }
  if (result == JobQueue::PushResult::kOk) return absl::OkStatus();
  return absl::UnavailableError("the job pool is stopping");
}

void JobPool::AwaitRoom(RoomWaiter* waiter) {
  const std::lock_guard<std::mutex> lock(mutex_);
  room_waiter_count_.fetch_add(1);
  if (queue_.Full() && !queue_.closed()) {
    room_waiters_.push_back(waiter);
    return;
  }
  room_waiter_count_.fetch_sub(1);
  waiter->OnRoom();
}

void JobPool::ForgetWaiter(RoomWaiter* waiter) {
  const std::lock_guard<std::mutex> lock(mutex_);
  room_waiter_count_.fetch_sub(
      static_cast<int>(std::erase(room_waiters_, waiter)));
}

// All of them: one that has lost interest would keep it from the others.
void JobPool::TellRoomLocked() {
  room_waiter_count_.fetch_sub(static_cast<int>(room_waiters_.size()));
  for (RoomWaiter* waiter : room_waiters_) waiter->OnRoom();
  room_waiters_.clear();
}

JobPool::Free JobPool::LoadFree() const {
  const uint64_t free = free_.load();
  return {static_cast<uint32_t>(free), static_cast<uint32_t>(free >> 32)};
}

void JobPool::OnSubmitted() {
  while (true) {
    const Free free = LoadFree();
    if (free.threads > free.asleep) return;  // one is about to look
    if (free.asleep == 0) break;
    if (WakeOne()) return;  // else the sleeper was just about to end
  }
  if (thread_count_.load(std::memory_order_relaxed) < options_.max_threads) {
    Grow();
  }
}

void JobPool::Grow() {
  const int64_t now = NowNanos();
  if (options_.grow_after > absl::ZeroDuration()) {
    int64_t since = 0;
    if (all_busy_since_.compare_exchange_strong(since, now)) since = now;
    if (now - since < absl::ToInt64Nanoseconds(options_.grow_after)) return;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  // Somebody else may have seen to it.
  if (LoadFree().threads > 0 || now < no_spawn_before_ || queue_.Finished() ||
      thread_count_.load() == options_.max_threads) {
    return;
  }
  all_busy_since_.store(0);
  // Without it, the threads that there are get to the job.
  if (!SpawnLocked().ok()) no_spawn_before_ = now + kSpawnRetryNanos;
}

bool JobPool::WakeOne() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (asleep_.empty()) return false;
  WakeLocked();
  return true;
}

void JobPool::WakeLocked() {
  Thread& thread = *asleep_.back();
  asleep_.pop_back();
  free_.fetch_sub(kAsleep);
  thread.woken = true;
  thread.wake.notify_one();
}

// --- running

void JobPool::RunJobs(Thread& self) {
  bool is_free = true;
  int looks = 0;
  Job job;
  while (true) {
    if (queue_.Pop(job)) {
      if (room_waiter_count_.load() != 0) {
        const std::lock_guard<std::mutex> lock(mutex_);
        TellRoomLocked();
      }
      if (std::exchange(is_free, false)) OnBusy();
      Run(self, job);
      looks = 0;
      continue;
    }
    if (!std::exchange(is_free, true)) {
      free_.fetch_add(kFree);
      all_busy_since_.store(0, std::memory_order_relaxed);
    }
    if (queue_.Finished()) break;
    if (++looks < kLooksBeforeSleep) {
      RelaxFor(kBetweenLooksNanos);
      continue;
    }
    looks = 0;
    if (!Sleep(self)) return;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  EndLocked(self, kFree);
  // The one that took the last job may have found the others asleep.
  while (!asleep_.empty()) WakeLocked();
}

// In this order: whoever finds nobody free finds that there may be one more.
void JobPool::EndLocked(Thread& self, uint64_t was_free) {
  thread_count_.fetch_sub(1);
  free_.fetch_sub(was_free);
  self.state = Thread::State::kEnded;
  ended_.notify_all();
}

// This thread has a job now. Whoever submitted behind it relied on it.
void JobPool::OnBusy() {
  free_.fetch_sub(kFree);
  if (!queue_.Empty()) OnSubmitted();
}

void JobPool::Run(Thread& self, Job& job) {
  const int64_t submitted = job.submitted_nanos();
  self.job_name.store(job.name(), std::memory_order_release);
  if (submitted == 0) {
    job.Run();
  } else {
    const int64_t begin = NowNanos();
    self.wait_nanos.Add(begin - submitted);
    job.Run();
    self.run_nanos.Add(NowNanos() - begin);
  }
  self.job_name.store(nullptr, std::memory_order_relaxed);
  self.jobs_run.store(self.jobs_run.load(std::memory_order_relaxed) + 1,
                      std::memory_order_release);
}

bool JobPool::Sleep(Thread& self) {
  std::unique_lock<std::mutex> lock(mutex_);
  free_.fetch_add(kAsleep);
  asleep_.push_back(&self);
  if (queue_.HasNext() || queue_.Finished()) {
    asleep_.pop_back();
    free_.fetch_sub(kAsleep);
    return true;
  }
  const auto deadline =
      std::chrono::steady_clock::now() + ToChrono(options_.idle_timeout);
  while (!self.woken) {
    if (thread_count_.load() <= options_.min_threads) {
      self.wake.wait(lock);
    } else if (self.wake.wait_until(lock, deadline) ==
                   std::cv_status::timeout &&
               !self.woken && thread_count_.load() > options_.min_threads) {
      std::erase(asleep_, &self);
      EndLocked(self, kAsleep + kFree);
      return false;
    }
  }
  self.woken = false;
  return true;
}

// --- looking

JobPoolStats JobPool::stats() const {
  JobPoolStats stats;
  stats.threads = thread_count_.load();
  stats.busy =
      std::max(0, stats.threads - static_cast<int>(LoadFree().threads));
  stats.queued = queue_.size();
  stats.refused = refused_.load(std::memory_order_relaxed);
  for (const auto& thread : threads_) {
    stats.run += thread->jobs_run.load(std::memory_order_relaxed);
    thread->wait_nanos.AddTo(stats.wait_nanos);
    thread->run_nanos.AddTo(stats.run_nanos);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  stats.spawned = spawned_;
  stats.spawn_failures = spawn_failures_;
  return stats;
}

std::vector<RunningJob> JobPool::running() const {
  std::vector<RunningJob> running;
  for (const auto& thread : threads_) {
    const uint64_t number = thread->jobs_run.load(std::memory_order_acquire);
    const char* name = thread->job_name.load(std::memory_order_acquire);
    // Else it has gone on to another meanwhile: one that is not stalled.
    const bool same = thread->jobs_run.load() == number;
    if (name != nullptr && same) {
      running.push_back({name, thread->number, number});
    }
  }
  return running;
}

}  // namespace baton
