#ifndef BATON_NET_STOP_TOKEN_H_
#define BATON_NET_STOP_TOKEN_H_

#include "absl/functional/any_invocable.h"

namespace baton {

// Asks many to stop, once. Like std::stop_source and std::stop_token, without
// their atomics and allocation: source, tokens and callbacks belong to one
// thread, and the source must outlive the callbacks (CHECKed).

class StopCallback;

class StopSource {
 public:
  StopSource() = default;
  StopSource(const StopSource&) = delete;
  StopSource& operator=(const StopSource&) = delete;
  ~StopSource();

  // Runs the callbacks, each once; a second request does nothing. A callback
  // may destroy callbacks, its own included.
  void RequestStop();
  bool stop_requested() const { return requested_; }

 private:
  friend class StopCallback;
  bool requested_ = false;
  StopCallback* callbacks_ = nullptr;
};

// A view of a source; a default one is never stopped.
class StopToken {
 public:
  StopToken() = default;
  explicit StopToken(StopSource& source) : source_(&source) {}
  bool stop_requested() const {
    return source_ != nullptr && source_->stop_requested();
  }

 private:
  friend class StopCallback;
  StopSource* source_ = nullptr;
};

// While it lives, runs `on_stop` when a stop is requested; at once if it has
// been.
class StopCallback {
 public:
  StopCallback(StopToken token, absl::AnyInvocable<void()> on_stop);
  StopCallback(const StopCallback&) = delete;
  StopCallback& operator=(const StopCallback&) = delete;
  ~StopCallback() { Unlink(); }

 private:
  friend class StopSource;
  void Unlink();

  absl::AnyInvocable<void()> on_stop_;
  StopCallback* next_ = nullptr;
  StopCallback** link_ = nullptr;
};

}  // namespace baton

#endif  // BATON_NET_STOP_TOKEN_H_
