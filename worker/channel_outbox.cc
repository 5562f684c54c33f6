#include "worker/channel_outbox.h"

#include "glog/logging.h"
#include "net/errno_status.h"

namespace baton {

ChannelOutbox::ChannelOutbox(EventLoop& loop, FdChannel& channel)
    : channel_(channel), retry_(loop, [this] { SendWaiting(); }) {}

void ChannelOutbox::Send(const ChannelMessage& message) {
  waiting_.push_back(EncodeMessage(message));
  if (waiting_.size() == 1) SendWaiting();
}

void ChannelOutbox::SendWaiting() {
  while (!waiting_.empty()) {
    const FdChannel::SendResult result = channel_.Send(waiting_.front());
    if (result.code == FdChannel::SendCode::kAgain ||
        result.code == FdChannel::SendCode::kLater) {
      return retry_.Start(kRetry);
    }
    if (result.code == FdChannel::SendCode::kError) {
      LOG(ERROR) << "a message to the master is lost: "
                 << ErrnoText(result.errnum);
    }
    waiting_.pop_front();
  }
}

}  // namespace baton
