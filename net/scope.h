#ifndef BATON_NET_SCOPE_H_
#define BATON_NET_SCOPE_H_

#include <cstddef>
#include <optional>

#include "net/stop_token.h"
#include "net/task.h"

namespace baton {

// Where tasks that nobody awaits live. A Scope counts what is in flight, can
// ask it all to stop, and can be waited for; one that is destroyed with a live
// task is a bug and CHECKs. So no task outlives what it uses:
//
//   Task<> Talk(Connection conn) {
//     Scope scope;
//     scope.Spawn(SendTicks(&conn));
//     while (auto chunk = co_await conn.ReadSome()) { ... }
//     scope.RequestStop();
//     co_await scope.Join();
//   }
//
// Belongs to one event loop's thread.
class Scope {
 public:
  Scope() = default;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

  // Starts `task` at once; it runs until it first suspends, then Spawn returns.
  // It can be stopped by RequestStop, and by `token` if there is one. Its
  // result is dropped: what it has to say it says through what it was given.
  void Spawn(Task<> task, StopToken token = {});

  // The same without a strand: for tasks in very large numbers that are ended
  // through their connection. RequestStop does not reach it.
  void SpawnBare(Task<> task);

  // Wakes every spawned task with kCancelled, now and in each operation to
  // come.
  void RequestStop();
  bool stop_requested() const { return stop_requested_; }

  // co_await scope.Join(): until no task is left. Cancelling the caller
  // requests a stop; it waits all the same. One waiter at a time.
  class JoinAwaiter;
  JoinAwaiter Join();

  size_t live() const { return live_; }

  // Told, each time, when the last task has ended and nobody awaits Join: for
  // what is no task itself. It may spawn, and must outlive the tasks.
  class IdleObserver {
   public:
    virtual ~IdleObserver() = default;
    virtual void OnIdle() = 0;
  };
  void SetIdleObserver(IdleObserver* observer) { idle_observer_ = observer; }

 private:
  friend class internal::PromiseBase;
  struct Member;

  static Task<> Run(Scope* scope, Task<> task, StopToken token);
  void TaskDone();

  size_t live_ = 0;
  bool stop_requested_ = false;
  Member* members_ = nullptr;
  internal::TaskHandle joiner_;
  IdleObserver* idle_observer_ = nullptr;
};

class Scope::JoinAwaiter {
 public:
  explicit JoinAwaiter(Scope* scope) : scope_(scope) {}
  bool await_ready() const { return scope_->live_ == 0; }
  template <typename P>
  void await_suspend(std::coroutine_handle<P> caller) {
    scope_->joiner_ = caller;
    if (!scope_->joiner_.Enter(scope_, [](void* scope) {
          static_cast<Scope*>(scope)->RequestStop();
        })) {
      scope_->RequestStop();
    }
  }
  void await_resume() const {}

 private:
  Scope* scope_;
};

inline Scope::JoinAwaiter Scope::Join() { return JoinAwaiter(this); }

}  // namespace baton

#endif  // BATON_NET_SCOPE_H_
