#ifndef BATON_NET_FD_INLET_H_
#define BATON_NET_FD_INLET_H_

#include <sys/epoll.h>

#include <cstdint>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "net/event_loop.h"

namespace baton {

// A descriptor, of whose readability one method of its owner is told, with
// `key`: which of many it is. The method may destroy the inlet.
template <typename Owner, typename... Key>
class FdInlet final : public EventHandler {
 public:
  FdInlet(Owner* owner, void (Owner::*on_readable)(Key...), Key... key)
      : owner_(owner), on_readable_(on_readable), key_(key...) {}

  // `fd` outlives the watch.
  absl::Status Watch(EventLoop& loop, int fd) {
    absl::StatusOr<FdWatch> watch = FdWatch::Start(loop, fd, EPOLLIN, this);
    if (!watch.ok()) return watch.status();
    watch_ = *std::move(watch);
    return absl::OkStatus();
  }
  void Stop() { watch_.Stop(); }
  // Called again in the next round, for what was not read in this one.
  void Again() {
    if (watch_.active()) watch_.MakeReady();
  }

 private:
  void OnEvents(uint32_t /*events*/) override {
    std::apply([this](Key... key) { (owner_->*on_readable_)(key...); }, key_);
  }

  Owner* const owner_;
  void (Owner::* const on_readable_)(Key...);
  const std::tuple<Key...> key_;
  FdWatch watch_;
};

}  // namespace baton

#endif  // BATON_NET_FD_INLET_H_
