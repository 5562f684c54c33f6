#ifndef BATON_POOL_JOB_POOL_H_
#define BATON_POOL_JOB_POOL_H_

// Problem: work that blocks or takes long must not run on an event loop, and
// the obvious remedies have costs that are found late: a thread a job, a queue
// without end, an allocation a job, threads that never go away, jobs that are
// lost at a stop, a caller who can't tell "too busy" from "broken".
//
// JobPool runs jobs on its own threads, between a minimum and a maximum of
// them. It knows nothing of event loops or processes.
//
//   auto pool = JobPool::Create({.min_threads = 1, .max_threads = 8});
//   absl::Status status = (*pool)->TrySubmit({"resize", [image] { ... }});
//
// Contract
// * Submitting is accepted, or refused and says why: ResourceExhausted (the
//   queue is full) or Unavailable (it is stopping). A job that was accepted
//   runs exactly once; one that was refused stays with the caller, unrun.
// * TrySubmit never waits. Submit waits for room, until a time-out. An event
//   loop uses TrySubmit and AwaitRoom.
// * When no thread is free and a job waits, there is one thread more, up to the
//   maximum. One that has had nothing to do for idle_timeout ends, down to the
//   minimum. Of several free threads the one that ran last is woken first, so
//   those that are not needed do get old.
// * A job costs no allocation if its callable fits into a Job.
// * Stop(): what was accepted is run, the rest refused. Join() waits for that.
// * Threads block all signals but those of a fault, and have names. Fork before
//   the pool is made, not after.
// * A job must not throw (the process ends), and must not wait for another job
//   of the same pool.
// * All members but the destructor are thread-safe. The destructor stops and
//   waits for every accepted job, however long that takes.
//
// Statistics: counts are exact; wait and run times are those of one job in
// Options::timed_job_interval, for two looks at a clock cost more than the
// rest.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "pool/histogram.h"
#include "pool/job.h"
#include "pool/job_queue.h"

namespace baton {

struct JobPoolStats {
  int threads = 0;
  int busy = 0;          // threads that run a job
  uint64_t queued = 0;   // jobs that wait
  uint64_t run = 0;      // have ended
  uint64_t refused = 0;  // queue full, and nobody waited for room
  uint64_t spawned = 0;  // threads, ever
  uint64_t spawn_failures = 0;
  HistogramCounts wait_nanos{};  // from submission to start
  HistogramCounts run_nanos{};
};

// What a thread does at the moment.
struct RunningJob {
  const char* name;
  // The same thread and number: still the same job.
  int thread;
  uint64_t number;
};

class JobPool {
 public:
  struct Options {
    int min_threads = 1;    // at least 1
    int max_threads = 8;    // at least min_threads
    uint32_t queue = 1024;  // jobs that may wait, at least 1
    absl::Duration idle_timeout = absl::Seconds(20);
    // All threads must have been busy, with jobs waiting, for so long before
    // there is one more. Looked at when a job is submitted.
    absl::Duration grow_after = absl::ZeroDuration();
    uint32_t timed_job_interval = 16;  // a power of two; 1 = all
    // Added to the nice value of the thread that makes the pool, so that jobs
    // which compute leave the processor to an event loop that has something to
    // do: on Linux each thread has one of its own (sched(7)). A process that a
    // job starts inherits it.
    int nice = 0;
    // Of threads, with a number behind it; the kernel keeps 15 bytes.
    std::string thread_name = "job";
  };

  // Somebody who waits for room in the queue.
  class RoomWaiter {
   public:
    virtual ~RoomWaiter() = default;
    // There may be room, or the pool is stopping. On any thread, with a lock of
    // the pool held: it must do no more than wake somebody.
    virtual void OnRoom() = 0;
  };

  // Starts the minimum of threads. Errors: pthread_create's.
  static absl::StatusOr<std::unique_ptr<JobPool>> Create(
      const Options& options);
  ~JobPool();
  JobPool(const JobPool&) = delete;
  JobPool& operator=(const JobPool&) = delete;

  // Takes `job` if it is accepted.
  absl::Status TrySubmit(Job& job);
  absl::Status TrySubmit(Job&& job) { return TrySubmit(job); }
  // The same for somebody who will try again: no Status is made and nothing
  // counted.
  JobQueue::PushResult Offer(Job& job);
  void CountRefused() { refused_.fetch_add(1, std::memory_order_relaxed); }
  // Blocks for room. DeadlineExceeded after `timeout`.
  absl::Status Submit(Job& job,
                      absl::Duration timeout = absl::InfiniteDuration());
  absl::Status Submit(Job&& job,
                      absl::Duration timeout = absl::InfiniteDuration()) {
    return Submit(job, timeout);
  }

  // Calls `waiter` once, when a submission is worth another try; perhaps at
  // once, from in here. It must live until then or ForgetWaiter, and OnRoom
  // must not call the pool.
  void AwaitRoom(RoomWaiter* waiter);
  // After it, `waiter` is not called.
  void ForgetWaiter(RoomWaiter* waiter);

  // Refuses whatever comes from now on. Does not wait.
  void Stop();
  // Waits until every accepted job has run and every thread has ended, after
  // Stop(). False if that takes longer.
  bool Join(absl::Duration timeout);

  JobPoolStats stats() const;
  int min_threads() const { return options_.min_threads; }
  // Who waits for room, submitters that block included.
  int room_waiters() const { return room_waiter_count_.load(); }
  std::vector<RunningJob> running() const;

 private:
  struct Thread;
  class BlockedSubmitter;
  // How many threads have no job, and how many of those sleep; in one word, so
  // that a submitter reads both with one load.
  struct Free {
    uint32_t threads;
    uint32_t asleep;
  };
  static constexpr uint64_t kFree = 1;
  static constexpr uint64_t kAsleep = uint64_t{1} << 32;

  explicit JobPool(const Options& options);
  Free LoadFree() const;
  absl::Status SpawnLocked();
  static void* ThreadMain(void* thread);
  void RunJobs(Thread& self);
  void EndLocked(Thread& self, uint64_t was_free);
  static void JoinLocked(Thread& thread);
  void Run(Thread& self, Job& job);
  void OnSubmitted();
  void OnBusy();
  void Grow();
  // False: it has been idle for too long and must end.
  bool Sleep(Thread& self);
  bool WakeOne();
  void WakeLocked();
  void TellRoomLocked();

  const Options options_;
  const int creator_nice_;
  JobQueue queue_;
  alignas(64) std::atomic<uint64_t> free_{0};
  std::atomic<int> thread_count_{0};
  std::atomic<int> room_waiter_count_{0};
  std::atomic<uint64_t> refused_{0};
  // Since when no thread was free, as of the last submission; 0 = one is.
  std::atomic<int64_t> all_busy_since_{0};

  // Not absl::Mutex: its timed waits follow the wall clock, which jumps.
  mutable std::mutex mutex_;
  // By number. A place is used again when its thread has ended.
  std::vector<std::unique_ptr<Thread>> threads_;
  // Guarded by mutex_:
  std::vector<Thread*> asleep_;  // who went to sleep last is last
  std::vector<RoomWaiter*> room_waiters_;
  std::condition_variable ended_;  // a thread has
  uint64_t spawned_ = 0;
  uint64_t spawn_failures_ = 0;
  int64_t no_spawn_before_ = 0;
};

}  // namespace baton

#endif  // BATON_POOL_JOB_POOL_H_
