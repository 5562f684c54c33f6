#ifndef BATON_NET_CONNECTION_H_
#define BATON_NET_CONNECTION_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "net/connection_core.h"
#include "net/connection_state.h"
#include "net/connection_table.h"
#include "net/endpoint.h"
#include "net/io_error.h"

namespace baton {

// A stream connection as its handler sees it. The coroutine frame owns it: to
// return is to close.
//
//   Task<> Echo(Connection conn) {
//     while (auto chunk = co_await conn.ReadSome({.idle = true})) {
//       if (co_await conn.Write(*chunk) != IoError::kOk) break;
//     }
//   }
//
// Bytes that a read returns are borrowed (io_error.h). A Write may be given
// them: what can't be sent at once is moved to memory that stays. Other bytes
// given to a Write must stay until it returns.
//
// One reader and one writer at a time (CHECKed); two tasks may share a
// connection that way. A read that ends with an error ends alike when it is
// called again, except kTimeout and kTooLong. Belongs to the loop's thread.

struct ReadOptions {
  // The connection is idle here: nothing is half done. It may be reaped
  // (kTimeout), be taken by another worker, where the handler starts anew with
  // resumed(), or end with the server (both kDraining: just return). Only an
  // idle read may be left that way.
  bool idle = false;
  // An urgent byte (MSG_OOB) is returned too, by itself, with urgent() set.
  // Without, urgent bytes are dropped; they never appear in the stream.
  bool urgent = false;
  // Zero: the listener's idle_timeout. InfiniteDuration(): none. Negative: it
  // has run out, unless the bytes are here. Counted from the turn of the loop.
  absl::Duration timeout = absl::ZeroDuration();
};

struct WriteFileOptions {
  // While it waits, another worker may take the connection, and the rest of the
  // file with it: there the handler starts anew with resumed() and finds the
  // rest by TakeUnsentFile. Here the write returns kDraining: just return. So
  // what is to follow the file must be in the connection's state. Not where a
  // second task of the connection has something half done.
  bool movable = false;
};

template <typename Operation>
class [[nodiscard]] ReadAwaiter {
 public:
  explicit ReadAwaiter(const Operation& op) : op_(op) {}

  bool await_ready() {
    return (op_.core->flags & internal::ConnectionCore::kReadReasons) != 0 &&
           ConnectionTable::Current().TryRead(op_);
  }
  template <typename P>
  bool await_suspend(std::coroutine_handle<P> reader) {
    op_.waiter = reader;
    return ConnectionTable::Current().WaitToRead(op_);
  }
  ReadResult await_resume() const {
    if (op_.error != IoError::kOk) return op_.error;
    return ConnectionTable::Current().last_read();
  }

 private:
  Operation op_;
};

template <typename Operation>
class [[nodiscard]] WriteAwaiter {
 public:
  explicit WriteAwaiter(const Operation& op) : op_(op) {}

  bool await_ready() { return ConnectionTable::Current().TryWrite(op_); }
  template <typename P>
  bool await_suspend(std::coroutine_handle<P> writer) {
    op_.waiter = writer;
    return ConnectionTable::Current().WaitToWrite(op_);
  }
  IoError await_resume() const { return op_.error; }

 protected:
  Operation op_;
};

class [[nodiscard]] BytesAwaiter
    : public WriteAwaiter<internal::WriteOperation> {
 public:
  using WriteAwaiter::WriteAwaiter;

  bool await_ready() {
    ConnectionTable& table = ConnectionTable::Current();
    return table.WriteAtOnce(op_) || table.TryWrite(op_);
  }
};

class Connection {
 public:
  explicit Connection(internal::ConnectionCore* core) : core_(core) {}
  Connection(Connection&& other) noexcept
      : core_(std::exchange(other.core_, nullptr)) {}
  Connection& operator=(Connection&& other) noexcept;
  ~Connection() {
    if (core_ != nullptr) Close();
  }

  using Read = ReadAwaiter<internal::ReadOperation>;
  using ReadLine = ReadAwaiter<internal::ReadUntilOperation>;

  // Whatever is there, at least one byte.
  Read ReadSome(ReadOptions options = {}) {
    return Read(Operation(internal::ReadOperation::kSome, 0, options));
  }
  // `size` bytes, at least 1; kEof if the stream ends before.
  Read ReadExactly(uint32_t size, ReadOptions options = {}) {
    return Read(Operation(internal::ReadOperation::kExactly, size, options));
  }
  // All that is unread, at least `at_least` bytes, without consuming it.
  // Consume then drops what has been used.
  Read Peek(uint32_t at_least = 1, ReadOptions options = {}) {
    return Read(Operation(internal::ReadOperation::kPeek, at_least, options));
  }
  // No more than is unread (CHECKed).
  void Consume(uint32_t size) {
    ConnectionTable::Current().Consume(*core_, size);
  }
  // What has been received and not consumed; borrowed like what a read returns.
  absl::string_view unread() const {
    return ConnectionTable::Current().Unread(*core_);
  }
  // Up to and including `delimiter` (not empty; must stay until the read
  // returns). kTooLong if it does not end within `max` bytes; they stay unread.
  ReadLine ReadUntil(absl::string_view delimiter, uint32_t max,
                     ReadOptions options = {}) {
    return ReadLine(
        {Operation(internal::ReadOperation::kUntil, max, options), delimiter});
  }

  // All of it, or an error. After kTimeout (the peer took no byte for
  // write_timeout) an unknown part has been sent: close. The parts, and the
  // array of them, must stay until the write returns.
  BytesAwaiter Write(absl::string_view bytes) {
    internal::WriteOperation op(core_, internal::WriteOperation::kBytes,
                                bytes.size());
    op.data = bytes.data();
    return BytesAwaiter(op);
  }
  // The same for bytes behind which more follows at once: the kernel may keep
  // what does not fill a segment until then, for 200 ms at most (MSG_MORE).
  WriteAwaiter<internal::WriteOperation> WriteMore(absl::string_view bytes) {
    internal::WriteOperation op(core_, internal::WriteOperation::kBytes,
                                bytes.size());
    op.data = bytes.data();
    op.more = true;
    return WriteAwaiter<internal::WriteOperation>(op);
  }
  WriteAwaiter<internal::WritePartsOperation> WriteParts(
      absl::Span<const absl::string_view> parts);
  // `size` bytes of a file from `offset` (sendfile). kEof if the file is
  // shorter, kFileError if it can't be read. The descriptor must stay open
  // until the write returns.
  WriteAwaiter<internal::WriteFileOperation> WriteFile(
      int fd, int64_t offset, int64_t size,
      const WriteFileOptions& options = {});
  // One byte out of band (MSG_OOB).
  WriteAwaiter<internal::WriteOperation> WriteUrgent(char byte);

  // No more will be written; the peer reads to the end. Reading goes on.
  void ShutdownWrite();
  // The peer gets a reset instead of an orderly end when this is closed.
  void ResetOnClose();

  // kUnix peers have no name; errors give an empty endpoint. A system call
  // each.
  Endpoint peer() const;
  Endpoint local() const;
  // The user of a peer on a unix socket, as it was when it connected.
  std::optional<uid_t> peer_uid() const;
  // Where it was accepted; null if it was not.
  const ListenUrl* listener() const {
    return ConnectionTable::Current().SettingsOf(*core_).url;
  }
  // What the service has made of that listener's options: of the type that it
  // was registered with (StreamService::WithListenerData), else null.
  const void* service_data() const {
    return ConnectionTable::Current().SettingsOf(*core_).service_data.get();
  }
  // Unique in this worker's life.
  uint64_t id() const { return ConnectionTable::IdOf(*core_); }
  // It came from another worker, which had served it before: no greeting.
  bool resumed() const {
    return core_->Has(internal::ConnectionCore::kResumed);
  }
  // It came in the middle of a movable WriteFile: what is left to send, once.
  // A handler of a service with such writes asks for it before it does anything
  // else. Until it has, every write ends with kReset, and so does a read that
  // goes to the peer: anything but that rest would be a torn stream.
  std::optional<UnsentFile> TakeUnsentFile();
  // The server stops: the next idle read with nothing to read returns
  // kDraining.
  bool draining() const { return ConnectionTable::Current().draining(); }
  // The worker is leaving, with the server or without it: whoever gets to an
  // idle read soon does not hold it up. Without a stop, the connection goes on
  // in another worker.
  bool leaving() const { return ConnectionTable::Current().leaving(); }
  // One more request answered, in the worker's statistics: what that is, the
  // service decides.
  void CountRequest() const {
    ConnectionTable::Current().counters().requests.Add(1);
  }
  uint64_t bytes_in() const { return core_->bytes_in; }
  uint64_t bytes_out() const { return core_->bytes_out; }

  // What the service remembers of this connection (connection_state.h): made at
  // first use, passed on at a handover. One T a service; CHECKs that it is the
  // one that was registered with it (StreamService::WithState). ForgetState
  // makes it a connection that has none.
  template <typename T>
  T& state() {
    CHECK(ConnectionTable::Current().SettingsOf(*core_).state_codec ==
          TypedStateCodec<T>::Get())
        << "the service is registered without this state";
    std::unique_ptr<ConnectionState>& state = Extra().state;
    if (state == nullptr) state = TypedStateCodec<T>::Get()->Create();
    return static_cast<TypedState<T>*>(state.get())->value;
  }
  void ForgetState();

 private:
  internal::ReadOperation Operation(internal::ReadOperation::Kind kind,
                                    uint32_t limit,
                                    const ReadOptions& options) {
    return {.core = core_,
            .waiter = {},
            .deadline = options.timeout == absl::ZeroDuration()
                            ? internal::ReadOperation::kDefaultTimeout
                            : ConnectionTable::TicksFor(options.timeout),
            .limit = limit,
            .kind = kind,
            .idle = options.idle,
            .urgent = options.urgent};
  }
  internal::ConnectionExtra& Extra();
  void Close();

  internal::ConnectionCore* core_;
};

}  // namespace baton

#endif  // BATON_NET_CONNECTION_H_
