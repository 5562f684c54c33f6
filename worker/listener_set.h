#ifndef BATON_WORKER_LISTENER_SET_H_
#define BATON_WORKER_LISTENER_SET_H_

// From where a worker accepts: its own slot's sockets, and those of slots that
// it has adopted.
//
// A slot is adopted when its own worker can't accept (it has died, is full,
// hangs), or when the slot is on its way out and late handshakes may still
// arrive there. Adopted sockets are copies of another slot's descriptors, one
// for each of this worker's own TCP and UDP listeners; a unix socket is shared
// by all workers anyway. Both may accept from the same queue.
//
// Not thread-safe. The sockets are closed with the set.

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "net/connection_table.h"
#include "net/datagram_socket.h"
#include "net/event_loop.h"
#include "net/scope.h"
#include "net/unique_fd.h"
#include "worker/connection_limits.h"
#include "worker/datagram_listener.h"
#include "worker/services.h"
#include "worker/settings.h"
#include "worker/stream_listener.h"
#include "worker/worker_listener.h"

namespace baton {

class ListenerSet final : private StreamListener::Observer {
 public:
  // What accepted connections live in; outlives the set.
  struct Home {
    const Services& services;
    const WorkerSettings& settings;
    ConnectionLimits& limits;
    ConnectionTable& table;
    Scope& connections;
  };
  // Full is told at once, room again when it has lasted for this long: at a
  // limit each connection that ends makes room for one.
  static constexpr absl::Duration kRoomLasts = absl::Seconds(1);

  // `on_full` is told whether any listener has to wait.
  ListenerSet(const Home& home, std::vector<WorkerListener> own,
              absl::AnyInvocable<void(bool)> on_full);

  // Whether the services have what the own listeners ask for; before Serve.
  absl::Status Check() const;
  // Accepts from the own ones.
  absl::Status Serve();

  // `fds`: of the own TCP and UDP listeners from number `first` on.
  absl::Status Adopt(uint32_t slot, uint32_t first, std::vector<UniqueFd> fds);
  // Takes what is queued first.
  void Release(uint32_t slot);

  // Takes what is queued everywhere.
  void AcceptAll();
  // Closes all; with `shut_down`, whoever comes later is refused at once, in
  // every process.
  void Close(bool shut_down);

  // A connection with these settings has ended.
  void OnClosed(uint16_t settings, ConnectionLimits::Tag tag);

 private:
  // What the connections of an own listener and of its adopted siblings have in
  // common.
  struct Kind {
    ListenUrl url;  // at a stable address: connections point to it
    uint16_t settings = 0;
    int limits_number = 0;
  };
  struct Place {
    const Kind* kind;
    UniqueFd fd;
    std::unique_ptr<StreamListener> stream;       // one of these two, while it
    std::unique_ptr<DatagramListener> datagrams;  // accepts
  };

  void OnPause(bool paused) override;
  absl::Status Start(Place& place);
  static void AcceptAllOf(std::vector<Place>& places);

  const Home home_;
  absl::AnyInvocable<void(bool)> on_full_;
  DatagramBatch datagram_batch_;
  std::vector<std::unique_ptr<Kind>> kinds_;
  std::vector<Place> own_;                          // by number, as kinds_
  std::map<uint32_t, std::vector<Place>> adopted_;  // by slot
  // By the number of a connection's settings: that of its listener in the
  // limits, or kNotAdmitted. Other numbers are of outbound connections too.
  static constexpr int kNotAdmitted = -1;
  std::vector<int> limits_numbers_;
  int paused_ = 0;  // listeners
  bool told_full_ = false;
  Timer room_lasts_;
};

}  // namespace baton

#endif  // BATON_WORKER_LISTENER_SET_H_
