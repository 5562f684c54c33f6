#ifndef BATON_NET_TASK_H_
#define BATON_NET_TASK_H_

#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "glog/logging.h"
#include "net/frame_allocator.h"

namespace baton {

// Task<T> is a coroutine that runs on the thread's event loop and yields a T.
// It is lazy: it starts when it is awaited
// (`T value = co_await SomeTask();`) or spawned into a Scope. A Task that was
// never started may be dropped.
//
//   Task<int> Half(int n) { co_return n / 2; }
//
// What it prevents: a task cannot be awaited twice (awaiting consumes it),
// cannot be detached (only a Scope starts one that nobody awaits, and a Scope
// CHECKs that none outlives it), and is never destroyed while an operation of
// its own is in flight: to end a task early, its operation is woken with
// kCancelled and the task returns by itself.
//
// A child that completes at once costs no stack: await_suspend resumes it and
// returns false, so a loop of a million such awaits runs in one frame at every
// optimisation level (symmetric transfer would be a tail call only at -O1 and
// above).
//
// With g++ 12 (clang is right): a coroutine whose body is one `while` or `if`
// with a co_await in its condition, and that declares no local, never ends
// (a condition that declares a variable, as in Connection's example, is fine);
// `switch (co_await ...)` skips its body.
//
// Parameters are taken by value: a reference parameter dangles after the first
// suspension. A lambda that captures must not be a coroutine: the captures die
// with the lambda object.

class Scope;
template <typename T = void>
class Task;

// One sequential flow of control, so at most one operation that it is suspended
// in. A flow that can be cancelled by itself (a branch of WhenAny, the body of
// WithDeadline, a task spawned with a stop token) has a Strand; its tasks
// inherit a pointer to it from their caller. A task without one is woken by its
// connection or its loop only.
//
// An operation calls Enter when it suspends and Leave before it resumes its
// waiter. Cancel wakes the operation, if there is one, and refuses every later
// one that would suspend.
class Strand {
 public:
  using CancelFunction = void (*)(void* operation);

  Strand() = default;
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;

  bool cancelled() const { return cancelled_; }

  void Enter(void* operation, CancelFunction cancel) {
    operation_ = operation;
    cancel_ = cancel;
  }
  void Leave() { operation_ = nullptr; }

  // The operation is completed with kCancelled and its task resumed in the
  // loop's next round, never from in here.
  void Cancel() {
    if (cancelled_) return;
    cancelled_ = true;
    if (void* operation = std::exchange(operation_, nullptr))
      cancel_(operation);
  }

 private:
  void* operation_ = nullptr;
  CancelFunction cancel_ = nullptr;
  bool cancelled_ = false;
};

namespace internal {

template <typename T>
class OnStrand;

// What every task's promise begins with.
class PromiseBase {
 public:
  static void* operator new(size_t size) { return AllocateFrame(size); }
  static void operator delete(void* frame, size_t size) noexcept {
    FreeFrame(frame, size);
  }

  std::suspend_always initial_suspend() noexcept { return {}; }
  // A handler that lets an exception out is a bug of the application; the
  // worker ends, the others go on.
  [[noreturn]] void unhandled_exception() noexcept { std::terminate(); }

  Strand* strand() const { return strand_; }
  void set_strand(Strand* strand) { strand_ = strand; }
  void set_continuation(std::coroutine_handle<> continuation) {
    owner_ = reinterpret_cast<uintptr_t>(continuation.address());
  }
  void set_scope(Scope* scope) {
    owner_ = reinterpret_cast<uintptr_t>(scope) | kIsScope;
  }

  // Started, and waiting for something.
  bool suspended() const { return owner_ != 0; }

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <typename Promise>
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<Promise> task) noexcept {
      return task.promise().Finish(task);
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }

 private:
  static constexpr uintptr_t kIsScope = 1;

  std::coroutine_handle<> Finish(std::coroutine_handle<> task) noexcept;

  uintptr_t owner_ = 0;  // the caller to resume, or the Scope (tagged); 0 = not
                         // suspended yet: await_suspend sees to it
  Strand* strand_ = nullptr;
};

template <typename T>
class Promise : public PromiseBase {
 public:
  Task<T> get_return_object() noexcept;
  template <typename U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T TakeValue() { return *std::move(value_); }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object() noexcept;
  void return_void() noexcept {}
  void TakeValue() noexcept {}
};

// A suspended task, whatever its type. Every promise begins with PromiseBase
// and none is aligned beyond 16 bytes, so the promise lies behind the frame's
// two function pointers (Itanium C++ ABI) and the handle of any task can be
// read as one of PromiseBase.
class TaskHandle {
 public:
  TaskHandle() = default;
  template <typename P>
  // NOLINTNEXTLINE(google-explicit-constructor): a conversion of handles
  TaskHandle(std::coroutine_handle<P> task)
      : handle_(
            std::coroutine_handle<PromiseBase>::from_address(task.address())) {
    static_assert(std::is_base_of_v<PromiseBase, P>,
                  "only a Task can await this");
    static_assert(alignof(P) <= 2 * sizeof(void*));
  }

  explicit operator bool() const { return static_cast<bool>(handle_); }
  Strand* strand() const { return handle_.promise().strand(); }
  std::coroutine_handle<> coroutine() const { return handle_; }

  // For operations. Enter: false if the task has been cancelled and must not
  // wait.
  bool Enter(void* operation, Strand::CancelFunction cancel) const {
    Strand* strand = handle_.promise().strand();
    if (strand == nullptr) return true;
    if (strand->cancelled()) return false;
    strand->Enter(operation, cancel);
    return true;
  }
  void Leave() const {
    if (Strand* strand = handle_.promise().strand()) strand->Leave();
  }
  // Leaves and resumes.
  void Resume() const {
    Leave();
    handle_.resume();
  }

 private:
  std::coroutine_handle<PromiseBase> handle_;
};

}  // namespace internal

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using value_type = T;

  Task(Task&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (!task_) return;
    DCHECK(task_.done() || !task_.promise().suspended())
        << "a task was dropped in the middle of an operation";
    task_.destroy();
  }

  auto operator co_await() && noexcept { return Awaiter{this}; }

 private:
  friend class Scope;
  friend promise_type;
  template <typename U>
  friend class internal::OnStrand;

  // Awaits the task where it stands: the Task object lives in the caller's
  // frame until the end of the expression.
  struct Awaiter {
    Task* self;

    bool await_ready() noexcept { return false; }
    template <typename P>
    bool await_suspend(std::coroutine_handle<P> caller) {
      auto task = self->task_;
      CHECK(task && !task.done() && !task.promise().suspended())
          << "a task is awaited once";
      task.promise().set_strand(caller.promise().strand());
      task.resume();
      if (task.done()) return false;
      task.promise().set_continuation(caller);
      return true;
    }
    T await_resume() { return self->task_.promise().TakeValue(); }
  };

  explicit Task(std::coroutine_handle<promise_type> task) noexcept
      : task_(task) {}

  std::coroutine_handle<promise_type> task_;
};

namespace internal {

// Awaits `task` as a flow of its own that `strand` can cancel; cancelling the
// caller cancels it too. `strand` and the OnStrand live in the caller's frame.
template <typename T>
class OnStrand {
 public:
  OnStrand(Task<T>& task, Strand& strand) : task_(task), strand_(strand) {}

  bool await_ready() noexcept { return false; }
  template <typename P>
  bool await_suspend(std::coroutine_handle<P> caller) {
    caller_ = caller;
    if (!caller_.Enter(&strand_, [](void* strand) {
          static_cast<Strand*>(strand)->Cancel();
        }))
      strand_.Cancel();
    auto task = task_.task_;
    CHECK(task && !task.done() && !task.promise().suspended())
        << "a task is awaited once";
    task.promise().set_strand(&strand_);
    task.resume();
    if (task.done()) return false;
    task.promise().set_continuation(caller);
    return true;
  }
  T await_resume() {
    caller_.Leave();
    return task_.task_.promise().TakeValue();
  }

 private:
  Task<T>& task_;
  Strand& strand_;
  TaskHandle caller_;
};

template <typename T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}

inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace internal

}  // namespace baton

#endif  // BATON_NET_TASK_H_
