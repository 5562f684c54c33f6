#ifndef BATON_NET_CONNECTION_CORE_H_
#define BATON_NET_CONNECTION_CORE_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/buffer_pool.h"
#include "net/connection_image.h"
#include "net/connection_state.h"
#include "net/connection_table.h"
#include "net/io_error.h"
#include "net/task.h"
#include "net/timer_wheel.h"
#include "net/transport.h"

namespace baton::internal {

struct ReadOperation;
struct WriteOperation;

// What a connection costs beside its coroutine frame: 88 bytes. There may be a
// hundred thousand of them, nearly all idle, so whatever only few connections
// need is in Extra.
struct ConnectionExtra {
  std::unique_ptr<Transport> transport;
  std::unique_ptr<ConnectionState> state;
  uint64_t tag = 0;  // for the table's observer
  // Of an imported connection: for the first read that waits, if that is an
  // idle one. 0 = none.
  Tick idle_deadline = 0;
  bool shutdown_wanted = false;  // by ShutdownWrite, while it was moving
  // It came in the middle of a file. Until the handler has taken this the
  // connection is kBroken.
  std::optional<UnsentFile> unsent_file;

  bool empty() const {
    return transport == nullptr && state == nullptr && tag == 0 &&
           idle_deadline == 0 && !shutdown_wanted && !unsent_file.has_value();
  }
};

struct ConnectionCore : TimerNode {
  // Four million connections a worker (the kernel's fs.nr_open is one million),
  // a thousand kinds.
  static constexpr int kIndexBits = 22;
  static constexpr int kSettingsBits = 10;

  enum Flag : uint16_t {
    kReadable =
        1 << 0,  // a read may find bytes: an edge came and was not used up
    kWritable = 1 << 1,  // no write has met EAGAIN since the last edge
    kReadOn = 1 << 2,    // read until EAGAIN or the end even after a short read
    kUrgent = 1 << 3,    // EPOLLPRI came: there may be a byte out of band
    kEof = 1 << 4,       // the end of the stream was read
    kBroken = 1 << 5,    // reset, or an UnsentFile that nobody has taken yet:
                         // every operation fails
    kTransport = 1 << 6,    // extra->transport instead of the descriptor
    kResumed = 1 << 7,      // came from another worker
    kDetached = 1 << 8,     // on its way to another worker; without a
                            // descriptor, gone there
    kStored = 1 << 9,       // has unread bytes, or a buffer to give back
    kUnreadLost = 1 << 10,  // no memory for unread bytes: the next read fails
    kLeaving = 1 << 11,     // the worker drains or hands over
    kDrainTried = 1 << 12,  // drain: an idle read has looked for more since it
                            // began; handover: the observer has been told
    kQueued = 1 << 13,      // stands in the loop's ready list
    kWriting = 1 << 14,     // `writer` is set
    kOutbound = 1 << 15,    // made from here
  };
  // Without any of these a read would not find anything.
  static constexpr uint16_t kReadReasons =
      kReadable | kUrgent | kDetached | kStored | kUnreadLost | kLeaving;

  ConnectionCore() = default;
  bool Has(Flag flag) const { return (flags & flag) != 0; }
  bool IsMoving() const { return Has(kDetached) && fd >= 0; }
  void Set(Flag flag) { flags |= flag; }
  void Clear(Flag flag) { flags &= static_cast<uint16_t>(~flag); }
  void SetClient(uint8_t client) { set_client(client); }

  uint16_t flags = 0;  // in TimerNode's padding
  uint32_t index : kIndexBits = 0;
  uint32_t settings : kSettingsBits = 0;
  int fd = -1;
  uint32_t generation = 0;
  Tick opened = 0;
  ReadOperation* reader = nullptr;   // suspended in a read
  WriteOperation* writer = nullptr;  // suspended in a write
  BufferPtr buffer;  // unread bytes that are not in the shared buffer
  std::unique_ptr<ConnectionExtra> extra;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
};
static_assert(sizeof(ConnectionCore) == 88);

// An operation lies in the frame of the coroutine that awaits it, so it has a
// stable address from its first attempt to its completion. It has no
// destructor: a suspended operation is always completed before its frame may
// go.

struct ReadOperation {
  enum Kind : uint8_t { kSome, kExactly, kUntil, kPeek };
  static constexpr Tick kDefaultTimeout = ~Tick{0};

  ConnectionCore* core;
  TaskHandle waiter;  // only while it waits
  Tick deadline;  // before it waits: the time-out in ticks, kDefaultTimeout, or
                  // 0 for never
  uint32_t limit =
      0;  // kExactly, kPeek: how many; kUntil: at most, delimiter included
  Kind kind = kSome;
  bool idle = false;
  bool urgent = false;
  bool has_deadline = false;
  IoError error = IoError::kOk;
};

struct ReadUntilOperation : ReadOperation {
  absl::string_view delimiter;
  uint32_t scanned = 0;  // no delimiter begins before this
};

struct WriteOperation {
  enum Kind : uint8_t {
    kBytes,
    kOwnedBytes,
    kParts,
    kFile,
    kUrgent,
    kConnect,
  };
  static constexpr uint32_t kUnknown = ~uint32_t{0};

  WriteOperation(ConnectionCore* core, Kind kind, uint64_t size)
      : core(core), kind(kind), size(size) {}

  ConnectionCore* core;
  Kind kind;
  IoError error = IoError::kOk;
  bool has_deadline = false;
  bool more = false;  // kBytes, kOwnedBytes: MSG_MORE
  Tick deadline;    // the next three only while it waits: when to look whether
                    // the peer takes anything
  uint32_t unsent;  // bytes in the socket's queue then
  Tick progress;    // when it was last seen to
  TaskHandle waiter;  // only while it waits
  uint64_t size;      // left to write
  union {
    const char* data;  // kBytes
    Buffer* buffer;  // kOwnedBytes: they were borrowed, and are here since the
                     // write began to wait
    const absl::string_view* parts;  // kParts: the first one that is left
    int64_t offset;                  // kFile
    char urgent_byte;                // kUrgent
    int connect_errno;               // kConnect, when it ended with kReset
  };
};
static_assert(sizeof(WriteOperation) == 48,
              "the largest operation decides the size of a handler's frame");

struct WritePartsOperation : WriteOperation {
  uint32_t count = 0;  // parts left
  size_t first_offset =
      0;  // of the first part that is left: what has been written
};

struct WriteFileOperation : WriteOperation {
  int file_fd = -1;
  bool movable = false;
  bool refused = false;  // nobody takes it, in this handover
};

}  // namespace baton::internal

namespace baton {

// What a read does that waits as nearly all do: in no strand, with a deadline
// that is not before the filed one. It counts from the turn, which spares the
// clock: after a turn that computes for long it is early by as much.
inline bool ConnectionTable::WaitToRead(internal::ReadOperation& op) {
  internal::ConnectionCore& core = *op.core;
  const Tick timeout = ticks_[core.settings].idle;
  if (op.waiter.strand() != nullptr ||
      op.deadline != internal::ReadOperation::kDefaultTimeout ||
      core.extra != nullptr || core.reader != nullptr || timeout == 0) {
    return WaitToReadInGeneral(op);
  }
  core.reader = &op;
  op.has_deadline = true;
  op.deadline = loop_.now_tick() + 1 + timeout;
  if (!core.filed() || TickBefore(op.deadline, core.filed_tick()))
    loop_.FileTimer(&core, op.deadline);
  return true;
}

}  // namespace baton

#endif  // BATON_NET_CONNECTION_CORE_H_
