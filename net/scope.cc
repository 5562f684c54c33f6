#include "net/scope.h"

#include <utility>

#include "glog/logging.h"

namespace baton {

// Lies in the frame of Run, in the scope's list as long as the task lives.
struct Scope::Member {
  explicit Member(Scope* scope)
      : next(scope->members_), link(&scope->members_) {
    if (next != nullptr) next->link = &next;
    scope->members_ = this;
  }
  ~Member() {
    *link = next;
    if (next != nullptr) next->link = link;
  }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  Strand strand;
  Member* next;
  Member** link;
};

Scope::~Scope() { CHECK_EQ(live_, 0u) << "a scope ends with a live task"; }

Task<> Scope::Run(Scope* scope, Task<> task, StopToken token) {
  Member member(scope);
  StopCallback on_stop(token, [&member] { member.strand.Cancel(); });
  if (scope->stop_requested_) member.strand.Cancel();
  co_await internal::OnStrand(task, member.strand);
}

void Scope::Spawn(Task<> task, StopToken token) {
  SpawnBare(Run(this, std::move(task), token));
}

void Scope::SpawnBare(Task<> task) {
  auto coroutine = std::exchange(task.task_, nullptr);
  coroutine.promise().set_scope(this);
  ++live_;
  coroutine.resume();  // destroys itself when it ends
}

void Scope::RequestStop() {
  stop_requested_ = true;
  // Cancel only marks and queues: no member comes or goes during the walk.
  for (Member* member = members_; member != nullptr; member = member->next)
    member->strand.Cancel();
}

void Scope::TaskDone() {
  --live_;
  if (live_ != 0) return;
  if (joiner_) {
    std::exchange(joiner_, {}).Resume();
  } else if (idle_observer_ != nullptr) {
    idle_observer_->OnIdle();
  }
}

std::coroutine_handle<> internal::PromiseBase::Finish(
    std::coroutine_handle<> task) noexcept {
  if ((owner_ & kIsScope) != 0) {
    auto* scope = reinterpret_cast<Scope*>(owner_ & ~kIsScope);
    task.destroy();
    scope->TaskDone();
    return std::noop_coroutine();
  }
  if (owner_ == 0)
    return std::noop_coroutine();  // the caller's await_suspend finds it done
  return std::coroutine_handle<>::from_address(reinterpret_cast<void*>(owner_));
}

}  // namespace baton
