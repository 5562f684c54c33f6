// The reads and writes of ConnectionTable: what an operation does in one attempt.

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "net/connection_core.h"
#include "net/connection_table.h"

namespace baton {

using internal::ConnectionCore;
using internal::ReadOperation;
using internal::WriteOperation;

// ---- Reading ----

absl::string_view ConnectionTable::Unread(ConnectionCore& core) {
  if (core.buffer != nullptr) return core.buffer->bytes();
  if (borrower_ == &core) return {shared_.get() + shared_begin_, shared_end_ - shared_begin_};
  return {};
}

void ConnectionTable::Consume(ConnectionCore& core, uint32_t size) {
  if (core.buffer != nullptr) {
    core.buffer->begin += size;
  } else if (borrower_ == &core) {
    shared_begin_ += size;
    if (shared_begin_ == shared_end_) borrower_ = nullptr;
  }
}

bool ConnectionTable::TryRead(ReadOperation& op) {
  ConnectionCore& core = *op.core;
  // What the last read returned from the connection's own buffer has been used by now.
  if (core.buffer != nullptr && core.buffer->begin == core.buffer->end) core.buffer.reset();
  while (true) {
    if (op.urgent && core.Has(ConnectionCore::kUrgent) && ReadUrgentByte(op)) return true;
    if (TakeUnread(op)) return true;
    if (!core.Has(ConnectionCore::kReadable)) {
      if (aborted_) return EndRead(op, IoError::kCancelled);
      if (core.Has(ConnectionCore::kDetached)) return EndRead(op, IoError::kDraining);
      if (!draining_ || !op.idle) return false;
      // Bytes may have come since the last edge was used up: they are still answered.
      if (core.Has(ConnectionCore::kDrainTried)) return EndRead(op, IoError::kDraining);
      core.Set(ConnectionCore::kDrainTried);
      core.Set(ConnectionCore::kReadable);
    }
    switch (FillFromPeer(core, op.kind == ReadOperation::kSome ? 0 : op.limit)) {
      case Fill::kMore:
        core.Clear(ConnectionCore::kDrainTried);
        break;
      case Fill::kWouldBlock:
        break;
      case Fill::kYield:
        MakeReady(core);
        return false;
      case Fill::kEof:
        return EndRead(op, IoError::kEof);
      case Fill::kReset:
        return EndRead(op, IoError::kReset);
      case Fill::kOverload:
        return EndRead(op, IoError::kOverload);
    }
  }
}

bool ConnectionTable::EndRead(ReadOperation& op, IoError error) {
  op.error = error;
  return true;
}

// Completes the operation from bytes that are here, if they suffice.
bool ConnectionTable::TakeUnread(ReadOperation& op) {
  const absl::string_view unread = Unread(*op.core);
  if (unread.empty()) return false;
  auto take = static_cast<uint32_t>(unread.size());
  switch (op.kind) {
    case ReadOperation::kSome:
      break;
    case ReadOperation::kExactly:
      if (take < op.limit) return false;
      take = op.limit;
      break;
    case ReadOperation::kPeek:
      if (take < op.limit) return false;
      break;
    case ReadOperation::kUntil: {
      const size_t at = unread.substr(0, op.limit).find(op.delimiter, op.scanned);
      if (at == absl::string_view::npos) {
        // All but a beginning of the delimiter has been looked at for good.
        if (take >= op.delimiter.size()) op.scanned = take - static_cast<uint32_t>(op.delimiter.size()) + 1;
        return take >= op.limit && EndRead(op, IoError::kTooLong);
      }
      take = static_cast<uint32_t>(at + op.delimiter.size());
      break;
    }
  }
  last_read_ = ReadResult(unread.data(), take);
  if (op.kind != ReadOperation::kPeek) Consume(*op.core, take);
  return true;
}

// The byte out of band is kept by the kernel beside the stream (tcp(7), recv(2) MSG_OOB), so it is there or it is not.
bool ConnectionTable::ReadUrgentByte(ReadOperation& op) {
  ConnectionCore& core = *op.core;
  core.Clear(ConnectionCore::kUrgent);
  const ssize_t got = core.Has(ConnectionCore::kTransport) ? core.extra->transport->ReadUrgent(&urgent_byte_)
                                                           : recv(core.fd, &urgent_byte_, 1, MSG_OOB | MSG_DONTWAIT);
  if (got != 1) return false;
  last_read_ = ReadResult(&urgent_byte_, 1, /*urgent=*/true);
  return true;
}

ssize_t ConnectionTable::Receive(ConnectionCore& core, char* data, size_t size) {
  if (core.Has(ConnectionCore::kTransport)) return core.extra->transport->Read(data, size);
  const ssize_t got = recv(core.fd, data, size, 0);
  return got >= 0 ? got : -errno;
}

// One recv. `wanted`: how many bytes the operation may need at once, for the size of a buffer.
ConnectionTable::Fill ConnectionTable::FillFromPeer(ConnectionCore& core, uint32_t wanted) {
  if (core.Has(ConnectionCore::kEof)) return Fill::kEof;
  if (core.Has(ConnectionCore::kBroken)) return Fill::kReset;
  if (core.Has(ConnectionCore::kUnreadLost)) return Fill::kOverload;
  if (budget_ == 0) return Fill::kYield;
  --budget_;
  const absl::Span<char> room = MakeRoom(core, wanted);
  if (room.empty()) return Fill::kOverload;
  const ssize_t got = Receive(core, room.data(), room.size());
  if (got > 0) {
    if (core.buffer != nullptr) {
      core.buffer->end += static_cast<uint32_t>(got);
    } else {
      borrower_ = &core;
      shared_end_ += static_cast<uint32_t>(got);
    }
    core.bytes_in += static_cast<uint64_t>(got);
    counters_->bytes_in.Add(static_cast<uint64_t>(got));
    // Short: the socket is drained, and later bytes come with an edge of their own (epoll(7), Q9).
    if (static_cast<size_t>(got) < room.size() && !core.Has(ConnectionCore::kReadOn)) {
      core.Clear(ConnectionCore::kReadable);
    }
    return Fill::kMore;
  }
  if (got == 0) {
    core.Set(ConnectionCore::kEof);
    return Fill::kEof;
  }
  switch (-got) {
    case EAGAIN:
      core.Clear(ConnectionCore::kReadable);
      core.Clear(ConnectionCore::kReadOn);
      return Fill::kWouldBlock;
    case EINTR:
      return Fill::kWouldBlock;  // still readable: tried again
    default:
      core.Set(ConnectionCore::kBroken);
      return Fill::kReset;
  }
}

// Where the next bytes of `core` go: behind its unread ones.
absl::Span<char> ConnectionTable::MakeRoom(ConnectionCore& core, uint32_t wanted) {
  if (core.buffer == nullptr && borrower_ != &core) {
    // Everybody may read into the shared buffer, once the last one's bytes are out of the way.
    if (borrower_ != nullptr && !MoveToOwnBuffer(*borrower_, 0)) borrower_->Set(ConnectionCore::kUnreadLost);
    borrower_ = nullptr;
    shared_begin_ = shared_end_ = 0;
    return {shared_.get(), kSharedBufferBytes};
  }
  if (core.buffer == nullptr) {
    if (shared_end_ < kSharedBufferBytes) return {shared_.get() + shared_end_, kSharedBufferBytes - shared_end_};
    if (!MoveToOwnBuffer(core, wanted)) return {};
  } else if (core.buffer->space() == 0) {
    if (!MoveToOwnBuffer(core, wanted)) return {};
  }
  Buffer& buffer = *core.buffer;
  return {buffer.data() + buffer.end, buffer.space()};
}

// Moves the unread bytes to the front of a buffer of the connection's own, with room for `wanted` bytes in all and for
// one more in any case. False if the pool has none.
bool ConnectionTable::MoveToOwnBuffer(ConnectionCore& core, uint32_t wanted) {
  const absl::string_view unread = Unread(core);
  const size_t needed = std::max<size_t>(wanted, unread.size() + 1);
  BufferPtr& own = core.buffer;
  if (own != nullptr && own->capacity >= needed) {
    memmove(own->data(), unread.data(), unread.size());
  } else {
    // Growing by doubling would be lazier than what `wanted` says, but a peer that only promises gets no memory.
    const size_t size = std::min(needed, std::max<size_t>(2 * unread.size(), 512));
    BufferPtr larger = buffers_.Take(std::max(size, unread.size() + 1));
    if (larger == nullptr) return false;
    memcpy(larger->data(), unread.data(), unread.size());
    own = std::move(larger);
  }
  own->begin = 0;
  own->end = static_cast<uint32_t>(unread.size());
  if (borrower_ == &core) borrower_ = nullptr;
  return true;
}

// ---- Writing ----

bool ConnectionTable::EndWrite(WriteOperation& op, IoError error) {
  op.error = error;
  if (std::exchange(op.owned, false)) BufferPtr(op.buffer).reset();
  return true;
}

bool ConnectionTable::TryWrite(WriteOperation& op) {
  ConnectionCore& core = *op.core;
  while (true) {
    if (op.remaining() == 0) return EndWrite(op, IoError::kOk);
    if (aborted_) return EndWrite(op, IoError::kCancelled);
    if (core.Has(ConnectionCore::kBroken)) return EndWrite(op, IoError::kReset);
    if (!core.Has(ConnectionCore::kWritable)) return false;
    if (budget_ == 0) {
      MakeReady(core);
      return false;
    }
    --budget_;
    const ssize_t sent = SendSome(core, op);
    if (sent > 0) {
      core.bytes_out += static_cast<uint64_t>(sent);
      counters_->bytes_out.Add(static_cast<uint64_t>(sent));
      op.Advance(static_cast<size_t>(sent));
      op.unsent = WriteOperation::kUnknown;
    } else if (sent == 0) {
      return EndWrite(op, IoError::kEof);  // the file is shorter than was said
    } else if (sent == -EAGAIN) {
      core.Clear(ConnectionCore::kWritable);
    } else if (sent != -EINTR) {
      // A peer that is gone for writing may have sent its last words before: reading goes on until they are read.
      return EndWrite(op, IoError::kReset);
    }
  }
}

ssize_t ConnectionTable::SendSome(ConnectionCore& core, WriteOperation& op) {
  // One call moves at most this much of a file, so that it stays one fair share of a turn.
  constexpr size_t kFileChunk = size_t{1} << 20;
  std::array<iovec, 64> parts;
  int count = 1;
  ssize_t sent;
  const bool plain = !core.Has(ConnectionCore::kTransport);
  switch (op.kind) {
    case WriteOperation::kBytes:
      if (plain) {
        sent = send(core.fd, op.bytes.data, op.bytes.size, MSG_NOSIGNAL);
        return sent >= 0 ? sent : -errno;
      }
      parts[0] = {.iov_base = const_cast<char*>(op.bytes.data), .iov_len = op.bytes.size};
      break;
    case WriteOperation::kParts:
      count = op.FillIovecs(absl::MakeSpan(parts));
      if (plain) {
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = static_cast<size_t>(count);
        sent = sendmsg(core.fd, &message, MSG_NOSIGNAL);
        return sent >= 0 ? sent : -errno;
      }
      break;
    case WriteOperation::kFile: {
      if (plain) {
        off_t offset = op.file.offset;
        sent = sendfile(core.fd, op.file_fd, &offset, std::min<size_t>(static_cast<size_t>(op.file.size), kFileChunk));
        return sent >= 0 ? sent : -errno;
      }
      sent = pread(op.file_fd, shared_.get(), std::min<size_t>(static_cast<size_t>(op.file.size), kSharedBufferBytes),
                   op.file.offset);
      if (sent <= 0) return sent == 0 ? 0 : -errno;
      parts[0] = {.iov_base = shared_.get(), .iov_len = static_cast<size_t>(sent)};
      break;
    }
    case WriteOperation::kUrgent:
      if (plain) {
        sent = send(core.fd, &op.urgent_byte, 1, MSG_NOSIGNAL | MSG_OOB);
        return sent >= 0 ? sent : -errno;
      }
      return core.extra->transport->WriteUrgent(op.urgent_byte);
  }
  return core.extra->transport->Write(parts.data(), count);
}

// A write that has to wait must not point into the shared buffer: the next read overwrites it.
bool ConnectionTable::OwnBorrowedBytes(WriteOperation& op) {
  size_t size = 0;
  if (op.kind == WriteOperation::kBytes) {
    if (!IsBorrowed(op.bytes.data)) return true;
    size = op.bytes.size;
  } else if (op.kind == WriteOperation::kParts) {
    bool borrowed = false;
    for (uint32_t i = 0; i < op.parts.count; ++i) borrowed |= IsBorrowed(op.parts.first[i].data());
    if (!borrowed) return true;
    size = op.remaining();
  } else {
    return true;
  }
  BufferPtr own = buffers_.Take(size);
  if (own == nullptr) return false;
  if (op.kind == WriteOperation::kBytes) {
    memcpy(own->data(), op.bytes.data, size);
  } else {
    char* to = own->data();
    for (uint32_t i = 0; i < op.parts.count; ++i) {
      const absl::string_view part = op.parts.first[i].substr(i == 0 ? op.parts.offset : 0);
      memcpy(to, part.data(), part.size());
      to += part.size();
    }
  }
  op.kind = WriteOperation::kBytes;
  op.bytes = {.data = own->data(), .size = size};
  op.buffer = own.release();
  op.owned = true;
  return true;
}

int64_t ConnectionTable::Unsent(ConnectionCore& core) {
  if (core.Has(ConnectionCore::kTransport)) return core.extra->transport->Unsent();
  int bytes = 0;
  return ioctl(core.fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

// Time to look at a write that waits. That the socket never became writable proves nothing: the kernel reports it only
// when a third of the buffer is free, and a slow reader may take longer than the time-out for that. What counts is
// whether the peer has taken a byte: whether the queue (tcp(7), SIOCOUTQ) got shorter. Sixteen looks per time-out, so
// the verdict is at most a sixteenth late.
bool ConnectionTable::WriteTimedOut(ConnectionCore& core, WriteOperation& op) {
  const Tick limit = ticks_[core.settings].write;
  const Tick now = loop_.now_tick();
  const int64_t unsent = Unsent(core);
  if (unsent < op.unsent) {
    op.unsent = unsent;
    op.progress = now;
  } else if (now - op.progress >= limit) {
    return true;
  }
  StartWriteWatch(core, op);
  return false;
}

void ConnectionTable::StartWriteWatch(ConnectionCore& core, WriteOperation& op) {
  op.deadline = loop_.now_tick() + 1 + ticks_[core.settings].write / 16;
}

}  // namespace baton
