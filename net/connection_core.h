#ifndef BATON_NET_CONNECTION_CORE_H_
#define BATON_NET_CONNECTION_CORE_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <limits>
#include <memory>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/buffer_pool.h"
#include "net/connection_state.h"
#include "net/connection_table.h"
#include "net/io_error.h"
#include "net/task.h"
#include "net/timer_wheel.h"
#include "net/transport.h"

namespace baton::internal {

struct ReadOperation;
struct WriteOperation;

// What a connection costs beside its coroutine frame: 88 bytes. There may be a hundred thousand of them, nearly all
// idle, so whatever only few connections need is in Extra.
struct ConnectionExtra {
  std::unique_ptr<Transport> transport;
  std::unique_ptr<ConnectionState> state;
  uint64_t tag = 0;        // for the table's observer
  Tick idle_deadline = 0;  // of an imported connection, for its first idle read; 0 = none
};

struct ConnectionCore : TimerNode {
  // Four million connections a worker (the kernel's fs.nr_open is one million), a thousand kinds.
  static constexpr int kIndexBits = 22;
  static constexpr int kSettingsBits = 10;

  enum Flag : uint16_t {
    kReadable = 1,        // a read may find bytes: an edge came and was not used up
    kWritable = 2,        // no write has met EAGAIN since the last edge
    kReadOn = 4,          // read until EAGAIN or the end even after a short read
    kUrgent = 8,          // EPOLLPRI came: there may be a byte out of band
    kEof = 16,            // the end of the stream was read
    kBroken = 32,         // reset: every operation fails
    kTransport = 64,      // extra->transport instead of the descriptor
    kResumed = 128,       // came from another worker
    kDetached = 256,      // went to another worker
    kUnreadLost = 512,    // no buffer for unread bytes: the next read fails
    kDrainTried = 1024,   // an idle read has looked for more since the drain began
  };

  ConnectionCore() = default;
  bool Has(Flag flag) const { return (flags & flag) != 0; }
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
  BufferPtr buffer;                  // unread bytes that are not in the shared buffer
  std::unique_ptr<ConnectionExtra> extra;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
};
static_assert(sizeof(ConnectionCore) == 88);

// An operation lies in the frame of the coroutine that awaits it, so it has a stable address from its first attempt
// to its completion. It has no destructor: a suspended operation is always completed before its frame may go.

struct ReadOperation {
  enum Kind : uint8_t { kSome, kExactly, kUntil, kPeek };

  ConnectionCore* core;
  TaskHandle waiter;
  absl::string_view delimiter;  // kUntil
  uint32_t scanned = 0;         // kUntil: no delimiter begins before this
  uint32_t limit = 0;           // kExactly, kPeek: how many; kUntil: at most, delimiter included
  Tick deadline = 0;            // before it waits: the time-out in ticks, kDefaultTimeout or 0 for never
  Kind kind = kSome;
  bool idle = false;
  bool urgent = false;
  bool has_deadline = false;
  IoError error = IoError::kOk;

  static constexpr Tick kDefaultTimeout = ~Tick{0};
};

struct WriteOperation {
  enum Kind : uint8_t { kBytes, kParts, kFile, kUrgent };
  static constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

  WriteOperation(ConnectionCore* core, Kind kind) : core(core), kind(kind), bytes{nullptr, 0}, buffer(nullptr) {}

  ConnectionCore* core;
  TaskHandle waiter;
  Tick deadline = 0;  // when to look whether the peer takes anything
  Kind kind;
  bool has_deadline = false;
  IoError error = IoError::kOk;
  bool owned = false;  // data is a buffer's: moved there since it was borrowed
  Tick progress = 0;         // when the peer was last seen to take something
  int64_t unsent = kUnknown;  // bytes in the socket's queue then
  union {
    struct {
      const char* data;
      size_t size;
    } bytes;
    struct {
      const absl::string_view* first;
      uint32_t count;
      uint32_t offset;  // into *first
    } parts;
    struct {
      int64_t offset;
      int64_t size;
    } file;
  };
  size_t remaining() const;
  void Advance(size_t sent);
  // The parts that are left, as many as fit.
  int FillIovecs(absl::Span<iovec> iovecs) const;

  union {
    Buffer* buffer;  // owned
    int file_fd;
    char urgent_byte;
  };
};

}  // namespace baton::internal

#endif  // BATON_NET_CONNECTION_CORE_H_
