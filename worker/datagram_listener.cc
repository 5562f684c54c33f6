#include "worker/datagram_listener.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <utility>

#include "absl/memory/memory.h"

namespace baton {
namespace {

// A datagram is charged to the receive buffer with all the memory that it takes
// there, bookkeeping included (socket(7), SO_RCVBUF): 768 bytes of the default
// 212,992 for an empty one, on Linux 6.1, 64 bits. The bookkeeping alone
// (sk_buff and skb_shared_info) has never been as little as this.
constexpr int kLeastCharge = 256;

// How many batches the datagrams in the receive buffer of `fd` make at most.
int MostBatches(int fd) {
  int bytes = 0;
  socklen_t size = sizeof(bytes);
  if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size) != 0) return 1;
  return bytes / kLeastCharge / static_cast<int>(DatagramBatch::kBatch) + 1;
}

}  // namespace

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
      return retry_.Start(kRetry);
  }
}

bool DatagramListener::ServeAll() {
  auto turn = DatagramBatch::Turn::kMore;
  for (int batches = MostBatches(fd_);
       batches > 0 && turn != DatagramBatch::Turn::kDrained; --batches) {
    turn = batch_.Serve(fd_, handler_, counters_).turn;
  }
  return turn != DatagramBatch::Turn::kError;
}

}  // namespace baton
