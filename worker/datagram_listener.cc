#include "worker/datagram_listener.h"

#include <errno.h>
#include <sys/epoll.h>

#include <utility>

#include "absl/memory/memory.h"

namespace baton {

absl::StatusOr<std::unique_ptr<DatagramListener>> DatagramListener::Start(
    EventLoop& loop, int fd, DatagramHandler handler, DatagramBatch& batch,
    TrafficCounters& counters) {
  auto listener = absl::WrapUnique(
      new DatagramListener(loop, fd, handler, batch, counters));
  absl::StatusOr<FdWatch> watch =
      FdWatch::Start(loop, fd, EPOLLIN, listener.get());
  if (!watch.ok()) return watch.status();
  listener->watch_ = *std::move(watch);
  return listener;
}

DatagramListener::DatagramListener(EventLoop& loop, int fd,
                                   DatagramHandler handler,
                                   DatagramBatch& batch,
                                   TrafficCounters& counters)
    : fd_(fd),
      handler_(handler),
      batch_(batch),
      counters_(counters),
      retry_(loop, [this] { OnEvents(0); }) {}

void DatagramListener::OnEvents(uint32_t /*events*/) {
  const DatagramBatch::Result result = batch_.Serve(fd_, handler_, counters_);
  switch (result.turn) {
    case DatagramBatch::Turn::kDrained:
      return;
    case DatagramBatch::Turn::kMore:
      return watch_.MakeReady();
    case DatagramBatch::Turn::kError:
      if (result.errnum == ENOMEM || result.errnum == ENOBUFS)
        return retry_.Start(kRetry);
      return watch_.MakeReady();
  }
}

void DatagramListener::ServeAll() {
  // Bounded, since others may send faster than we answer: a receive buffer
  // holds no more than this.
  for (int batches = 0; batches < 64; ++batches) {
    if (batch_.Serve(fd_, handler_, counters_).turn ==
        DatagramBatch::Turn::kDrained)
      return;
  }
}

}  // namespace baton
