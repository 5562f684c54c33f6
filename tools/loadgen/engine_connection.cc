// The half of Engine that deals with one connection: from connect() to close().
//
// Every function that may end the connection leaves the slot kClosed with an
// empty fd; callers look at that, and go no further with it.

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "net/errno_status.h"
#include "tools/loadgen/client_socket.h"
#include "tools/loadgen/engine.h"
#include "tools/loadgen/engine_clock.h"

namespace baton::loadgen {
namespace {

// An answer without end must not keep the others waiting.
constexpr int kReadsPerTurn = 64;
constexpr int64_t kFirstRetryNanos = 1'000'000;
constexpr int kMaxDoublings = 7;
constexpr int64_t kQueueRetryNanos = 10'000'000;
constexpr uint32_t kEndEvents = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

ErrorKind KindOf(int error, bool connecting) {
  switch (error) {
    case ECONNREFUSED:
      return ErrorKind::kConnectRefused;
    case ETIMEDOUT:
      return connecting ? ErrorKind::kConnectTimeout : ErrorKind::kTimeout;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EMSGSIZE:
    case EADDRNOTAVAIL:
      return ErrorKind::kLocal;
    case ECONNRESET:
    case EPIPE:
      return ErrorKind::kReset;
    default:
      return connecting ? ErrorKind::kConnectFailed : ErrorKind::kReset;
  }
}

}  // namespace

void Engine::SetState(Slot& slot, State state) {
  const auto in_flight = [](State s) {
    return s != State::kClosed && s != State::kIdle ? 1 : 0;
  };
  const auto open = [](State s) {
    return s != State::kClosed && s != State::kConnecting ? 1 : 0;
  };
  in_flight_ += in_flight(state) - in_flight(slot.state);
  open_ += open(state) - open(slot.state);
  connecting_ += (state == State::kConnecting ? 1 : 0) -
                 (slot.state == State::kConnecting ? 1 : 0);
  slot.state = state;
}

void Engine::SetOwes(Slot& slot, bool owes) {
  owed_ += (owes ? 1 : 0) - (slot.owes_exchange ? 1 : 0);
  slot.owes_exchange = owes;
}

void Engine::Open(uint32_t index) {
  Slot& slot = slots_[index];
  slot.connection = ++connections_begun_;
  slot.exchanges = 0;
  slot.since = NowNanos();
  SetState(slot, State::kConnecting);
  Connect(index);
}

void Engine::Connect(uint32_t index) {
  Slot& slot = slots_[index];
  OpenedSocket opened =
      OpenClientSocket(options_.target, slot.connection, sources_);
  if (!opened.fd) {
    // The queue of a unix listener is full, of which no event would tell when
    // it no longer is: connect(2). A TCP client would wait in SYN_SENT.
    if (opened.error == EAGAIN && !opened.local) {
      WakeAt(index, now_ + kQueueRetryNanos);
    } else if (opened.local) {
      Fail(index, ErrorKind::kLocal,
           absl::StrCat("socket: ", ErrnoText(opened.error)));
    } else {
      FailErrno(index, "connect", opened.error);
    }
    return;
  }
  slot.fd = std::move(opened.fd);
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  if (options_.urgent) event.events |= EPOLLPRI;
  event.data.u64 = index;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, slot.fd.get(), &event) < 0) {
    Fail(index, ErrorKind::kLocal,
         absl::StrCat("epoll_ctl: ", ErrnoText(errno)));
  }
}

void Engine::OnEvent(uint32_t index, uint32_t events) {
  Slot& slot = slots_[index];
  if (slot.state == State::kConnecting) {
    if (!FinishConnect(index, events)) return;
  } else if ((events & EPOLLOUT) != 0) {
    Flush(index);
  }
  if (slot.fd && (events & (EPOLLIN | EPOLLPRI | kEndEvents)) != 0) {
    Receive(index, events);
  }
}

// False: not connected, yet or at all.
bool Engine::FinishConnect(uint32_t index, uint32_t events) {
  Slot& slot = slots_[index];
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    int error = 0;
    socklen_t length = sizeof(error);
    ::getsockopt(slot.fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
      FailErrno(index, "connect", error);
      return false;
    }
  }
  if ((events & EPOLLOUT) == 0) return false;
  ++tally_.connections;
  connect_.Record(now_ - slot.since);
  if (slot.owes_exchange && phase_ != Phase::kConnect) {
    Begin(index, now_);
  } else {
    BecomeReady(index);
  }
  return static_cast<bool>(slot.fd);
}

void Engine::Begin(uint32_t index, int64_t intended) {
  Slot& slot = slots_[index];
  SetOwes(slot, false);
  slot.since = NowNanos();
  slot.intended = slot.since;
  if (options_.rate > 0) {
    slot.intended = intended;
    lag_.Record(slot.since - intended);
  }
  slot.last = phase_ == Phase::kVerify ||
              (options_.churn > 0 && slot.exchanges + 1 >= options_.churn);
  slot.conversation->Begin({.connection = slot.connection,
                            .sequence = static_cast<uint64_t>(slot.exchanges),
                            .last = slot.last});
  SetState(slot, State::kBusy);
  Flush(index);
}

void Engine::Flush(uint32_t index) {
  Slot& slot = slots_[index];
  while (slot.state == State::kBusy) {
    if (slot.conversation->UrgentDue() && !SendUrgent(index)) return;
    const absl::string_view next = slot.conversation->Pending();
    if (next.empty()) return;
    const ssize_t sent =
        ::send(slot.fd.get(), next.data(), next.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) FailErrno(index, "send", errno);
      return;
    }
    tally_.bytes_sent += sent;
    Settle(index, slot.conversation->Sent(sent), /*by_sending=*/true);
  }
}

// False: not sent, for now or for good.
bool Engine::SendUrgent(uint32_t index) {
  Slot& slot = slots_[index];
  const char byte = slot.conversation->UrgentByte();
  if (::send(slot.fd.get(), &byte, 1, MSG_OOB | MSG_NOSIGNAL) < 0) {
    if (errno != EAGAIN) FailErrno(index, "send", errno);
    return false;
  }
  ++tally_.bytes_sent;
  slot.conversation->UrgentSent();
  return true;
}

void Engine::Receive(uint32_t index, uint32_t events) {
  const Ticket ticket = TicketOf(index);
  Slot& slot = slots_[index];
  // With the end in sight a short read is no proof that all is read: epoll(7).
  const bool until_end = (events & kEndEvents) != 0;
  for (int reads = 0; reads < kReadsPerTurn; ++reads) {
    if (reads > 0) now_ = NowNanos();
    const bool more = options_.urgent
                          ? ReceiveUrgent(index, until_end)
                          : ReceiveOnce(index, buffer_.size(), until_end);
    if (!more || !slot.fd) return;
  }
  unfinished_.push_back({ticket, events});
}

// Reads at most `limit` bytes. True: there may be more to read.
bool Engine::ReceiveOnce(uint32_t index, size_t limit, bool until_end) {
  const ssize_t got = ::recv(slots_[index].fd.get(), buffer_.data(), limit, 0);
  if (got < 0) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN) FailErrno(index, "recv", errno);
    return false;
  }
  if (got == 0 && options_.target.transport != LoadTarget::Transport::kUdp) {
    OnEnd(index);
    return false;
  }
  tally_.bytes_received += got;
  OnBytes(index, absl::string_view(buffer_.data(), got));
  return until_end || static_cast<size_t>(got) == limit;
}

// While an urgent byte is awaited nothing may be read past the place where it
// will turn out to have been, or the kernel drops it (tcp(7), SO_OOBINLINE):
// FIONREAD counts up to that place, and what it counted is safe to take.
bool Engine::ReceiveUrgent(uint32_t index, bool until_end) {
  Slot& slot = slots_[index];
  if (slot.state != State::kBusy || !slot.conversation->UrgentAwaited()) {
    // The mark splits the stream: a short read proves nothing here either.
    return ReceiveOnce(index, buffer_.size(), /*until_end=*/true);
  }
  int available = 0;
  ::ioctl(slot.fd.get(), FIONREAD, &available);
  if (available > 0) {
    ReceiveOnce(index, std::min<size_t>(available, buffer_.size()), until_end);
    return true;
  }
  char byte = 0;
  if (::recv(slot.fd.get(), &byte, 1, MSG_OOB) == 1) {
    ++tally_.bytes_received;
    Settle(index, slot.conversation->UrgentReceived(byte), false);
    return true;
  }
  // Not there yet: its coming is an edge. Or the end, or an error.
  return until_end && ReceiveOnce(index, buffer_.size(), until_end);
}

void Engine::OnBytes(uint32_t index, absl::string_view bytes) {
  Slot& slot = slots_[index];
  if (slot.state == State::kBusy) {
    Settle(index, slot.conversation->Received(bytes), /*by_sending=*/false);
  } else {
    Fail(index, ErrorKind::kMismatch,
         absl::StrCat(bytes.size(), " bytes that nobody asked for"));
  }
}

void Engine::OnEnd(uint32_t index) {
  Slot& slot = slots_[index];
  if (slot.state == State::kEnding) {
    Close(index);
    Reconnect(index);
    return;
  }
  const Verdict verdict =
      slot.state == State::kBusy ? slot.conversation->Ended() : Verdict::kMore;
  if (verdict == Verdict::kMore) {
    Fail(index, ErrorKind::kEof, "the peer closed");
  } else {
    Settle(index, verdict, /*by_sending=*/false);
  }
}

void Engine::Settle(uint32_t index, Verdict verdict, bool by_sending) {
  switch (verdict) {
    case Verdict::kMore:
      return;
    case Verdict::kDone:
      return Complete(index, /*refused=*/false, by_sending);
    case Verdict::kRefused:
      return Complete(index, /*refused=*/true, by_sending);
    case Verdict::kWrong:
      return Fail(index, ErrorKind::kMismatch,
                  slots_[index].conversation->complaint());
  }
}

void Engine::Complete(uint32_t index, bool refused, bool by_sending) {
  Slot& slot = slots_[index];
  const bool closes = slot.conversation->peer_closes();
  if (refused) {
    RecordError(slot, ErrorKind::kStatus, slot.conversation->complaint());
  } else {
    // now_ is when the answer was known to be there. It is older than the
    // message where that was sent in this same turn.
    const bool in_turn = by_sending || slot.since > now_;
    interval_.Record((in_turn ? NowNanos() : now_) - slot.intended);
    ++tally_.exchanges;
    if (closes && !slot.last) ++tally_.told_to_close;
  }
  ++slot.exchanges;
  slot.failures = 0;
  if (closes || slot.last) {
    Retire(index);
  } else {
    // What is complete by being sent may be again and again: in turns, then.
    AfterExchange(index, /*may_begin=*/!by_sending);
  }
}

// Ends a connection that has no exchange in progress.
void Engine::Retire(uint32_t index) {
  Slot& slot = slots_[index];
  if (protocol_->ends_by_half_close() &&
      options_.target.transport != LoadTarget::Transport::kUdp) {
    ::shutdown(slot.fd.get(), SHUT_WR);
    slot.since = NowNanos();
    SetState(slot, State::kEnding);
  } else {
    Close(index);
    Reconnect(index);
  }
}

// The next exchange of this slot is the first one of another connection.
void Engine::Reconnect(uint32_t index) {
  if (options_.think > absl::ZeroDuration()) {
    WakeAt(index, NowNanos() + absl::ToInt64Nanoseconds(options_.think));
  } else {
    unconnected_.push_back(index);
  }
}

void Engine::Close(uint32_t index) {
  Slot& slot = slots_[index];
  slot.fd.reset();
  SetState(slot, State::kClosed);
}

void Engine::RecordError(const Slot& slot, ErrorKind kind,
                         absl::string_view what) {
  ++tally_.errors(kind, slot.exchanges == 0 ? Age::kNew : Age::kReused);
  if (tally_.first_error.empty()) {
    tally_.first_error =
        absl::StrCat("connection ", slot.connection, ", exchange ",
                     slot.exchanges, ": ", what);
  }
}

// Counts the error, closes, and sees to it that there will be another
// connection.
void Engine::Fail(uint32_t index, ErrorKind kind, absl::string_view what) {
  Slot& slot = slots_[index];
  RecordError(slot, kind, what);
  SetOwes(slot, false);
  Close(index);
  if (slot.exchanges > 0) {
    unconnected_.push_back(index);
    return;
  }
  const int64_t delay = kFirstRetryNanos << slot.failures;
  if (slot.failures < kMaxDoublings) ++slot.failures;
  WakeAt(index, NowNanos() + delay);
}

void Engine::FailErrno(uint32_t index, absl::string_view call, int error) {
  const bool connecting = slots_[index].state == State::kConnecting;
  Fail(index, KindOf(error, connecting),
       absl::StrCat(call, ": ", ErrnoText(error)));
}

}  // namespace baton::loadgen
