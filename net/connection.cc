#include "net/connection.h"

#include <sys/socket.h>

#include <utility>

namespace baton {

using internal::ConnectionCore;
using internal::WriteOperation;

Connection& Connection::operator=(Connection&& other) noexcept {
  if (this != &other) {
    if (core_ != nullptr) Close();
    core_ = std::exchange(other.core_, nullptr);
  }
  return *this;
}

void Connection::Close() { ConnectionTable::Current().Release(*std::exchange(core_, nullptr)); }

WriteAwaiter Connection::Write(absl::string_view bytes) {
  WriteOperation op(core_, WriteOperation::kBytes);
  op.bytes = {.data = bytes.data(), .size = bytes.size()};
  return WriteAwaiter(op);
}

WriteAwaiter Connection::WriteParts(absl::Span<const absl::string_view> parts) {
  WriteOperation op(core_, WriteOperation::kParts);
  op.parts = {.first = parts.data(), .count = static_cast<uint32_t>(parts.size()), .offset = 0};
  return WriteAwaiter(op);
}

WriteAwaiter Connection::WriteFile(int fd, int64_t offset, int64_t size) {
  WriteOperation op(core_, WriteOperation::kFile);
  op.file = {.offset = offset, .size = size};
  op.file_fd = fd;
  return WriteAwaiter(op);
}

WriteAwaiter Connection::WriteUrgent(char byte) {
  WriteOperation op(core_, WriteOperation::kUrgent);
  op.bytes = {.data = nullptr, .size = 1};
  op.urgent_byte = byte;
  return WriteAwaiter(op);
}

void Connection::ShutdownWrite() {
  if (core_->Has(ConnectionCore::kTransport)) return core_->extra->transport->ShutdownWrite();
  shutdown(core_->fd, SHUT_WR);  // ENOTCONN after a reset: the next operation says so
}

void Connection::ResetOnClose() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};  // socket(7), SO_LINGER
  if (core_->fd >= 0) setsockopt(core_->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

Endpoint Connection::peer() const { return Endpoint::PeerOf(core_->fd).value_or(Endpoint()); }
Endpoint Connection::local() const { return Endpoint::LocalOf(core_->fd).value_or(Endpoint()); }

Tick Connection::TimeoutTicks(absl::Duration timeout) { return ConnectionTable::TicksFor(timeout); }

std::unique_ptr<ConnectionState>& Connection::StateSlot() {
  if (core_->extra == nullptr) core_->extra = std::make_unique<internal::ConnectionExtra>();
  return core_->extra->state;
}

}  // namespace baton
