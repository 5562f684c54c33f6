// The part of ConnectionTable that lets a connection move to another process.

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

ConnectionImage ConnectionTable::Export(ConnectionCore& core) {
  ConnectionImage image;
  image.unread = std::string(Unread(core));
  image.bytes_in = core.bytes_in;
  image.bytes_out = core.bytes_out;
  image.age =
      absl::Nanoseconds(int64_t{loop_.now_tick() - core.opened} * kTickNanos);
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

UniqueFd ConnectionTable::Detach(ConnectionCore& core) {
  CHECK(AtSafePoint(core) && core.fd >= 0);
  // The descriptor lives on in another process: closing our copy would not take
  // it out of our epoll (epoll(7), Q6).
  loop_.RemoveFd(core.fd);
  core.Set(ConnectionCore::kDetached);
  CancelRead(*core.reader, IoError::kDraining);
  return UniqueFd(std::exchange(core.fd, -1));
}

absl::StatusOr<ConnectionCore*> ConnectionTable::Import(
    UniqueFd fd, uint16_t settings, const ConnectionImage& image) {
  int error = 0;
  ConnectionCore* core = AddSocket(std::move(fd), settings, &error);
  if (core == nullptr)
    return ErrnoStatus("epoll_ctl", "received connection", error);
  if (absl::Status status = Resume(*core, image); !status.ok()) {
    Free(*core);
    return status;
  }
  counters_->received.Add(1);
  counters_->open.Add(1);
  return core;
}

absl::Status ConnectionTable::Resume(ConnectionCore& core,
                                     const ConnectionImage& image) {
  if (core.extra == nullptr) core.extra = std::make_unique<ConnectionExtra>();
  if (image.state.has_value()) {
    const StateCodec* codec = SettingsOf(core).state_codec;
    if (codec == nullptr)
      return absl::InvalidArgumentError(
          "a connection with state came for a service without");
    auto state = codec->Decode(image.state_version, *image.state);
    if (!state.ok()) return state.status();
    core.extra->state = *std::move(state);
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
    core.extra->idle_deadline =
        loop_.now_tick() + 1 + TicksFor(image.idle_left);
  }
  core.Set(ConnectionCore::kResumed);
  core.bytes_in = image.bytes_in;
  core.bytes_out = image.bytes_out;
  core.opened -= TicksFor(image.age);
  return absl::OkStatus();
}

}  // namespace baton
