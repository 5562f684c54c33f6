#include "worker/job_desk.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "glog/logging.h"
#include "net/errno_status.h"

namespace baton {
namespace {

thread_local JobDesk* current_desk = nullptr;

absl::Status Stopping() {
  return absl::UnavailableError("the job pool is stopping");
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobDesk>> JobDesk::Create(EventLoop& loop,
                                                         JobPool& pool,
                                                         Options options) {
  UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return ErrnoStatus("eventfd", "", errno);
  auto desk = absl::WrapUnique(
      new JobDesk(loop, pool, std::move(options), std::move(event)));
  absl::StatusOr<FdWatch> watch =
      FdWatch::Start(loop, desk->event_.get(), EPOLLIN, desk.get());
  if (!watch.ok()) return watch.status();
  desk->watch_ = *std::move(watch);
  return desk;
}

JobDesk::JobDesk(EventLoop& loop, JobPool& pool, Options options,
                 UniqueFd event)
    : pool_(pool),
      options_(std::move(options)),
      event_(std::move(event)),
      outer_(std::exchange(current_desk, this)),
      look_(loop, [this] { Look(); }) {
  if (options_.on_stats) options_.on_stats(pool_.stats());
}

JobDesk::~JobDesk() {
  pool_.ForgetWaiter(this);
  TakeDone();
  while (DeskJob* job = returning_) {
    returning_ = job->next_;
    CHECK(job->waiter_ == nullptr) << "somebody waits for " << job->name_;
    --pending_;
    delete job;
  }
  CHECK_EQ(pending(), 0u) << "jobs outlive their desk";
  CHECK(current_desk == this);
  current_desk = outer_;
}

JobDesk& JobDesk::Current() {
  CHECK(current_desk != nullptr) << "no job pool on this thread";
  return *current_desk;
}

// --- to the pool

absl::Status JobDesk::Submit(DeskJob& job, DeskJob::Waiter& waiter,
                             bool wait_for_room) {
  job.desk_ = this;
  job.waiter_ = &waiter;
  // Nobody goes before those that wait.
  const auto result =
      for_room_.empty() ? Hand(job) : JobQueue::PushResult::kFull;
  if (result == JobQueue::PushResult::kOk) return absl::OkStatus();
  if (result == JobQueue::PushResult::kClosed) return Stopping();
  if (!wait_for_room) {
    pool_.CountRefused();
    return absl::ResourceExhaustedError("the job queue is full");
  }
  for_room_.push_back(&job);
  if (!std::exchange(awaits_room_, true)) pool_.AwaitRoom(this);
  return absl::OkStatus();
}

JobQueue::PushResult JobDesk::Hand(DeskJob& job) {
  Job handed(job.name_, [&job] { job.desk_->Execute(job); });
  const JobQueue::PushResult result = pool_.Offer(handed);
  if (result != JobQueue::PushResult::kOk) return result;
  job.has_room_ = true;
  if (pending_++ == 0 && !look_.pending()) look_.Start(kLook);
  return result;
}

bool JobDesk::GiveUp(DeskJob& job, bool begin) {
  if (!job.has_room_) {
    std::erase(job.desk_->for_room_, &job);
    return false;
  }
  job.waiter_ = nullptr;
  if (!begin) {
    auto expected = DeskJob::State::kWaiting;
    job.state_.compare_exchange_strong(expected, DeskJob::State::kNotWanted);
  }
  return true;
}

// --- on threads of the pool

void JobDesk::Execute(DeskJob& job) {
  auto expected = DeskJob::State::kWaiting;
  if (job.state_.compare_exchange_strong(expected, DeskJob::State::kBegun)) {
    job.Run();
  }
  DeskJob* before = done_.load(std::memory_order_relaxed);
  do {
    job.next_ = before;
  } while (!done_.compare_exchange_weak(before, &job, std::memory_order_release,
                                        std::memory_order_relaxed));
  // The job may be gone by now.
  if (before == nullptr) Wake();
}

void JobDesk::OnRoom() {
  room_.store(true);
  Wake();
}

void JobDesk::Wake() {
  const uint64_t one = 1;
  // EAGAIN, at a count of 2^64 - 2: it would be readable anyway.
  if (write(event_.get(), &one, sizeof(one)) != sizeof(one)) {
    PCHECK(errno == EAGAIN);
  }
}

// --- back on the loop

void JobDesk::OnEvents(uint32_t /*events*/) {
  if (room_.exchange(false)) {
    awaits_room_ = false;
    FillRoom();
  }
  TakeDone();
  for (int i = 0; i < kReturnsPerTurn && returning_ != nullptr; ++i) {
    Return(std::exchange(returning_, returning_->next_));
  }
  if (returning_ != nullptr) watch_.MakeReady();
  if (pending() == 0 && on_idle_) on_idle_();
}

void JobDesk::FillRoom() {
  while (!for_room_.empty()) {
    DeskJob& job = *for_room_.front();
    const JobQueue::PushResult result = Hand(job);
    if (result == JobQueue::PushResult::kFull) break;
    for_room_.pop_front();
    if (result == JobQueue::PushResult::kClosed) {
      job.waiter_->OnReturned(Stopping());
    }
  }
  if (!for_room_.empty() && !std::exchange(awaits_room_, true)) {
    pool_.AwaitRoom(this);
  }
}

// What is done goes behind what was done before, in its order.
void JobDesk::TakeDone() {
  DeskJob* last = done_.exchange(nullptr, std::memory_order_acquire);
  DeskJob* first = nullptr;
  while (last != nullptr) {
    last->back_ = true;
    DeskJob* const before = std::exchange(last->next_, first);
    first = std::exchange(last, before);
  }
  DeskJob** end = &returning_;
  while (*end != nullptr) end = &(*end)->next_;
  *end = first;
}

void JobDesk::Return(DeskJob* job) {
  --pending_;
  if (job->waiter_ == nullptr) {
    delete job;
  } else {
    job->waiter_->OnReturned(absl::OkStatus());
  }
}

// Once a second, so that no job pays for it.
void JobDesk::Look() {
  const JobPoolStats stats = pool_.stats();
  if (options_.on_stats) options_.on_stats(stats);
  LookForStalled();
  // Where a thread could not be made for those that wait, it may be now.
  FillRoom();
  if (pending_ > 0 || stats.threads > pool_.min_threads()) look_.Start(kLook);
}

// Which of the jobs that run did so at the last look?
void JobDesk::LookForStalled() {
  std::vector<Seen> now;
  for (const RunningJob& job : pool_.running()) {
    const auto before =
        std::find_if(seen_.begin(), seen_.end(), [&job](const Seen& seen) {
          return seen.job.thread == job.thread && seen.job.number == job.number;
        });
    Seen seen = before == seen_.end() ? Seen{job, absl::ZeroDuration(), false}
                                      : *before;
    if (before != seen_.end()) seen.since += kLook;
    if (seen.since >= options_.stalled_after && options_.on_stalled &&
        !std::exchange(seen.reported, true)) {
      options_.on_stalled(job.name, seen.since);
    }
    now.push_back(seen);
  }
  seen_ = std::move(now);
}

}  // namespace baton
