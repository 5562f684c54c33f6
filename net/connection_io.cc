// The reads and writes of ConnectionTable: what an event leads to, and what an
// operation does in one attempt.

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
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

namespace baton {

using internal::ConnectionCore;
using internal::ReadOperation;
using internal::WriteFileOperation;
using internal::WriteOperation;
using internal::WritePartsOperation;

// ---- Events ----

void ConnectionTable::OnEvents(uint32_t index, uint32_t generation,
                               uint32_t events) {
  ConnectionCore& core = cores_[index];
  if ((core.generation & EventLoop::kGenerationMask) != generation)
    return loop_.CountStaleEvent();
  if (events == (EPOLLIN | EPOLLOUT)) {
    core.flags |= ConnectionCore::kReadable | ConnectionCore::kWritable;
  } else {
    NoteEvents(core, events);
  }
  const bool again = (events & EventLoop::kReadyEvent) != 0;
  budget_ = kBudget;
  if (core.writer != nullptr &&
      (again || core.Has(ConnectionCore::kWritable))) {
    StepWrite(core);
    // The coroutine has run: the connection may be gone.
    if ((core.generation & EventLoop::kGenerationMask) != generation) return;
  }
  if (core.reader != nullptr && (again || core.Has(ConnectionCore::kReadable)))
    StepRead(core);
}

void ConnectionTable::NoteEvents(ConnectionCore& core, uint32_t events) {
  uint16_t flags = 0;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0)
    flags = ConnectionCore::kReadable;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0)
    flags |= ConnectionCore::kReadOn;
  if ((events & EPOLLPRI) != 0) flags |= ConnectionCore::kUrgent;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0)
    flags |= ConnectionCore::kWritable;
  core.flags |= flags;
}

void ConnectionTable::StepRead(ConnectionCore& core) {
  ReadOperation& op = *core.reader;
  if (!(op.kind == ReadOperation::kSome && ReadAtOnce(core)) && !TryRead(op))
    return;
  core.reader = nullptr;
  op.waiter.Resume();
}

void ConnectionTable::StepWrite(ConnectionCore& core) {
  WriteOperation& op = *core.writer;
  if (!TryWrite(op)) return;
  core.writer = nullptr;
  op.waiter.Resume();
}

// ---- Reading ----

absl::string_view ConnectionTable::Unread(ConnectionCore& core) {
  if (core.buffer != nullptr) return core.buffer->bytes();
  if (borrower_ == &core)
    return {shared_.get() + shared_begin_, shared_end_ - shared_begin_};
  return {};
}

void ConnectionTable::Consume(ConnectionCore& core, uint32_t size) {
  if (core.buffer != nullptr) {
    core.buffer->begin += size;
  } else if (borrower_ == &core) {
    shared_begin_ += size;
    if (shared_begin_ == shared_end_) {
      borrower_ = nullptr;
      core.Clear(ConnectionCore::kStored);
    }
  }
}

// The short way of nearly every ReadSome: whatever has come on a plain socket
// in good health, nobody's bytes being in the way. True if it read something.
// False: nothing is decided.
inline bool ConnectionTable::ReadAtOnce(ConnectionCore& core) {
  constexpr uint16_t kFit = ConnectionCore::kReadable |
                            ConnectionCore::kWritable |
                            ConnectionCore::kResumed;
  if ((core.flags & ~kFit) != 0 || !core.Has(ConnectionCore::kReadable) ||
      borrower_ != nullptr || budget_ == 0) {
    return false;
  }
  --budget_;
  const ssize_t got = recv(core.fd, shared_.get(), kSharedBufferBytes, 0);
  if (got <= 0) {
    NoteReadError(core, got < 0 ? errno : 0);
    return false;
  }
  CountReceived(core, got, kSharedBufferBytes);
  last_read_ = ReadResult(shared_.get(), static_cast<uint32_t>(got));
  return true;
}

bool ConnectionTable::TryRead(ReadOperation& op) {
  ConnectionCore& core = *op.core;
  // What the last read returned from the connection's own buffer has been used
  // by now.
  if (core.buffer != nullptr && core.buffer->begin == core.buffer->end) {
    core.buffer.reset();
    core.Clear(ConnectionCore::kStored);
  }
  while (true) {
    if (op.urgent && core.Has(ConnectionCore::kUrgent) && ReadUrgentByte(op))
      return true;
    if (TakeUnread(op)) return true;
    if (!core.Has(ConnectionCore::kReadable)) {
      if (aborted_) return EndRead(op, IoError::kCancelled);
      if (core.Has(ConnectionCore::kDetached))
        return EndRead(op, IoError::kDraining);
      if (!draining_ || !op.idle) return false;
      // Bytes may have come since the last edge was used up: they are still
      // answered.
      if (core.Has(ConnectionCore::kDrainTried))
        return EndRead(op, IoError::kDraining);
      core.Set(ConnectionCore::kDrainTried);
      core.Set(ConnectionCore::kReadable);
    }
    switch (
        FillFromPeer(core, op.kind == ReadOperation::kSome ? 0 : op.limit)) {
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
      auto& until = static_cast<internal::ReadUntilOperation&>(op);
      const auto delimiter_size = static_cast<uint32_t>(until.delimiter.size());
      const size_t at =
          unread.substr(0, op.limit).find(until.delimiter, until.scanned);
      if (at == absl::string_view::npos) {
        // All but a beginning of the delimiter has been looked at for good.
        if (take >= delimiter_size) until.scanned = take - delimiter_size + 1;
        return take >= op.limit && EndRead(op, IoError::kTooLong);
      }
      take = static_cast<uint32_t>(at) + delimiter_size;
      break;
    }
  }
  last_read_ = ReadResult(unread.data(), take);
  if (op.kind != ReadOperation::kPeek) Consume(*op.core, take);
  return true;
}

// The byte out of band is kept by the kernel beside the stream (tcp(7), recv(2)
// MSG_OOB), so it is there or it is not.
bool ConnectionTable::ReadUrgentByte(ReadOperation& op) {
  ConnectionCore& core = *op.core;
  core.Clear(ConnectionCore::kUrgent);
  const ssize_t got =
      core.Has(ConnectionCore::kTransport)
          ? core.extra->transport->ReadUrgent(&urgent_byte_)
          : recv(core.fd, &urgent_byte_, 1, MSG_OOB | MSG_DONTWAIT);
  if (got != 1) return false;
  last_read_ = ReadResult(&urgent_byte_, 1, /*urgent=*/true);
  return true;
}

ssize_t ConnectionTable::Receive(ConnectionCore& core, char* data,
                                 size_t size) {
  if (core.Has(ConnectionCore::kTransport))
    return core.extra->transport->Read(data, size);
  const ssize_t got = recv(core.fd, data, size, 0);
  return got >= 0 ? got : -errno;
}

// One recv. `wanted`: how many bytes the operation may need at once, for the
// size of a buffer.
ConnectionTable::Fill ConnectionTable::FillFromPeer(ConnectionCore& core,
                                                    uint32_t wanted) {
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
    core.Set(ConnectionCore::kStored);
    CountReceived(core, got, room.size());
    return Fill::kMore;
  }
  return NoteReadError(core, static_cast<int>(-got));
}

void ConnectionTable::CountReceived(ConnectionCore& core, ssize_t got,
                                    size_t room) {
  core.bytes_in += static_cast<uint64_t>(got);
  counters_->bytes_in.Add(static_cast<uint64_t>(got));
  // Short: the socket is drained, and later bytes come with an edge of their
  // own (epoll(7), Q9).
  if (static_cast<size_t>(got) < room && !core.Has(ConnectionCore::kReadOn))
    core.Clear(ConnectionCore::kReadable);
}

// `error`: errno, or 0 for the end of the stream.
ConnectionTable::Fill ConnectionTable::NoteReadError(ConnectionCore& core,
                                                     int error) {
  switch (error) {
    case 0:
      core.Set(ConnectionCore::kEof);
      return Fill::kEof;
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
absl::Span<char> ConnectionTable::MakeRoom(ConnectionCore& core,
                                           uint32_t wanted) {
  if (core.buffer == nullptr && borrower_ != &core) {
    // Everybody may read into the shared buffer, once the last one's bytes are
    // out of the way.
    if (borrower_ != nullptr && !MoveToOwnBuffer(*borrower_, 0))
      borrower_->Set(ConnectionCore::kUnreadLost);
    borrower_ = nullptr;
    shared_begin_ = shared_end_ = 0;
    return {shared_.get(), kSharedBufferBytes};
  }
  if (core.buffer == nullptr) {
    if (shared_end_ < kSharedBufferBytes)
      return {shared_.get() + shared_end_, kSharedBufferBytes - shared_end_};
    if (!MoveToOwnBuffer(core, wanted)) return {};
  } else if (core.buffer->space() == 0) {
    if (!MoveToOwnBuffer(core, wanted)) return {};
  }
  Buffer& buffer = *core.buffer;
  return {buffer.data() + buffer.end, buffer.space()};
}

// Moves the unread bytes to the front of a buffer of the connection's own, with
// room for `wanted` bytes in all and for one more in any case. False if the
// pool has none.
bool ConnectionTable::MoveToOwnBuffer(ConnectionCore& core, uint32_t wanted) {
  const absl::string_view unread = Unread(core);
  const size_t needed = std::max<size_t>(wanted, unread.size() + 1);
  BufferPtr& own = core.buffer;
  if (own != nullptr && own->capacity >= needed) {
    memmove(own->data(), unread.data(), unread.size());
  } else {
    // Growing by doubling would be lazier than what `wanted` says, but a peer
    // that only promises gets no memory.
    const size_t size =
        std::min(needed, std::max<size_t>(2 * unread.size(), 512));
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
  if (op.kind == WriteOperation::kOwnedBytes) {
    BufferPtr(op.buffer).reset();
    op.kind = WriteOperation::kBytes;
  }
  return true;
}

bool ConnectionTable::WriteAtOnce(WriteOperation& op) {
  ConnectionCore& core = *op.core;
  constexpr uint16_t kUnfit = ConnectionCore::kTransport |
                              ConnectionCore::kBroken |
                              ConnectionCore::kLeaving;
  if ((core.flags & (kUnfit | ConnectionCore::kWritable)) !=
          ConnectionCore::kWritable ||
      op.size == 0 || budget_ == 0) {
    return false;
  }
  --budget_;
  const ssize_t sent = send(core.fd, op.data, op.size, MSG_NOSIGNAL);
  if (sent < 0) return NoteSendError(core, op, errno);
  CountSent(core, sent);
  if (static_cast<uint64_t>(sent) == op.size) return true;
  Advance(op, static_cast<size_t>(sent));
  core.Clear(ConnectionCore::kWritable);
  return false;
}

inline void ConnectionTable::CountSent(ConnectionCore& core, ssize_t sent) {
  core.bytes_out += static_cast<uint64_t>(sent);
  counters_->bytes_out.Add(static_cast<uint64_t>(sent));
}

// True: the operation has failed. False: it may be tried again.
bool ConnectionTable::NoteSendError(ConnectionCore& core, WriteOperation& op,
                                    int error) {
  if (error == EAGAIN) core.Clear(ConnectionCore::kWritable);
  if (error == EAGAIN || error == EINTR) return false;
  // A peer that is gone for writing may have sent its last words before:
  // reading goes on until they are read.
  return EndWrite(op, IoError::kReset);
}

bool ConnectionTable::TryWrite(WriteOperation& op) {
  ConnectionCore& core = *op.core;
  while (op.size > 0) {
    if (aborted_) return EndWrite(op, IoError::kCancelled);
    if (core.Has(ConnectionCore::kBroken)) return EndWrite(op, IoError::kReset);
    if (!core.Has(ConnectionCore::kWritable)) return false;
    if (budget_ == 0) {
      MakeReady(core);
      return false;
    }
    --budget_;
    const ssize_t sent = core.Has(ConnectionCore::kTransport)
                             ? SendToTransport(core, op)
                             : SendToSocket(core, op);
    if (sent == 0)
      return EndWrite(op, IoError::kEof);  // the file is shorter than was said
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
      return;
  }
}

namespace {

// The parts that are left, as many as fit.
int FillIovecs(const WritePartsOperation& op, absl::Span<iovec> iovecs) {
  const size_t count = std::min<size_t>(op.count, iovecs.size());
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view part =
        op.parts[i].substr(i == 0 ? op.first_offset : 0);
    iovecs[i] = {.iov_base = const_cast<char*>(part.data()),
                 .iov_len = part.size()};
  }
  return static_cast<int>(count);
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
  switch (op.kind) {
    case WriteOperation::kBytes:
      sent = send(core.fd, op.data, op.size, MSG_NOSIGNAL);
      break;
    case WriteOperation::kOwnedBytes:
      sent = send(core.fd, op.buffer->bytes().data(), op.size, MSG_NOSIGNAL);
      break;
    case WriteOperation::kParts:
      sent = SendParts(core.fd, static_cast<WritePartsOperation&>(op));
      break;
    case WriteOperation::kFile:
      sent = SendFile(core.fd, static_cast<WriteFileOperation&>(op));
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
// SIOCOUTQ) got shorter. Sixteen looks per time-out, so the verdict is at most
// a sixteenth late.
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
