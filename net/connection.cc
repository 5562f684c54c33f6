#include "net/connection.h"

#include <sys/socket.h>

#include <optional>
#include <utility>

namespace baton {

using internal::ConnectionCore;
using internal::WriteFileOperation;
using internal::WriteOperation;
using internal::WritePartsOperation;

Connection& Connection::operator=(Connection&& other) noexcept {
  if (this != &other) {
    if (core_ != nullptr) Close();
    core_ = std::exchange(other.core_, nullptr);
  }
  return *this;
}

void Connection::Close() {
  ConnectionTable::Current().Release(*std::exchange(core_, nullptr));
}

WriteAwaiter<WritePartsOperation> Connection::WriteParts(
    absl::Span<const absl::string_view> parts) {
  uint64_t size = 0;
  for (absl::string_view part : parts) size += part.size();
  WritePartsOperation op{WriteOperation(core_, WriteOperation::kParts, size),
                         static_cast<uint32_t>(parts.size())};
  op.parts = parts.data();
  return WriteAwaiter<WritePartsOperation>(op);
}

WriteAwaiter<WriteFileOperation> Connection::WriteFile(
    int fd, int64_t offset, int64_t size, const WriteFileOptions& options) {
  CHECK_GE(size, 0);
  WriteFileOperation op{
      WriteOperation(core_, WriteOperation::kFile, static_cast<uint64_t>(size)),
      fd, options.movable};
  op.offset = offset;
  return WriteAwaiter<WriteFileOperation>(op);
}

WriteAwaiter<WriteOperation> Connection::WriteUrgent(char byte) {
  WriteOperation op(core_, WriteOperation::kUrgent, 1);
  op.urgent_byte = byte;
  return WriteAwaiter<WriteOperation>(op);
}

std::optional<UnsentFile> Connection::TakeUnsentFile() {
  if (core_->extra == nullptr || !core_->extra->unsent_file.has_value())
    return std::nullopt;
  core_->Clear(ConnectionCore::kBroken);
  return std::exchange(core_->extra->unsent_file, std::nullopt);
}

void Connection::ForgetState() {
  if (core_->extra != nullptr) core_->extra->state.reset();
}

void Connection::ShutdownWrite() {
  if (core_->Has(ConnectionCore::kTransport))
    return core_->extra->transport->ShutdownWrite();
  // The socket may be another worker's by now.
  if (core_->Has(ConnectionCore::kDetached)) {
    Extra().shutdown_wanted = true;
    return;
  }
  shutdown(core_->fd,
           SHUT_WR);  // ENOTCONN after a reset: the next operation says so
}

void Connection::ResetOnClose() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};  // socket(7), SO_LINGER
  if (core_->fd >= 0 && !core_->Has(ConnectionCore::kDetached))
    setsockopt(core_->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

Endpoint Connection::peer() const {
  return Endpoint::PeerOf(core_->fd).value_or(Endpoint());
}
std::optional<uid_t> Connection::peer_uid() const {
  ucred peer{};
  socklen_t size = sizeof(peer);
  // Other sockets have no peer of a user: unix(7), SO_PEERCRED.
  if (core_->fd < 0 ||
      getsockopt(core_->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      peer.uid == static_cast<uid_t>(-1)) {
    return std::nullopt;
  }
  return peer.uid;
}
Endpoint Connection::local() const {
  return Endpoint::LocalOf(core_->fd).value_or(Endpoint());
}

internal::ConnectionExtra& Connection::Extra() {
  if (core_->extra == nullptr)
    core_->extra = std::make_unique<internal::ConnectionExtra>();
  return *core_->extra;
}

}  // namespace baton
