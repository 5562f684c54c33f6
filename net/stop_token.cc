#include "net/stop_token.h"

#include <utility>

#include "glog/logging.h"

namespace baton {

StopSource::~StopSource() {
  CHECK(callbacks_ == nullptr) << "a stop source ends before its callbacks";
}

void StopSource::RequestStop() {
  if (std::exchange(requested_, true)) return;
  while (StopCallback* callback = callbacks_) {
    callback->Unlink();
    // Moved out first: the call may destroy the callback.
    absl::AnyInvocable<void()> on_stop = std::move(callback->on_stop_);
    on_stop();
  }
}

StopCallback::StopCallback(StopToken token, absl::AnyInvocable<void()> on_stop)
    : on_stop_(std::move(on_stop)) {
  if (token.source_ == nullptr) return;
  if (token.stop_requested()) {
    on_stop_();
    return;
  }
  next_ = token.source_->callbacks_;
  link_ = &token.source_->callbacks_;
  if (next_ != nullptr) next_->link_ = &next_;
  token.source_->callbacks_ = this;
}

void StopCallback::Unlink() {
  if (link_ == nullptr) return;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  link_ = nullptr;
}

}  // namespace baton
