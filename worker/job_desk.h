#ifndef BATON_WORKER_JOB_DESK_H_
#define BATON_WORKER_JOB_DESK_H_

// Between an event loop and a job pool: takes jobs over to the pool and hands
// what is done back to the loop.
//
// Done jobs are pushed on a list without a lock. Whoever pushes the first one
// writes to an eventfd; the others need not, so a batch costs one system call.
// The loop never reads the eventfd: an edge-triggered one reports every write
// (eventfd(2), epoll(7)).
//
// A job lives from Submit until it is back on the loop, whatever becomes of
// whoever waits for it: it belongs to its waiter, or after GiveUp to the desk.
//
// Belongs to the loop's thread, but for what the pool calls. The pool must have
// ended (Stop, Join) when the desk is destroyed.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "net/event_loop.h"
#include "net/unique_fd.h"
#include "pool/job_pool.h"

namespace baton {

class JobDesk;

class DeskJob {
 public:
  class Waiter {
   public:
    virtual ~Waiter() = default;
    // On the loop: it has run (OK), or the pool has not taken it (Unavailable).
    // May destroy the job.
    virtual void OnReturned(absl::Status status) = 0;
  };

  // `name`: a literal.
  explicit DeskJob(const char* name) : name_(name) { CHECK(name != nullptr); }
  DeskJob(const DeskJob&) = delete;
  DeskJob& operator=(const DeskJob&) = delete;
  virtual ~DeskJob() = default;

  // On the loop: it has run, and its waiter is told in this turn or a later
  // one.
  bool back() const { return back_; }

 private:
  friend class JobDesk;
  enum class State : uint8_t { kWaiting, kBegun, kNotWanted };

  // On a thread of the pool.
  virtual void Run() = 0;

  const char* const name_;
  JobDesk* desk_ = nullptr;
  Waiter* waiter_ = nullptr;  // null: given up
  bool has_room_ = false;     // the pool has it
  bool back_ = false;
  std::atomic<State> state_{State::kWaiting};
  DeskJob* next_ = nullptr;  // done before it
};

class JobDesk final : private EventHandler, private JobPool::RoomWaiter {
 public:
  struct Options {
    // A job that has run for so long is reported, once.
    absl::Duration stalled_after = absl::Seconds(10);
    // By name, and for how long.
    absl::AnyInvocable<void(const char*, absl::Duration)> on_stalled;
    // The pool's, at the start and then once a second while jobs are out or
    // threads are left that are not needed.
    absl::AnyInvocable<void(const JobPoolStats&)> on_stats;
  };

  // Both outlive the desk, but the pool's threads do not. Errors: no
  // descriptor.
  static absl::StatusOr<std::unique_ptr<JobDesk>> Create(EventLoop& loop,
                                                         JobPool& pool,
                                                         Options options);
  ~JobDesk() override;

  // That of this thread; CHECKs that there is one.
  static JobDesk& Current();

  // Hands `job` to the pool; `waiter` is told when it is back, never from in
  // here. An error means that it was not taken: Unavailable, or
  // ResourceExhausted, and that not with `wait_for_room`.
  absl::Status Submit(DeskJob& job, DeskJob::Waiter& waiter,
                      bool wait_for_room);
  // The waiter has lost interest and is not called. True: the pool has the job,
  // and the desk destroys it when it is back; if it has not begun, it runs only
  // if `begin`. False: it is the caller's.
  static bool GiveUp(DeskJob& job, bool begin);

  // Jobs that are not back, those that were given up included.
  size_t pending() const { return pending_ + for_room_.size(); }
  // Told when pending() has become 0.
  void SetIdleCallback(absl::AnyInvocable<void()> on_idle) {
    on_idle_ = std::move(on_idle);
  }
  JobPool& pool() { return pool_; }

 private:
  // Between other events of the loop.
  static constexpr int kReturnsPerTurn = 64;
  static constexpr absl::Duration kLook = absl::Seconds(1);
  struct Seen {
    RunningJob job;
    absl::Duration since;
    bool reported;
  };

  JobDesk(EventLoop& loop, JobPool& pool, Options options, UniqueFd event);
  JobQueue::PushResult Hand(DeskJob& job);
  void Execute(DeskJob& job);
  void Wake();
  void OnEvents(uint32_t events) override;
  void OnRoom() override;
  void FillRoom();
  void TakeDone();
  void Return(DeskJob* job);
  void Look();
  void LookForStalled();

  JobPool& pool_;
  Options options_;
  const UniqueFd event_;
  FdWatch watch_;
  JobDesk* const outer_;

  alignas(64) std::atomic<DeskJob*> done_{nullptr};  // the last one first
  std::atomic<bool> room_{false};
  alignas(64) DeskJob* returning_ = nullptr;  // the first one first
  size_t pending_ = 0;
  std::deque<DeskJob*> for_room_;  // wait for room, in their order
  bool awaits_room_ = false;
  absl::AnyInvocable<void()> on_idle_;
  Timer look_;
  std::vector<Seen> seen_;
};

}  // namespace baton

#endif  // BATON_WORKER_JOB_DESK_H_
