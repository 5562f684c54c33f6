#ifndef BATON_WORKER_CHANNEL_OUTBOX_H_
#define BATON_WORKER_CHANNEL_OUTBOX_H_

#include <deque>
#include <string>

#include "absl/time/time.h"
#include "net/event_loop.h"
#include "net/fd_channel.h"
#include "worker/channel_messages.h"

namespace baton {

// What a worker says to its master, in order, also when memory is short or the
// master does not look: then it waits here. Belongs to the loop's thread.
class ChannelOutbox {
 public:
  // After a message that the channel did not take.
  static constexpr absl::Duration kRetry = absl::Milliseconds(50);

  // Both outlive it.
  ChannelOutbox(EventLoop& loop, FdChannel& channel);

  void Send(const ChannelMessage& message);

 private:
  void SendWaiting();

  FdChannel& channel_;
  std::deque<std::string> waiting_;  // encoded
  Timer retry_;
};

}  // namespace baton

#endif  // BATON_WORKER_CHANNEL_OUTBOX_H_
