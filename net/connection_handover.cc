// The part of ConnectionTable that lets a connection move to another process.

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "net/connection_core.h"
#include "net/connection_table.h"
#include "net/errno_status.h"

namespace baton {

using internal::ConnectionCore;
using internal::ConnectionExtra;

bool ConnectionTable::AtSafePoint(const ConnectionCore& core) const {
  return core.reader != nullptr && core.reader->idle && core.writer == nullptr;
}

bool ConnectionTable::CanDetach(const ConnectionCore& core) const {
  constexpr uint16_t kBusy =
      ConnectionCore::kReadable | ConnectionCore::kBroken |
      ConnectionCore::kTransport | ConnectionCore::kDetached |
      ConnectionCore::kUnreadLost | ConnectionCore::kOutbound;
  return core.fd >= 0 && (core.flags & kBusy) == 0 && AtSafePoint(core);
}

void ConnectionTable::BeginHandover(SafePointObserver* observer) {
  safe_points_ = observer;
  ForEach([this](ConnectionCore& core) {
    core.Set(ConnectionCore::kLeaving);
    core.Clear(ConnectionCore::kDrainTried);
    if (CanDetach(core)) OfferSafePoint(core);
  });
}

void ConnectionTable::OfferSafePoint(ConnectionCore& core) {
  if (core.Has(ConnectionCore::kDrainTried)) return;
  core.Set(ConnectionCore::kDrainTried);
  safe_points_->OnSafePoint(core);
}

void ConnectionTable::ForgetOffer(ConnectionCore& core) {
  core.Clear(ConnectionCore::kDrainTried);
}

ConnectionImage ConnectionTable::Export(ConnectionCore& core) {
  ConnectionImage image;
  image.unread = std::string(Unread(core));
  image.bytes_in = core.bytes_in;
  image.bytes_out = core.bytes_out;
  image.age = AgeOf(core);
  if (core.reader != nullptr && core.reader->has_deadline) {
    const auto ticks =
        static_cast<int32_t>(core.reader->deadline - loop_.now_tick());
    image.idle_left =
        absl::Nanoseconds(int64_t{std::max(ticks, 0)} * kTickNanos);
  }
  if (core.extra != nullptr && core.extra->state != nullptr) {
    image.state_version = SettingsOf(core).state_codec->version();
    image.state = core.extra->state->Encode();
  }
  return image;
}

int ConnectionTable::Detach(ConnectionCore& core) {
  CHECK(CanDetach(core));
  // A copy of the descriptor is about to live in another process: closing ours
  // would not take it out of our epoll (epoll(7), Q6).
  loop_.RemoveFd(core.fd);
  core.Set(ConnectionCore::kDetached);
  return core.fd;
}

int ConnectionTable::Reattach(ConnectionCore& core) {
  CHECK(core.IsMoving());
  if (core.reader == nullptr) {  // aborted in this turn: it ends here
    core.Clear(ConnectionCore::kDetached);
    return 0;
  }
  // Epoll reports what has come meanwhile.
  const int error =
      loop_.AddFd(core.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, client_,
                  core.index, core.generation);
  if (error != 0) return error;
  core.Clear(ConnectionCore::kDetached);
  if (core.extra != nullptr &&
      std::exchange(core.extra->shutdown_wanted, false))
    shutdown(core.fd, SHUT_WR);
  internal::ReadOperation& op = *core.reader;
  if (op.error != IoError::kOk) {
    CancelRead(op, op.error);
  } else {
    // One that has passed meanwhile is judged when the loop has heard what came
    // meanwhile: the timers of this turn come before that.
    if (op.has_deadline) {
      const Tick next = loop_.now_tick() + 1;
      FileDeadline(core, TickBefore(op.deadline, next) ? next : op.deadline);
    }
    if (draining_) MakeReady(core);
  }
  if (core.writer == nullptr) return 0;
  if (core.writer->error != IoError::kOk) {
    CancelWrite(*core.writer, core.writer->error);
    return 0;
  }
  MakeReady(core);
  if (core.writer->has_deadline) FileDeadline(core, core.writer->deadline);
  return 0;
}

void ConnectionTable::GiveAway(ConnectionCore& core) {
  CHECK(core.IsMoving());
  UniqueFd(std::exchange(core.fd, -1)).reset();
  counters_->open.Add(-1);
  counters_->handed_over.Add(1);
  if (core.reader != nullptr) CancelRead(*core.reader, IoError::kDraining);
  if (core.writer != nullptr) CancelWrite(*core.writer, IoError::kDraining);
}

absl::StatusOr<ConnectionCore*> ConnectionTable::Import(
    UniqueFd fd, uint16_t settings, const ConnectionImage& image) {
  int error = 0;
  ConnectionCore* core = AddSocket(std::move(fd), settings, &error);
  if (core == nullptr)
    return ErrnoStatus("epoll_ctl", "received connection", error);
  if (absl::Status status = Resume(*core, image); !status.ok()) {
    loop_.RemoveFd(core->fd);  // its giver has a copy
    Free(*core);
    return status;
  }
  counters_->received.Add(1);
  counters_->open.Add(1);
  return core;
}

absl::Status ConnectionTable::Resume(ConnectionCore& core,
                                     const ConnectionImage& image) {
  const auto extra = [&core]() -> ConnectionExtra& {
    if (core.extra == nullptr) core.extra = std::make_unique<ConnectionExtra>();
    return *core.extra;
  };
  if (image.state.has_value()) {
    const StateCodec* codec = SettingsOf(core).state_codec;
    if (codec == nullptr)
      return absl::InvalidArgumentError(
          "a connection with state came for a service without");
    auto state = codec->Decode(image.state_version, *image.state);
    if (!state.ok()) return state.status();
    extra().state = *std::move(state);
  }
  if (!image.unread.empty()) {
    core.buffer = buffers_.Take(image.unread.size());
    if (core.buffer == nullptr)
      return absl::ResourceExhaustedError("no buffer for unread bytes");
    core.buffer->end = static_cast<uint32_t>(
        image.unread.copy(core.buffer->data(), image.unread.size()));
    core.Set(ConnectionCore::kStored);
  }
  if (image.idle_left != absl::InfiniteDuration()) {
    extra().idle_deadline = loop_.now_tick() + 1 + TicksFor(image.idle_left);
  }
  core.Set(ConnectionCore::kResumed);
  core.bytes_in = image.bytes_in;
  core.bytes_out = image.bytes_out;
  core.opened -= TicksFor(image.age);
  return absl::OkStatus();
}

}  // namespace baton
