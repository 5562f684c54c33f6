#ifndef BATON_WORKER_DATAGRAM_LISTENER_H_
#define BATON_WORKER_DATAGRAM_LISTENER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "net/datagram_socket.h"
#include "net/event_loop.h"
#include "net/traffic_counters.h"
#include "worker/services.h"

namespace baton {

// Calls a handler for each datagram that comes to one bound socket: a batch a
// turn. After an error of the socket it is tried again by timer: out of memory,
// or broken for good, it would only fail again.
class DatagramListener final : private EventHandler {
 public:
  // `fd`, `batch` (one for all of a worker) and `counters` outlive the
  // listener.
  static absl::StatusOr<std::unique_ptr<DatagramListener>> Start(
      EventLoop& loop, int fd, DatagramHandler handler, DatagramBatch& batch,
      TrafficCounters& counters);

  static constexpr absl::Duration kRetry = absl::Milliseconds(100);

  // Answers what is queued, and ends though others send faster: after as many
  // datagrams as the receive buffer can hold. False if an error stopped it.
  bool ServeAll();

 private:
  DatagramListener(EventLoop& loop, int fd, DatagramHandler handler,
                   DatagramBatch& batch, TrafficCounters& counters);
  void OnEvents(uint32_t events) override;

  const int fd_;
  const DatagramHandler handler_;
  DatagramBatch& batch_;
  TrafficCounters& counters_;
  Timer retry_;
  FdWatch watch_;
};

}  // namespace baton

#endif  // BATON_WORKER_DATAGRAM_LISTENER_H_
