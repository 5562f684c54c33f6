// The part of ConnectionTable that takes events and reads.

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/base/attributes.h"
#include "net/connection_core.h"
#include "net/connection_table.h"
#include "net/socket_io.h"

namespace baton {

using internal::ConnectionCore;
using internal::ReadOperation;
using internal::WriteOperation;

inline void ConnectionTable::CountReceived(ConnectionCore& core, ssize_t got,
                                           size_t room) {
  core.bytes_in += static_cast<uint64_t>(got);
  counters_->bytes_in.Add(static_cast<uint64_t>(got));
  // Short: the socket is drained, and later bytes come with an edge of their
  // own (epoll(7), Q9). A transport says so itself.
  if (static_cast<size_t>(got) < room &&
      (core.flags & (ConnectionCore::kReadOn | ConnectionCore::kTransport)) ==
          0) {
    core.Clear(ConnectionCore::kReadable);
  }
}

// The short way of nearly every ReadSome and Peek: whatever has come on a plain
// socket in good health, nobody's bytes being in the way. True if it read
// something. False: nothing is decided.
ABSL_ATTRIBUTE_ALWAYS_INLINE
inline bool ConnectionTable::ReadAtOnce(ConnectionCore& core,
                                        const ReadOperation& op) {
  if (op.kind != ReadOperation::kSome &&
      (op.kind != ReadOperation::kPeek || op.limit > 1)) {
    return false;
  }
  constexpr uint16_t kFit = ConnectionCore::kReadable |
                            ConnectionCore::kWritable |
                            ConnectionCore::kResumed | ConnectionCore::kQueued |
                            ConnectionCore::kWriting;
  if ((core.flags & ~kFit) != 0 || !core.Has(ConnectionCore::kReadable) ||
      borrower_ != nullptr) {
    return false;
  }
  --budget_;
  const ssize_t got =
      internal::ReceiveFrom(core.fd, shared_.get(), kSharedBufferBytes);
  if (got <= 0) {
    NoteReadError(core, got < 0 ? errno : 0);
    return false;
  }
  CountReceived(core, got, kSharedBufferBytes);
  last_read_ = ReadResult(shared_.get(), static_cast<uint32_t>(got));
  if (op.kind == ReadOperation::kPeek) {
    borrower_ = &core;
    shared_begin_ = 0;
    shared_end_ = static_cast<uint32_t>(got);
    core.Set(ConnectionCore::kStored);
  }
  return true;
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline void ConnectionTable::StepRead(
    ConnectionCore& core) {
  ReadOperation& op = *core.reader;
  if (!ReadAtOnce(core, op) && !TryRead(op)) return;
  core.reader = nullptr;
  op.waiter.Resume();
}

void ConnectionTable::OnEvents(uint32_t index, uint32_t generation,
                               uint32_t events) {
  ConnectionCore& core = cores_[index];
  if (core.generation != generation) return loop_.CountStale(events);
  budget_ = kBudget;
  if (events == (EPOLLIN | EPOLLOUT) && core.writer == nullptr) {
    core.flags |= ConnectionCore::kReadable | ConnectionCore::kWritable;
    if (core.reader != nullptr) StepRead(core);
  } else {
    OnOtherEvents(core, events);
  }
}

void ConnectionTable::OnOtherEvents(ConnectionCore& core, uint32_t events) {
  const uint32_t generation = core.generation;
  const bool again = (events & EventLoop::kReadyEvent) != 0;
  if (again) core.Clear(ConnectionCore::kQueued);
  NoteEvents(core, events);
  if (core.writer != nullptr &&
      (again || core.Has(ConnectionCore::kWritable))) {
    StepWrite(core);
    // The coroutine has run: the connection may be gone.
    if (core.generation != generation) return;
    budget_ = kBudget;  // or a writer in haste would leave the reader nothing
  }
  if (core.reader != nullptr &&
      (again || core.Has(ConnectionCore::kReadable))) {
    StepRead(core);
  }
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

void ConnectionTable::StepWrite(ConnectionCore& core) {
  WriteOperation& op = *core.writer;
  if (!TryWrite(op)) return OfferWrite(core);
  SetWriter(core, nullptr);
  op.waiter.Resume();
}

absl::string_view ConnectionTable::Unread(ConnectionCore& core) {
  if (core.buffer != nullptr) return core.buffer->bytes();
  if (borrower_ == &core)
    return {shared_.get() + shared_begin_, shared_end_ - shared_begin_};
  return {};
}

void ConnectionTable::Consume(ConnectionCore& core, uint32_t size) {
  CHECK_LE(size, Unread(core).size()) << "more consumed than is unread";
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

bool ConnectionTable::TryRead(ReadOperation& op) {
  ConnectionCore& core = *op.core;
  CHECK(core.reader == nullptr || core.reader == &op)
      << "a connection has one reader at a time";
  if (aborted_) return EndRead(op, IoError::kCancelled);
  // An event that was on its way when it was detached finds nothing to do.
  if (core.Has(ConnectionCore::kDetached))
    return !core.IsMoving() && EndRead(op, IoError::kDraining);
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
    if (core.Has(ConnectionCore::kUnreadLost))
      return EndRead(op, IoError::kOverload);
    if (!core.Has(ConnectionCore::kReadable)) {
      if (safe_points_ != nullptr && op.idle) OfferSafePoint(core);
      if (!draining_ || !op.idle || MayStayInDrain(core)) return false;
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
        if (draining_) core.Clear(ConnectionCore::kDrainTried);
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
  // It is active here, whatever it was where it came from.
  if (op.core->extra != nullptr) op.core->extra->idle_deadline = 0;
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
          ? core.extra->transport->ReadUrgent(urgent_byte())
          : recv(core.fd, urgent_byte(), 1, MSG_OOB | MSG_DONTWAIT);
  if (got != 1) return false;
  last_read_ = ReadResult(urgent_byte(), 1, /*urgent=*/true);
  return true;
}

ssize_t ConnectionTable::Receive(ConnectionCore& core, char* data,
                                 size_t size) {
  if (core.Has(ConnectionCore::kTransport))
    return core.extra->transport->Read(data, size);
  const ssize_t got = internal::ReceiveFrom(core.fd, data, size);
  return got >= 0 ? got : -errno;
}

// One recv. `wanted`: how many bytes the operation may need at once, for the
// size of a buffer.
ConnectionTable::Fill ConnectionTable::FillFromPeer(ConnectionCore& core,
                                                    uint32_t wanted) {
  if (core.Has(ConnectionCore::kEof)) return Fill::kEof;
  if (core.Has(ConnectionCore::kBroken)) return Fill::kReset;
  if (budget_ <= 0) return Fill::kYield;
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
    if (borrower_ != nullptr && !MoveToOwnBuffer(*borrower_, 0)) {
      borrower_->Set(ConnectionCore::kUnreadLost);
      MakeReady(*borrower_);  // a read that waits for the rest fails now
    }
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

}  // namespace baton
