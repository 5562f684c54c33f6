#ifndef BATON_WORKER_OFFLOAD_H_
#define BATON_WORKER_OFFLOAD_H_

// Problem: a handler that hashes, resizes or asks a slow library holds up every
// other connection of its worker, and the ways out are where the bugs are: a
// thread that touches a connection which is gone, a result for a coroutine
// which is gone, captured references to a frame which is gone.
//
//   absl::StatusOr<std::string> digest = co_await Offload(
//       {.name = "hash", .deadline = absl::Seconds(2)}, Hash, std::move(text));
//
// runs Hash(text) on a thread of the worker's job pool and resumes here, on the
// loop, with what it returned.
//
// Contract
// * The function is one without captures (a function pointer or a captureless
//   lambda); its arguments are moved into the job, its result out of it. Types
//   that point elsewhere do not compile: pointers, references, views, spans,
//   callables, and containers of those. (What a class of your own holds can't
//   be seen.) What must be shared is passed as a std::shared_ptr.
// * The result R comes as StatusOr<R>; a Status, StatusOr<T> or void function's
//   as Status, StatusOr<T>, Status. Why there is none:
//     ResourceExhausted  the queue is full (see wait_for_room)
//     DeadlineExceeded   it has not begun and will not, or it runs on and its
//                        result is dropped
//     Cancelled          the task was asked to stop; the job runs all the same,
//                        unless it still waited for room
//     Unavailable        the worker's pool is stopping
// * A connection or task that ends meanwhile does not end the job.
// * The function must not throw, must not touch the loop or a connection, and
//   should not wait for another job.
// * A job costs one frame-sized block from the loop's free lists, which comes
//   back with it: no allocation in steady state.
//
// For the loop's thread.

#include <array>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "net/event_loop.h"
#include "net/frame_allocator.h"
#include "net/task.h"
#include "worker/job_desk.h"

namespace baton {

struct OffloadOptions {
  const char* name = "job";  // a literal, for logs and statistics
  // From now until the result is there.
  absl::Duration deadline = absl::InfiniteDuration();
  // When the queue is full: wait, within the deadline, instead of being
  // refused.
  bool wait_for_room = false;
};

namespace internal {

template <typename T>
struct IsView : std::false_type {};
template <typename Char, typename Traits>
struct IsView<std::basic_string_view<Char, Traits>> : std::true_type {};
template <>
struct IsView<absl::string_view> : std::true_type {};
template <typename T, size_t N>
struct IsView<std::span<T, N>> : std::true_type {};
template <typename T>
struct IsView<absl::Span<T>> : std::true_type {};
template <typename T>
struct IsView<std::reference_wrapper<T>> : std::true_type {};
template <typename T>
struct IsView<absl::FunctionRef<T>> : std::true_type {};

// A lambda may have captured, and a std::function hide one that has.
template <typename T>
concept Callable = requires { &T::operator(); };

// May cross to another thread and outlive the caller.
template <typename T>
struct OwnsItself
    : std::bool_constant<!std::is_pointer_v<T> && !std::is_reference_v<T> &&
                         !std::is_member_pointer_v<T> && !IsView<T>::value &&
                         !Callable<T>> {};
template <typename T>
struct OwnsItself<absl::StatusOr<T>> : OwnsItself<T> {};
template <typename T>
struct OwnsItself<std::optional<T>> : OwnsItself<T> {};
template <typename T>
struct OwnsItself<std::vector<T>> : OwnsItself<T> {};
template <typename T, size_t N>
struct OwnsItself<std::array<T, N>> : OwnsItself<T> {};
template <typename A, typename B>
struct OwnsItself<std::pair<A, B>>
    : std::conjunction<OwnsItself<A>, OwnsItself<B>> {};
template <typename... T>
struct OwnsItself<std::tuple<T...>> : std::conjunction<OwnsItself<T>...> {};
template <typename T>
inline constexpr bool kOwnsItself = OwnsItself<T>::value;

template <typename R>
struct OffloadResultOf {
  using type = absl::StatusOr<R>;
};
template <>
struct OffloadResultOf<void> {
  using type = absl::Status;
};
template <>
struct OffloadResultOf<absl::Status> {
  using type = absl::Status;
};
template <typename T>
struct OffloadResultOf<absl::StatusOr<T>> {
  using type = absl::StatusOr<T>;
};

// A job with its arguments and, later, its result.
template <typename Function, typename... Args>
class OffloadedCall final : public DeskJob {
 public:
  using Returned = std::invoke_result_t<Function, Args&&...>;
  using Result = typename OffloadResultOf<Returned>::type;

  OffloadedCall(const char* name, Function function, Args&&... args)
      : DeskJob(name), function_(function), args_(std::move(args)...) {}

  static void* operator new(size_t size) {
    static_assert(alignof(OffloadedCall) <= 2 * sizeof(void*),
                  "an offloaded argument is aligned like a pointer at most");
    return AllocateFrame(size);
  }
  static void operator delete(void* call, size_t size) noexcept {
    FreeFrame(call, size);
  }

  Result TakeResult() { return *std::move(result_); }

 private:
  void Run() override {
    if constexpr (std::is_void_v<Returned>) {
      std::apply(function_, std::move(args_));
      result_.emplace(absl::OkStatus());
    } else {
      result_.emplace(std::apply(function_, std::move(args_)));
    }
  }

  const Function function_;
  std::tuple<Args...> args_;
  std::optional<Result> result_;
};

template <typename Call>
class [[nodiscard]] OffloadAwaiter final : private DeskJob::Waiter,
                                           private TimerBase {
 public:
  OffloadAwaiter(const OffloadOptions& options, Call* call)
      : TimerBase(EventLoop::Current()), options_(options), call_(call) {}
  OffloadAwaiter(const OffloadAwaiter&) = delete;
  OffloadAwaiter& operator=(const OffloadAwaiter&) = delete;
  ~OffloadAwaiter() override { delete call_; }

  bool await_ready() const { return false; }
  template <typename P>
  bool await_suspend(std::coroutine_handle<P> caller) {
    CHECK(!caller_) << "an Offload is awaited once";
    caller_ = caller;
    // Not even begun for a task that is to end.
    if (!caller_.Enter(this, [](void* self) {
          static_cast<OffloadAwaiter*>(self)->Cancelled();
        })) {
      status_ = absl::CancelledError("the task was asked to stop");
      return false;
    }
    status_ = JobDesk::Current().Submit(*call_, *this, options_.wait_for_room);
    if (!status_.ok()) {
      caller_.Leave();
      return false;
    }
    if (options_.deadline != absl::InfiniteDuration()) Start(options_.deadline);
    return true;
  }
  typename Call::Result await_resume() {
    if (!status_.ok()) return std::move(status_);
    return call_->TakeResult();
  }

 private:
  void OnReturned(absl::Status status) override {
    TimerBase::Cancel();
    status_ = std::move(status);
    caller_.Resume();
  }
  void OnDue() override {
    // It was done in time, only the loop is late.
    if (call_->back()) return;
    GiveUp(/*begin=*/false);
    status_ = absl::DeadlineExceededError("the job was not done in time");
    caller_.Resume();
  }
  void Cancelled() {
    TimerBase::Cancel();
    GiveUp(/*begin=*/true);
    status_ = absl::CancelledError("the task was asked to stop");
    loop().ResumeSoon(caller_.coroutine());
  }
  // If the pool has it, it is the desk's from now on.
  void GiveUp(bool begin) {
    if (JobDesk::GiveUp(*call_, begin)) call_ = nullptr;
  }

  const OffloadOptions options_;
  Call* call_;
  TaskHandle caller_;
  absl::Status status_;
};

}  // namespace internal

template <typename Function, typename... Args>
auto Offload(const OffloadOptions& options, Function function, Args... args) {
  constexpr bool kIsPointer =
      std::is_pointer_v<Function> &&
      std::is_function_v<std::remove_pointer_t<Function>>;
  static_assert(kIsPointer || std::is_empty_v<Function>,
                "an offloaded function captures nothing: pass it arguments, "
                "which are moved");
  static_assert((internal::kOwnsItself<Args> && ...),
                "an argument of an offloaded function owns what it is: no "
                "pointer, reference or view, which may be gone when it runs");
  static_assert(std::is_invocable_v<Function, Args&&...>,
                "the function does not take these arguments, moved; one that "
                "takes an lvalue reference takes none");
  static_assert(
      std::is_void_v<std::invoke_result_t<Function, Args&&...>> ||
          internal::kOwnsItself<std::invoke_result_t<Function, Args&&...>>,
      "the result of an offloaded function owns what it is");
  using Call = internal::OffloadedCall<Function, Args...>;
  return internal::OffloadAwaiter<Call>(
      options, new Call(options.name, function, std::move(args)...));
}

}  // namespace baton

#endif  // BATON_WORKER_OFFLOAD_H_
