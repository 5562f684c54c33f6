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

void Acceptor::AcceptAll() {
  if (state_ == State::kNoResources) state_ = State::kAccepting;
  while (AcceptOne()) {
  }
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
    counters_->accepted.Add(1);
    delegate_->OnAccept(std::move(socket), want_peer_ ? &peer : nullptr);
    return true;
  }
  switch (errno) {
    case EAGAIN:
    case EINVAL:  // the listener was shut down
      return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      Pause(State::kNoResources);
      return false;
    default:
      counters_->accept_errors.Add(1);
      return true;
  }
}

}  // namespace baton
