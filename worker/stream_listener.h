#ifndef BATON_WORKER_STREAM_LISTENER_H_
#define BATON_WORKER_STREAM_LISTENER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "net/acceptor.h"
#include "net/connection_table.h"
#include "net/listen_url.h"
#include "net/scope.h"
#include "worker/connection_limits.h"
#include "worker/services.h"

namespace baton {

// Starts a handler for each connection that a stream listener accepts, within
// the worker's limits.
class StreamListener final : private Acceptor::Delegate {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    // As Acceptor::Delegate::OnPause.
    virtual void OnPause(bool paused) = 0;
  };

  // `limits_number` is what ConnectionLimits::AddListener gave. All outlive the
  // listener.
  static absl::StatusOr<std::unique_ptr<StreamListener>> Start(
      int fd, const ListenUrl& url, uint16_t settings, int limits_number,
      StreamHandler handler, ConnectionLimits& limits, ConnectionTable& table,
      Scope& connections, Observer& observer);

  bool paused() const { return acceptor_->paused(); }
  // A connection has ended: there may be room.
  void OnRoom() { acceptor_->Resume(); }
  // Takes what is queued, before the listener is left to others. False if it
  // had to stop before the end.
  bool AcceptAll() { return acceptor_->AcceptAll(url_.common.backlog); }

 private:
  StreamListener(const ListenUrl& url, uint16_t settings, int limits_number,
                 StreamHandler handler, ConnectionLimits& limits,
                 ConnectionTable& table, Scope& connections, Observer& observer)
      : url_(url),
        settings_(settings),
        limits_number_(limits_number),
        handler_(handler),
        limits_(limits),
        table_(table),
        connections_(connections),
        observer_(observer) {}

  bool CanAccept() override { return limits_.HasRoom(limits_number_); }
  void OnAccept(UniqueFd socket, const sockaddr_storage* peer) override;
  void OnPause(bool paused) override { observer_.OnPause(paused); }

  const ListenUrl& url_;
  const uint16_t settings_;
  const int limits_number_;
  const StreamHandler handler_;
  ConnectionLimits& limits_;
  ConnectionTable& table_;
  Scope& connections_;
  Observer& observer_;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace baton

#endif  // BATON_WORKER_STREAM_LISTENER_H_
