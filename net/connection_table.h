#ifndef BATON_NET_CONNECTION_TABLE_H_
#define BATON_NET_CONNECTION_TABLE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "net/buffer_pool.h"
#include "net/connection_image.h"
#include "net/connection_state.h"
#include "net/event_loop.h"
#include "net/io_error.h"
#include "net/slab.h"
#include "net/timer_wheel.h"
#include "net/traffic_counters.h"
#include "net/transport.h"
#include "net/unique_fd.h"

namespace baton {

// The connections of one event loop: their state, their readiness and their
// operations in flight. Connection (connection.h) is the handle that handlers
// see; this is what stands behind it, for the worker.
//
// Life of a connection: Add puts a socket into epoll, once, for reading,
// writing and urgent data, edge-triggered. Events only set flags; an operation
// that finds its flag clear suspends and is tried again when the event comes. A
// read that came back short has drained the socket and saves the recv that
// would say EAGAIN, unless something was seen (RDHUP, HUP, ERR, PRI) that a
// short read can hide: the end of the stream, or data behind an urgent mark.
// Release closes the descriptor, which also takes it out of epoll.
//
// Every read goes to one buffer of the table (the *shared buffer*). Bytes that
// the handler has not consumed when another connection reads are moved to a
// buffer of the connection's own, so an idle connection holds none.
//
// Belongs to the loop's thread; one table a loop.

namespace internal {
struct ConnectionCore;
struct ReadOperation;
struct WriteOperation;
}  // namespace internal

struct ListenUrl;

// What all connections of one listener, or of one outbound use, have in common.
struct StreamSettings {
  const ListenUrl* url = nullptr;  // may be null; outlives the table
  absl::Duration idle_timeout =
      absl::Seconds(60);  // of a read; zero or infinite: never
  absl::Duration write_timeout = absl::Seconds(20);
  const StateCodec* state_codec = nullptr;
  // What the service has made of the listener's options; see
  // Connection::service_data.
  std::shared_ptr<const void> service_data = nullptr;

  friend bool operator==(const StreamSettings&,
                         const StreamSettings&) = default;
};

// Told when a connection is gone, one that Add, AddOutbound or Import gave.
class ConnectionObserver {
 public:
  virtual ~ConnectionObserver() = default;
  // `settings` as given to Add; `tag` as given to SetTag, else 0.
  virtual void OnClosed(uint16_t settings, uint64_t tag) = 0;
};

// Told of a connection that comes to a safe point while the table hands over.
class SafePointObserver {
 public:
  virtual ~SafePointObserver() = default;
  // It is about to wait in an idle read or in a movable write, so it can be
  // detached from the next round on. Told once, until ForgetOffer takes that
  // back.
  virtual void OnSafePoint(internal::ConnectionCore& core) = 0;
};

class ConnectionTable final : public LoopClient {
 public:
  // A write of all of it that has to wait moves to a buffer of 64 KiB, header
  // included.
  static constexpr uint32_t kSharedBufferBytes = 64 * 1024 - sizeof(Buffer);
  static constexpr uint32_t kScratchBytes = kSharedBufferBytes;
  // System calls that one connection may make in a row, in each direction,
  // before others get their turn. A coroutine that was resumed by something
  // else than its connection goes on with what the last one left: at worst it
  // comes again in the next round.
  static constexpr int kBudget = 16;
  static constexpr absl::Duration kFirstByteGrace = absl::Seconds(1);

  struct Options {
    TrafficCounters* counters = nullptr;  // null: counts for itself
    size_t max_buffer_bytes = BufferPool::kDefaultMaxBytes;
  };

  // Blocks SIGPIPE for this thread: sendfile(2) has no MSG_NOSIGNAL.
  ConnectionTable(EventLoop& loop, const Options& options);
  ~ConnectionTable() override;  // CHECKs that no connection is left

  // Of this thread: there must be one.
  static ConnectionTable& Current() {
    DCHECK(current_ != nullptr) << "this thread has no connections";
    return *current_;
  }

  // Returns a number for Add; equal settings have one number. They stay for the
  // table's life, and there may be 1024 different ones.
  uint16_t AddSettings(const StreamSettings& settings);
  bool HasRoomForSettings() const;

  // Takes a connected non-blocking socket. Null, with errno in `*error`, if
  // epoll refuses it (ENOSPC, ENOMEM).
  internal::ConnectionCore* Add(UniqueFd fd, uint16_t settings, int* error);
  // The same for a socket that is connected or still connects.
  internal::ConnectionCore* AddOutbound(UniqueFd fd, uint16_t settings,
                                        bool connected, int* error);
  internal::ConnectionCore* Add(std::unique_ptr<Transport> transport,
                                uint16_t settings);
  // `observer` outlives the table.
  void SetObserver(ConnectionObserver* observer) { observer_ = observer; }
  // A number for the observer.
  void SetTag(internal::ConnectionCore& core, uint64_t tag);

  // From now on an idle read that finds nothing more to read returns
  // kDraining, those that wait at once. A connection that has not said anything
  // yet is given kFirstByteGrace for it: its client was accepted and is about
  // to speak, so closing it would lose a request.
  void BeginDrain();
  bool draining() const { return draining_; }
  // It drains or hands over.
  bool leaving() const { return draining_ || safe_points_ != nullptr; }
  // Every operation in flight, and every one to come, ends with kCancelled.
  void Abort();

  uint32_t open() const { return cores_.in_use(); }
  // Null if it is gone.
  internal::ConnectionCore* Find(uint32_t index, uint32_t generation);
  void ForEach(absl::FunctionRef<void(internal::ConnectionCore&)> visit);
  // See Connection::id.
  static uint64_t IdOf(const internal::ConnectionCore& core);
  // Since it was accepted, in whichever process.
  absl::Duration AgeOf(const internal::ConnectionCore& core) const;

  // --- Handover
  //
  // A connection is at a safe point while an idle read waits, or a movable
  // write of a file: for its peer or for its next turn, it may be in haste. It
  // moves in three steps, so that at any time one process serves it: Detach
  // takes it out of epoll and holds it still; another process gets a copy of
  // the descriptor and the image, and says that it serves it from now on; then
  // GiveAway closes the descriptor and the operation returns kDraining. If the
  // other one does not take it, Reattach goes on as if nothing had been: the
  // handler has not noticed. Meanwhile deadlines, cancellations and writes wait
  // for what comes.

  // From now on `observer` is told of safe points: at once of all connections
  // that are at one. Until BeginDrain; it outlives the table.
  void BeginHandover(SafePointObserver* observer);
  // The observer has looked at it: it is told the next time again.
  void ForgetOffer(internal::ConnectionCore& core);
  // Nobody takes it, and it is not told of again until the next BeginHandover.
  // If it is in the middle of a file: until that is sent.
  void NoteRefusal(internal::ConnectionCore& core);
  // Nothing is half done.
  static bool IsIdle(const internal::ConnectionCore& core);
  static bool AtSafePoint(const internal::ConnectionCore& core);
  // It is at a safe point, no read is about to find something, and it is a
  // client's.
  static bool CanDetach(const internal::ConnectionCore& core);
  ConnectionImage Export(internal::ConnectionCore& core);
  // At a safe point: the descriptor of the file that is being sent, which is
  // its handler's; -1 if there is none.
  static int FileOf(const internal::ConnectionCore& core);
  // Returns the descriptor, which is still the table's.
  int Detach(internal::ConnectionCore& core);
  // The errno of epoll_ctl(2): it is detached still, and may be tried again.
  int Reattach(internal::ConnectionCore& core);
  void GiveAway(internal::ConnectionCore& core);
  // Goes on with a connection of another process; its handler is yet to be
  // started, and will see resumed(). `file` is the one of which the image has
  // the rest. After an error nothing is left of it here.
  absl::StatusOr<internal::ConnectionCore*> Import(UniqueFd fd,
                                                   uint16_t settings,
                                                   const ConnectionImage& image,
                                                   UniqueFd file = UniqueFd());
  // The part of Import that is not the descriptor's.
  absl::Status Resume(internal::ConnectionCore& core,
                      const ConnectionImage& image, UniqueFd file = UniqueFd());

  EventLoop& loop() { return loop_; }
  // 0, never, for zero and for infinity. Longer ones than 52 days are cut.
  static Tick TicksFor(absl::Duration duration);
  TrafficCounters& counters() { return *counters_; }
  BufferPool& buffers() { return buffers_; }

  // LoopClient.
  void OnEvents(uint32_t index, uint32_t generation, uint32_t events) override;
  void OnTimer(TimerNode* node) override;

  // For Connection and its operations only.
  void Release(internal::ConnectionCore& core);
  const StreamSettings& SettingsOf(const internal::ConnectionCore& core) const;
  // One attempt. True: completed; a read's bytes are in last_read(), its error
  // in the operation.
  bool TryRead(internal::ReadOperation& op);
  bool TryWrite(internal::WriteOperation& op);
  // The short way for plain bytes: true if one send took them all, or failed.
  // False: go on with TryWrite.
  bool WriteAtOnce(internal::WriteOperation& op);
  // Registers the operation until it completes. False: it must not wait and has
  // completed with an error.
  bool WaitToRead(internal::ReadOperation& op);
  bool WaitToWrite(internal::WriteOperation& op);
  void CancelRead(internal::ReadOperation& op, IoError error);
  void CancelWrite(internal::WriteOperation& op, IoError error);
  const ReadResult& last_read() const { return last_read_; }
  // Where a handler composes what it writes next, kScratchBytes of it. Like
  // bytes that were read it may be given to a Write and is anybody's after
  // that.
  char* scratch() const { return shared_.get() + kSharedBufferBytes + 1; }
  absl::string_view Unread(internal::ConnectionCore& core);
  void Consume(internal::ConnectionCore& core, uint32_t size);

 private:
  struct Ticks {
    Tick idle;  // 0 = never
    Tick write;
  };
  enum class Fill : uint8_t {
    kMore,
    kWouldBlock,
    kYield,
    kEof,
    kReset,
    kOverload
  };

  internal::ConnectionCore* NewCore(uint16_t settings);
  internal::ConnectionCore* AddSocket(UniqueFd fd, uint16_t settings,
                                      int* error);
  void Free(internal::ConnectionCore& core);
  static constinit thread_local ConnectionTable* current_;

  bool WaitToReadInGeneral(internal::ReadOperation& op);
  static Tick TakeIdleDeadline(internal::ConnectionCore& core);
  bool ReadAtOnce(internal::ConnectionCore& core,
                  const internal::ReadOperation& op);
  void OnOtherEvents(internal::ConnectionCore& core, uint32_t events);
  void NoteEvents(internal::ConnectionCore& core, uint32_t events);
  void EndIdleReads();
  void OfferSafePoint(internal::ConnectionCore& core);
  void OfferWrite(internal::ConnectionCore& core) {
    if (safe_points_ != nullptr && CanDetach(core)) OfferSafePoint(core);
  }
  bool MayStayInDrain(const internal::ConnectionCore& core) const;
  void StepRead(internal::ConnectionCore& core);
  void StepWrite(internal::ConnectionCore& core);
  bool TryReadBuffered(internal::ReadOperation& op);
  void CountReceived(internal::ConnectionCore& core, ssize_t got, size_t room);
  Fill NoteReadError(internal::ConnectionCore& core, int error);
  bool TakeUnread(internal::ReadOperation& op);
  bool EndRead(internal::ReadOperation& op, IoError error);
  bool EndWrite(internal::WriteOperation& op, IoError error);
  void SetWriter(internal::ConnectionCore& core, internal::WriteOperation* op);
  bool ReadUrgentByte(internal::ReadOperation& op);
  Fill FillFromPeer(internal::ConnectionCore& core, uint32_t wanted);
  absl::Span<char> MakeRoom(internal::ConnectionCore& core, uint32_t wanted);
  bool MoveToOwnBuffer(internal::ConnectionCore& core, uint32_t capacity);
  bool OwnBorrowedBytes(internal::WriteOperation& op);
  // Behind the shared buffer stand the urgent byte and the scratch: they are
  // borrowed too.
  char* urgent_byte() const { return shared_.get() + kSharedBufferBytes; }
  bool IsBorrowed(const char* data) const {
    return data >= shared_.get() && data < scratch() + kScratchBytes;
  }
  bool OwnBytes(internal::WriteOperation& op,
                absl::Span<const absl::string_view> parts, size_t offset);
  static ssize_t SendToSocket(internal::ConnectionCore& core,
                              internal::WriteOperation& op);
  static ssize_t SendToTransport(internal::ConnectionCore& core,
                                 internal::WriteOperation& op);
  void CountSent(internal::ConnectionCore& core, ssize_t sent);
  bool NoteSendError(internal::ConnectionCore& core,
                     internal::WriteOperation& op, int error);
  static void Advance(internal::WriteOperation& op, size_t sent);
  ssize_t Receive(internal::ConnectionCore& core, char* data, size_t size);
  static uint32_t Unsent(internal::ConnectionCore& core);
  void StartWriteWatch(internal::ConnectionCore& core,
                       internal::WriteOperation& op);
  bool WriteTimedOut(internal::ConnectionCore& core,
                     internal::WriteOperation& op);
  void FileDeadline(internal::ConnectionCore& core, Tick deadline);
  void FileDeadlineAnew(internal::ConnectionCore& core, Tick deadline);
  void Continue(internal::ReadOperation& op);
  void Continue(internal::WriteOperation& op);
  void MakeReady(internal::ConnectionCore& core);

  EventLoop& loop_;
  TrafficCounters own_counters_;
  TrafficCounters* const counters_;
  ConnectionObserver* observer_ = nullptr;
  SafePointObserver* safe_points_ = nullptr;  // while it hands over
  uint8_t client_;
  bool draining_ = false;
  bool aborted_ = false;  // implies draining_
  Timer first_byte_grace_;
  int budget_ = kBudget;
  ReadResult last_read_{IoError::kEof};
  std::unique_ptr<char[]> shared_;
  internal::ConnectionCore* borrower_ =
      nullptr;  // whose unread bytes stand in [begin, end) of the shared buffer
  uint32_t shared_begin_ = 0;
  uint32_t shared_end_ = 0;
  BufferPool buffers_;
  std::vector<StreamSettings> settings_;
  std::vector<Ticks> ticks_;
  Slab<internal::ConnectionCore> cores_;
};

}  // namespace baton

#endif  // BATON_NET_CONNECTION_TABLE_H_
