#ifndef BATON_WORKER_LISTENER_SET_H_
#define BATON_WORKER_LISTENER_SET_H_

// From where a worker accepts: its own slot's sockets, and those that it has
// adopted.
//
// A slot is adopted when its own worker can't accept (it has died, is full,
// hangs), or when the slot is on its way out and late handshakes may still
// arrive there. Adopted sockets are copies of another slot's descriptors, one
// for each of this worker's own TCP and UDP listeners; a unix socket is shared
// by all workers anyway. Both may accept from the same queue.
//
// A listener that a reload has removed is adopted whole, with its URL, for the
// clients who are still on their way to it. This worker's services serve it.
//
// Not thread-safe. The sockets are closed with the set.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
#include "worker/sockets_id.h"
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

  // `fds`: of the own TCP and UDP listeners from number `first` on. After an
  // error some of them may have been adopted, until Release.
  absl::Status Adopt(SocketsId slot, uint32_t first, std::vector<UniqueFd> fds);
  // `fds`: of the listener `url`. Errors as above.
  absl::Status AdoptRemoved(SocketsId id, const std::string& url,
                            std::vector<UniqueFd> fds);
  // Takes what is queued first. False if something is left there, or may be:
  // nothing was adopted under this name.
  bool Release(SocketsId id);

  // Takes what is queued everywhere.
  void AcceptAll();
  // Closes all; with `shut_down`, whoever comes later to the own ones is
  // refused at once, in every process. Adopted ones, only if their queue was
  // emptied: they have an owner, who may do that.
  void Close(bool shut_down);

  // A connection with these settings has ended.
  void OnClosed(uint16_t settings, ConnectionLimits::Tag tag);
  // There may be room in the limits again.
  void OnRoom();

  // What a connection needs that another worker has accepted from a listener
  // with this URL: as if it had come from the own one of the same service and
  // address, else from a removed one. Errors: no such service, or too many
  // listeners.
  struct Admission {
    uint16_t settings;
    int limits_number;
    StreamHandler handler;
  };
  absl::StatusOr<Admission> AdmissionFor(const std::string& url);

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
    bool emptied = false;                         // by AcceptAll
  };

  void OnPause(bool paused) override;
  absl::Status Admit(Kind& kind);
  absl::StatusOr<const Kind*> RemovedKind(const std::string& url);
  absl::Status Start(Place& place);
  absl::Status AdoptOne(SocketsId id, const Kind* kind, UniqueFd fd);
  static bool AcceptAllOf(std::vector<Place>& places);

  const Home home_;
  absl::AnyInvocable<void(bool)> on_full_;
  DatagramBatch datagram_batch_;
  std::vector<std::unique_ptr<Kind>> kinds_;
  std::map<std::string, std::unique_ptr<Kind>> removed_kinds_;  // by URL
  std::vector<Place> own_;  // by number, as kinds_
  std::map<SocketsId, std::vector<Place>> adopted_;
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
