#include "net/acceptor.h"

#include <errno.h>
#include <sys/epoll.h>

#include <utility>

#include "absl/memory/memory.h"

namespace baton {

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Start(
    EventLoop& loop, int listener, bool want_peer, Delegate* delegate,
    TrafficCounters* counters) {
  auto acceptor = absl::WrapUnique(
      new Acceptor(loop, listener, want_peer, delegate, counters));
  absl::StatusOr<FdWatch> watch =
      FdWatch::Start(loop, listener, EPOLLIN, acceptor.get());
  if (!watch.ok()) return watch.status();
  acceptor->watch_ = *std::move(watch);
  return acceptor;
}

Acceptor::Acceptor(EventLoop& loop, int listener, bool want_peer,
                   Delegate* delegate, TrafficCounters* counters)
    : listener_(listener),
      want_peer_(want_peer),
      delegate_(delegate),
      counters_(counters),
      retry_(loop, [this] {
        state_ = State::kAccepting;
        OnEvents(0);
      }) {}

void Acceptor::OnEvents(uint32_t /*events*/) {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    if (!AcceptOne()) return;
  }
  watch_.MakeReady();
}

bool Acceptor::AcceptAll(int backlog) {
  if (state_ == State::kNoResources) state_ = State::kAccepting;
  for (int64_t left = int64_t{backlog} + 1; left > 0 && AcceptOne(); --left) {
  }
  return state_ == State::kAccepting;
}

void Acceptor::Resume() {
  if (state_ != State::kFull) return;
  state_ = State::kAccepting;
  watch_.MakeReady();
}

void Acceptor::Pause(State state) {
  state_ = state;
  counters_->accept_pauses.Add(1);
  if (state == State::kNoResources) retry_.Start(kRetry);
  SetPaused(true);
}

void Acceptor::SetPaused(bool paused) {
  if (std::exchange(paused_, paused) != paused) delegate_->OnPause(paused);
}

bool Acceptor::AcceptOne() {
  if (state_ != State::kAccepting) return false;
  if (!delegate_->CanAccept()) {
    Pause(State::kFull);
    return false;
  }
  sockaddr_storage peer;
  socklen_t size = sizeof(peer);
  UniqueFd socket(accept4(
      listener_, want_peer_ ? reinterpret_cast<sockaddr*>(&peer) : nullptr,
      want_peer_ ? &size : nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket) {
    failures_ = 0;
    SetPaused(false);
    delegate_->OnAccept(std::move(socket), want_peer_ ? &peer : nullptr);
    return true;
  }
  switch (errno) {
    case EAGAIN:
    case EINVAL:  // the listener was shut down
      SetPaused(false);
      return false;
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT:
      return PassOver();
    default:
      // No descriptor or memory, or EBADF and its like. EOPNOTSUPP as well,
      // which can be one connection's but also the socket's.
      Pause(State::kNoResources);
      return false;
  }
}

bool Acceptor::PassOver() {
  counters_->accept_errors.Add(1);
  if (++failures_ < kAcceptsPerTurn) return true;
  failures_ = 0;
  Pause(State::kNoResources);
  return false;
}

}  // namespace baton
