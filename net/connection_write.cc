// The part of ConnectionTable that writes.

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "net/connection_core.h"
#include "net/connection_table.h"
#include "net/socket_io.h"

namespace baton {

using internal::ConnectionCore;
using internal::WriteFileOperation;
using internal::WriteOperation;
using internal::WritePartsOperation;

bool ConnectionTable::EndWrite(WriteOperation& op, IoError error) {
  op.error = error;
  if (op.kind == WriteOperation::kOwnedBytes) {
    BufferPtr(op.buffer).reset();
    op.kind = WriteOperation::kBytes;
  }
  return true;
}

bool ConnectionTable::WriteAtOnce(WriteOperation& op) {
  ConnectionCore& core = *op.core;
  constexpr uint16_t kUnfit =
      ConnectionCore::kTransport | ConnectionCore::kBroken |
      ConnectionCore::kDetached | ConnectionCore::kLeaving |
      ConnectionCore::kWriting;
  if ((core.flags & (kUnfit | ConnectionCore::kWritable)) !=
          ConnectionCore::kWritable ||
      op.size == 0 || budget_ <= 0) {
    return false;
  }
  --budget_;
  const ssize_t sent = internal::SendTo(core.fd, op.data, op.size);
  if (sent < 0) return NoteSendError(core, op, errno);
  CountSent(core, sent);
  if (static_cast<uint64_t>(sent) == op.size) return true;
  Advance(op, static_cast<size_t>(sent));
  core.Clear(ConnectionCore::kWritable);
  return false;
}

namespace {

// What sendfile(2) reports of the socket; the rest is the file's.
bool IsSocketError(int error) {
  switch (error) {
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case ENETRESET:
      return true;
    default:
      return false;
  }
}

}  // namespace

inline void ConnectionTable::CountSent(ConnectionCore& core, ssize_t sent) {
  core.bytes_out += static_cast<uint64_t>(sent);
  counters_->bytes_out.Add(static_cast<uint64_t>(sent));
}

// True: the operation has failed. False: it may be tried again.
bool ConnectionTable::NoteSendError(ConnectionCore& core, WriteOperation& op,
                                    int error) {
  if (error == EAGAIN) core.Clear(ConnectionCore::kWritable);
  if (error == EAGAIN || error == EINTR) return false;
  if (op.kind == WriteOperation::kFile && !IsSocketError(error))
    return EndWrite(op, IoError::kFileError);
  // A peer that is gone for writing may have sent its last words before:
  // reading goes on until they are read.
  return EndWrite(op, IoError::kReset);
}

bool ConnectionTable::TryWrite(WriteOperation& op) {
  ConnectionCore& core = *op.core;
  CHECK(core.writer == nullptr || core.writer == &op)
      << "a connection has one writer at a time";
  while (op.size > 0) {
    if (aborted_) return EndWrite(op, IoError::kCancelled);
    if (core.Has(ConnectionCore::kDetached))
      return !core.IsMoving() && EndWrite(op, IoError::kDraining);
    if (core.Has(ConnectionCore::kBroken)) return EndWrite(op, IoError::kReset);
    if (!core.Has(ConnectionCore::kWritable)) return false;
    if (budget_ <= 0) {
      MakeReady(core);
      return false;
    }
    --budget_;
    const ssize_t sent = core.Has(ConnectionCore::kTransport)
                             ? SendToTransport(core, op)
                             : SendToSocket(core, op);
    if (sent == 0)  // only a file's: it is shorter than was said
      return EndWrite(op, IoError::kEof);
    if (sent < 0) {
      if (NoteSendError(core, op, static_cast<int>(-sent))) return true;
      continue;
    }
    CountSent(core, sent);
    if (static_cast<uint64_t>(sent) == op.size) break;
    Advance(op, static_cast<size_t>(sent));
    // Short: the socket is full, and room comes with an edge of its own
    // (epoll(7), Q9). Parts and files are sent in pieces, so there a short
    // count may only be the end of a piece.
    if (op.kind == WriteOperation::kBytes ||
        op.kind == WriteOperation::kOwnedBytes) {
      core.Clear(ConnectionCore::kWritable);
    }
  }
  return EndWrite(op, IoError::kOk);
}

void ConnectionTable::Advance(WriteOperation& op, size_t sent) {
  op.size -= sent;
  op.unsent = WriteOperation::kUnknown;
  switch (op.kind) {
    case WriteOperation::kBytes:
      op.data += sent;
      return;
    case WriteOperation::kOwnedBytes:
      op.buffer->begin += static_cast<uint32_t>(sent);
      return;
    case WriteOperation::kParts: {
      auto& all = static_cast<WritePartsOperation&>(op);
      size_t written = all.first_offset + sent;
      for (; all.count > 0 && written >= op.parts->size(); --all.count)
        written -= op.parts++->size();
      all.first_offset = written;
      return;
    }
    case WriteOperation::kFile:
      op.offset += static_cast<int64_t>(sent);
      return;
    case WriteOperation::kUrgent:
    case WriteOperation::kConnect:
      return;
  }
}

namespace {

// The parts that are left, as many as fit. Empty ones take no place: a call
// with nothing but them would send nothing.
int FillIovecs(const WritePartsOperation& op, absl::Span<iovec> iovecs) {
  size_t filled = 0;
  for (size_t i = 0; i < op.count && filled < iovecs.size(); ++i) {
    const absl::string_view part =
        op.parts[i].substr(i == 0 ? op.first_offset : 0);
    if (part.empty()) continue;
    iovecs[filled++] = {.iov_base = const_cast<char*>(part.data()),
                        .iov_len = part.size()};
  }
  return static_cast<int>(filled);
}

constexpr size_t kMaxParts = 64;  // of one system call

ssize_t SendParts(int fd, const WritePartsOperation& op) {
  std::array<iovec, kMaxParts> iovecs;
  msghdr message{};
  message.msg_iov = iovecs.data();
  message.msg_iovlen =
      static_cast<size_t>(FillIovecs(op, absl::MakeSpan(iovecs)));
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

// Writable means decided: the outcome stands in SO_ERROR - connect(2).
ssize_t FinishConnect(int fd, WriteOperation& op) {
  socklen_t size = sizeof(op.connect_errno);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &op.connect_errno, &size) != 0)
    op.connect_errno = errno;
  if (op.connect_errno == 0) return 1;
  errno = ECONNRESET;
  return -1;
}

ssize_t SendFile(int fd, const WriteFileOperation& op) {
  // One call moves no more than this, so that it stays a fair share of a turn.
  constexpr uint64_t kFileChunk = uint64_t{1} << 20;
  off_t offset = op.offset;
  return sendfile(fd, op.file_fd, &offset, std::min(op.size, kFileChunk));
}

}  // namespace

// Returns what the system call did, or -errno.
ssize_t ConnectionTable::SendToSocket(ConnectionCore& core,
                                      WriteOperation& op) {
  ssize_t sent = -1;
  const int flags = MSG_NOSIGNAL | (op.more ? MSG_MORE : 0);
  switch (op.kind) {
    case WriteOperation::kBytes:
      sent = send(core.fd, op.data, op.size, flags);
      break;
    case WriteOperation::kOwnedBytes:
      sent = send(core.fd, op.buffer->bytes().data(), op.size, flags);
      break;
    case WriteOperation::kParts:
      sent = SendParts(core.fd, static_cast<WritePartsOperation&>(op));
      break;
    case WriteOperation::kFile:
      sent = SendFile(core.fd, static_cast<WriteFileOperation&>(op));
      break;
    case WriteOperation::kConnect:
      sent = FinishConnect(core.fd, op);
      break;
    case WriteOperation::kUrgent:
      sent = send(core.fd, &op.urgent_byte, 1, MSG_NOSIGNAL | MSG_OOB);
      break;
  }
  return sent >= 0 ? sent : -errno;
}

ssize_t ConnectionTable::SendToTransport(ConnectionCore& core,
                                         WriteOperation& op) {
  Transport& transport = *core.extra->transport;
  std::array<iovec, kMaxParts> iovecs;
  switch (op.kind) {
    case WriteOperation::kBytes:
      iovecs[0] = {.iov_base = const_cast<char*>(op.data), .iov_len = op.size};
      return transport.Write(iovecs.data(), 1);
    case WriteOperation::kOwnedBytes:
      iovecs[0] = {.iov_base = op.buffer->data() + op.buffer->begin,
                   .iov_len = op.size};
      return transport.Write(iovecs.data(), 1);
    case WriteOperation::kParts:
      return transport.Write(iovecs.data(),
                             FillIovecs(static_cast<WritePartsOperation&>(op),
                                        absl::MakeSpan(iovecs)));
    case WriteOperation::kFile: {
      // Through memory: only a socket has sendfile. What the transport does not
      // take is read again.
      std::array<char, 16 * 1024> chunk;
      const ssize_t got =
          pread(static_cast<WriteFileOperation&>(op).file_fd, chunk.data(),
                std::min<uint64_t>(op.size, chunk.size()), op.offset);
      if (got <= 0) return got == 0 ? 0 : -errno;
      iovecs[0] = {.iov_base = chunk.data(),
                   .iov_len = static_cast<size_t>(got)};
      return transport.Write(iovecs.data(), 1);
    }
    case WriteOperation::kUrgent:
      return transport.WriteUrgent(op.urgent_byte);
    case WriteOperation::kConnect:
      break;  // only sockets connect
  }
  return -EINVAL;
}

// A write that has to wait must not point into the shared buffer: the next read
// overwrites it.
bool ConnectionTable::OwnBorrowedBytes(WriteOperation& op) {
  if (op.kind == WriteOperation::kBytes) {
    if (!IsBorrowed(op.data)) return true;
    const absl::string_view bytes(op.data, op.size);
    return OwnBytes(op, {&bytes, 1}, 0);
  }
  if (op.kind == WriteOperation::kParts) {
    const auto& all = static_cast<WritePartsOperation&>(op);
    const absl::Span<const absl::string_view> parts(op.parts, all.count);
    for (absl::string_view part : parts) {
      if (IsBorrowed(part.data())) return OwnBytes(op, parts, all.first_offset);
    }
  }
  return true;
}

bool ConnectionTable::OwnBytes(WriteOperation& op,
                               absl::Span<const absl::string_view> parts,
                               size_t offset) {
  BufferPtr own = buffers_.Take(op.size);
  if (own == nullptr) return false;
  for (absl::string_view part : parts) {
    part.remove_prefix(std::exchange(offset, 0));
    own->end +=
        static_cast<uint32_t>(part.copy(own->data() + own->end, part.size()));
  }
  op.kind = WriteOperation::kOwnedBytes;
  op.buffer = own.release();
  return true;
}

uint32_t ConnectionTable::Unsent(ConnectionCore& core) {
  if (core.Has(ConnectionCore::kTransport))
    return static_cast<uint32_t>(core.extra->transport->Unsent());
  int bytes = 0;
  return ioctl(core.fd, SIOCOUTQ, &bytes) == 0 ? static_cast<uint32_t>(bytes)
                                               : 0;
}

// Time to look at a write that waits. That the socket never became writable
// proves nothing: the kernel reports it only when a third of the buffer is
// free, and a slow reader may take longer than the time-out for that. What
// counts is whether the peer has taken a byte: whether the queue (tcp(7),
// SIOCOUTQ) got shorter. Sixteen looks per time-out, and what happened between
// two is taken to be of the later one: the verdict is never early, and at most
// two sixteenths late.
bool ConnectionTable::WriteTimedOut(ConnectionCore& core, WriteOperation& op) {
  const Tick limit = ticks_[core.settings].write;
  const Tick now = loop_.now_tick();
  const uint32_t unsent = Unsent(core);
  if (unsent < op.unsent) {
    op.unsent = unsent;
    op.progress = now;
  } else if (now - op.progress >= limit) {
    return true;
  }
  StartWriteWatch(core, op);
  return false;
}

void ConnectionTable::StartWriteWatch(ConnectionCore& core,
                                      WriteOperation& op) {
  op.deadline = loop_.now_tick() + 1 + ticks_[core.settings].write / 16;
}

}  // namespace baton
