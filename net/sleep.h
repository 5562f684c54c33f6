#ifndef BATON_NET_SLEEP_H_
#define BATON_NET_SLEEP_H_

#include "absl/time/time.h"
#include "net/event_loop.h"
#include "net/io_error.h"
#include "net/task.h"

namespace baton {

// co_await Sleep(absl::Seconds(1)): kOk when the time has passed (at most 5 ms
// late), kCancelled when the task is asked to stop. Even
// Sleep(absl::ZeroDuration()) lets others run first.
class Sleep final : private TimerBase {
 public:
  explicit Sleep(absl::Duration duration)
      : TimerBase(EventLoop::Current()), duration_(duration) {}

  bool await_ready() const { return false; }
  template <typename P>
  bool await_suspend(std::coroutine_handle<P> caller) {
    caller_ = caller;
    if (!caller_.Enter(
            this, [](void* self) { static_cast<Sleep*>(self)->Cancelled(); })) {
      error_ = IoError::kCancelled;
      return false;
    }
    Start(duration_);
    return true;
  }
  IoError await_resume() const { return error_; }

 private:
  void OnDue() override { caller_.Resume(); }
  void Cancelled() {
    Cancel();
    error_ = IoError::kCancelled;
    loop().ResumeSoon(caller_.coroutine());
  }

  absl::Duration duration_;
  internal::TaskHandle caller_;
  IoError error_ = IoError::kOk;
};

}  // namespace baton

#endif  // BATON_NET_SLEEP_H_
