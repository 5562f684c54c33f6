#ifndef BATON_NET_ACCEPTOR_H_
#define BATON_NET_ACCEPTOR_H_

#include <sys/socket.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "net/event_loop.h"
#include "net/traffic_counters.h"
#include "net/unique_fd.h"

namespace baton {

// Accepts connections from one listening socket: edge-triggered, a bounded
// number a turn.
//
// A listener's edge is told when a connection joins the queue, so one that
// stops before EAGAIN must come back by itself. Out of descriptors or memory
// (EMFILE, ENFILE, ENOBUFS, ENOMEM: accept(2)), the queue stays as it is and no
// edge will follow: accepting pauses and is tried again by timer, ten times a
// second, which costs next to nothing and neither spins nor forgets. Errors
// that belong to one connection (ECONNABORTED, and the pending network errors
// and the firewall's EPERM of accept(2)) are counted and passed over. Any other
// says that the next attempt fails as well, and so does a whole turn of nothing
// but those (a security module refuses before the connection has left the
// queue): they pause it too.
//
// Belongs to the loop's thread. Several acceptors, also of other processes, may
// share a listening socket.
class Acceptor final : private EventHandler {
 public:
  class Delegate {
   public:
    virtual ~Delegate() = default;
    // Asked before each accept. After a false the acceptor waits for Resume: at
    // a limit the queue waits.
    virtual bool CanAccept() = 0;
    // A connected socket, non-blocking, close-on-exec; counted by whoever
    // admits it. `peer` as accept(2) gives it, null unless want_peer.
    virtual void OnAccept(UniqueFd socket, const sockaddr_storage* peer) = 0;
    // It pauses; or it has found its queue open again. One follows the other.
    virtual void OnPause(bool paused) = 0;
  };

  static constexpr int kAcceptsPerTurn = 64;
  static constexpr absl::Duration kRetry = absl::Milliseconds(100);

  // `listener`, the delegate and the counters outlive the acceptor.
  static absl::StatusOr<std::unique_ptr<Acceptor>> Start(
      EventLoop& loop, int listener, bool want_peer, Delegate* delegate,
      TrafficCounters* counters);

  // Room again after CanAccept was false; goes on in the loop's next round.
  void Resume();
  // Accepts what is queued, until EAGAIN or it has to pause (false), not
  // bounded by a turn: before the listener is left to others or shut down.
  // `backlog` is the listener's, and bounds it: the kernel queues at most one
  // connection more (and caps backlog at net.core.somaxconn: listen(2)), so
  // whoever was there at the call is accepted, and clients that come faster
  // than they are accepted do not keep it.
  bool AcceptAll(int backlog);
  int listener() const { return listener_; }
  // In the delegate's view, from one OnPause to the next.
  bool paused() const { return paused_; }

 private:
  enum class State : uint8_t { kAccepting, kFull, kNoResources };

  Acceptor(EventLoop& loop, int listener, bool want_peer, Delegate* delegate,
           TrafficCounters* counters);
  void OnEvents(uint32_t events) override;
  // False: no more now (queue empty or paused).
  bool AcceptOne();
  bool PassOver();
  void Pause(State state);
  void SetPaused(bool paused);

  const int listener_;
  const bool want_peer_;
  Delegate* const delegate_;
  TrafficCounters* const counters_;
  State state_ = State::kAccepting;
  bool paused_ = false;
  int failures_ = 0;  // in a row
  Timer retry_;
  FdWatch watch_;
};

}  // namespace baton

#endif  // BATON_NET_ACCEPTOR_H_
