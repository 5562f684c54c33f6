#include "net/connection_table.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "glog/logging.h"
#include "net/connection_core.h"
#include "net/errno_status.h"

namespace baton {

using internal::ConnectionCore;
using internal::ConnectionExtra;
using internal::ReadOperation;
using internal::WriteOperation;

constinit thread_local ConnectionTable* ConnectionTable::current_ = nullptr;

ConnectionTable::ConnectionTable(EventLoop& loop, const Options& options)
    : loop_(loop),
      counters_(options.counters != nullptr ? options.counters
                                            : &own_counters_),
      client_(loop.AddClient(this)),
      first_byte_grace_(loop, [this] { EndIdleReads(); }),
      shared_(std::make_unique_for_overwrite<char[]>(kSharedBufferBytes + 1 +
                                                     kScratchBytes)),
      buffers_(options.max_buffer_bytes, &counters_->buffers_refused) {
  CHECK(current_ == nullptr) << "a thread has one connection table";
  current_ = this;
  sigset_t sigpipe;
  sigemptyset(&sigpipe);
  sigaddset(&sigpipe, SIGPIPE);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &sigpipe, nullptr), 0);
}

ConnectionTable::~ConnectionTable() {
  CHECK_EQ(open(), 0u) << "connections outlive their table";
  current_ = nullptr;
}

uint16_t ConnectionTable::AddSettings(const StreamSettings& settings) {
  if (auto it = absl::c_find(settings_, settings); it != settings_.end())
    return static_cast<uint16_t>(it - settings_.begin());
  CHECK(HasRoomForSettings());
  settings_.push_back(settings);
  ticks_.push_back({.idle = TicksFor(settings.idle_timeout),
                    .write = TicksFor(settings.write_timeout)});
  return static_cast<uint16_t>(settings_.size() - 1);
}

bool ConnectionTable::HasRoomForSettings() const {
  return settings_.size() < size_t{1} << ConnectionCore::kSettingsBits;
}

const StreamSettings& ConnectionTable::SettingsOf(
    const ConnectionCore& core) const {
  return settings_[core.settings];
}

Tick ConnectionTable::TicksFor(absl::Duration duration) {
  if (duration == absl::ZeroDuration() ||
      duration == absl::InfiniteDuration()) {
    return 0;
  }
  return baton::TicksFor(duration);
}

ConnectionCore* ConnectionTable::NewCore(uint16_t settings) {
  const uint32_t index = cores_.Allocate();
  CHECK_LT(index, uint32_t{1} << ConnectionCore::kIndexBits);
  ConnectionCore& core = cores_[index];
  core.SetClient(client_);
  core.index = index;
  core.settings = settings;
  core.flags = ConnectionCore::kWritable;
  if (leaving()) core.Set(ConnectionCore::kLeaving);
  core.opened = loop_.now_tick();
  core.bytes_in = core.bytes_out = 0;
  return &core;
}

ConnectionCore* ConnectionTable::AddSocket(UniqueFd fd, uint16_t settings,
                                           int* error) {
  ConnectionCore* core = NewCore(settings);
  *error = loop_.AddFd(fd.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI,
                       client_, core->index, core->generation);
  if (*error != 0) {
    cores_.Free(core->index);
    return nullptr;
  }
  core->fd = fd.release();
  return core;
}

ConnectionCore* ConnectionTable::Add(UniqueFd fd, uint16_t settings,
                                     int* error) {
  ConnectionCore* core = AddSocket(std::move(fd), settings, error);
  if (core == nullptr) return nullptr;
  counters_->accepted.Add(1);
  counters_->open.Add(1);
  return core;
}

ConnectionCore* ConnectionTable::AddOutbound(UniqueFd fd, uint16_t settings,
                                             bool connected, int* error) {
  ConnectionCore* core = AddSocket(std::move(fd), settings, error);
  if (core == nullptr) return nullptr;
  core->Set(ConnectionCore::kOutbound);
  if (!connected) core->Clear(ConnectionCore::kWritable);
  counters_->outbound.Add(1);
  counters_->outbound_open.Add(1);
  return core;
}

ConnectionCore* ConnectionTable::Add(std::unique_ptr<Transport> transport,
                                     uint16_t settings) {
  ConnectionCore* core = NewCore(settings);
  core->Set(ConnectionCore::kTransport);
  core->extra = std::make_unique<ConnectionExtra>();
  core->extra->transport = std::move(transport);
  counters_->accepted.Add(1);
  counters_->open.Add(1);
  return core;
}

void ConnectionTable::SetTag(ConnectionCore& core, uint64_t tag) {
  if (!core.extra) core.extra = std::make_unique<ConnectionExtra>();
  core.extra->tag = tag;
}

void ConnectionTable::Release(ConnectionCore& core) {
  CHECK(core.reader == nullptr && core.writer == nullptr)
      << "a connection is closed under an operation";
  const bool given_away = core.Has(ConnectionCore::kDetached) && core.fd < 0;
  if (core.Has(ConnectionCore::kOutbound)) {
    counters_->outbound_open.Add(-1);
  } else if (!given_away) {  // else it was counted then
    counters_->open.Add(-1);
    counters_->closed.Add(1);
  }
  const std::unique_ptr<ConnectionExtra> extra = std::move(core.extra);
  const auto settings = static_cast<uint16_t>(core.settings);
  Free(core);
  if (observer_ != nullptr)
    observer_->OnClosed(settings, extra != nullptr ? extra->tag : 0);
}

void ConnectionTable::Free(ConnectionCore& core) {
  loop_.wheel().Remove(&core);
  if (borrower_ == &core) borrower_ = nullptr;
  core.buffer.reset();
  // Closing also takes it out of epoll, as long as there is no other copy; if
  // there is, its events are stale.
  UniqueFd(std::exchange(core.fd, -1)).reset();
  core.flags = 0;
  core.generation = (core.generation + 1) & EventLoop::kGenerationMask;
  core.extra.reset();
  cores_.Free(core.index);
}

void ConnectionTable::MakeReady(ConnectionCore& core) {
  if (core.Has(ConnectionCore::kQueued)) return;
  core.Set(ConnectionCore::kQueued);
  loop_.MakeReady(client_, core.index, core.generation);
}

bool ConnectionTable::WaitToReadInGeneral(ReadOperation& op) {
  ConnectionCore& core = *op.core;
  CHECK(core.reader == nullptr) << "a connection has one reader at a time";
  if (!op.waiter.Enter(&op, [](void* op) {
        Current().CancelRead(*static_cast<ReadOperation*>(op),
                             IoError::kCancelled);
      })) {
    op.error = IoError::kCancelled;
    return false;
  }
  core.reader = &op;
  const Tick imported = TakeIdleDeadline(core);
  if (op.deadline == ReadOperation::kDefaultTimeout)
    op.deadline = ticks_[core.settings].idle;
  if (op.deadline == 0) return true;
  op.has_deadline = true;
  op.deadline += loop_.now_tick() + 1;
  if (imported != 0 && op.idle) op.deadline = imported;
  FileDeadline(core, op.deadline);
  return true;
}

// It is for the first wait only: whatever comes later, the connection has been
// active here. What is then empty goes.
Tick ConnectionTable::TakeIdleDeadline(ConnectionCore& core) {
  if (core.extra == nullptr) return 0;
  const Tick deadline = std::exchange(core.extra->idle_deadline, 0);
  if (core.extra->empty()) core.extra.reset();
  return deadline;
}

bool ConnectionTable::WaitToWrite(WriteOperation& op) {
  ConnectionCore& core = *op.core;
  if (!OwnBorrowedBytes(op)) {
    op.error = IoError::kOverload;
    return false;
  }
  if (!op.waiter.Enter(&op, [](void* op) {
        Current().CancelWrite(*static_cast<WriteOperation*>(op),
                              IoError::kCancelled);
      })) {
    return !EndWrite(op, IoError::kCancelled);
  }
  SetWriter(core, &op);
  op.unsent = WriteOperation::kUnknown;
  op.progress = loop_.now_tick();
  // A connect sends nothing that a peer could take: its caller has a deadline.
  op.has_deadline =
      ticks_[core.settings].write != 0 && op.kind != WriteOperation::kConnect;
  if (op.has_deadline) {
    StartWriteWatch(core, op);
    FileDeadline(core, op.deadline);
  }
  OfferWrite(core);
  return true;
}

void ConnectionTable::SetWriter(ConnectionCore& core, WriteOperation* op) {
  core.writer = op;
  if (op != nullptr) return core.Set(ConnectionCore::kWriting);
  core.Clear(ConnectionCore::kWriting);
  // Its reader was idle before, and is not tried again until the peer speaks.
  // Offered before the writer goes on: that may be the connection's end.
  if (safe_points_ != nullptr && IsIdle(core)) OfferSafePoint(core);
}

void ConnectionTable::FileDeadline(ConnectionCore& core, Tick deadline) {
  if (!core.filed() || TickBefore(deadline, core.filed_tick()))
    loop_.FileTimer(&core, deadline);
}

// Completes from inside another coroutine: marks now, resumes in the next
// round.
void ConnectionTable::CancelRead(ReadOperation& op, IoError error) {
  op.error = error;
  if (op.core->IsMoving() && !aborted_) return;  // until it is known where to
  op.core->reader = nullptr;
  op.waiter.Leave();
  loop_.ResumeSoon(op.waiter.coroutine());
}

void ConnectionTable::CancelWrite(WriteOperation& op, IoError error) {
  if (op.core->IsMoving() && !aborted_) {
    op.error = error;
    return;
  }
  EndWrite(op, error);
  SetWriter(*op.core, nullptr);
  op.waiter.Leave();
  loop_.ResumeSoon(op.waiter.coroutine());
}

void ConnectionTable::OnTimer(TimerNode* node) {
  auto& core = *static_cast<ConnectionCore*>(node);
  if (core.IsMoving()) return;  // Reattach files it again
  const uint32_t generation = core.generation;
  const Tick now = loop_.now_tick();
  budget_ = kBudget;
  if (WriteOperation* op = core.writer; op != nullptr && op->has_deadline) {
    if (!TickBefore(now, op->deadline) && WriteTimedOut(core, *op)) {
      counters_->write_timeouts.Add(1);
      EndWrite(*op, IoError::kTimeout);
      SetWriter(core, nullptr);
      op->waiter.Resume();
      if (core.generation != generation) return;
    }
  }
  if (ReadOperation* op = core.reader;
      op != nullptr && op->has_deadline && !TickBefore(now, op->deadline)) {
    (op->idle ? counters_->reaped_idle : counters_->read_timeouts).Add(1);
    op->error = IoError::kTimeout;
    core.reader = nullptr;
    op->waiter.Resume();
    if (core.generation != generation) return;
  }
  // File again for what is still waiting; an operation that began meanwhile has
  // filed by itself.
  if (core.writer != nullptr && core.writer->has_deadline)
    FileDeadline(core, core.writer->deadline);
  if (core.reader != nullptr && core.reader->has_deadline)
    FileDeadline(core, core.reader->deadline);
}

ConnectionCore* ConnectionTable::Find(uint32_t index, uint32_t generation) {
  return cores_[index].generation == generation ? &cores_[index] : nullptr;
}

void ConnectionTable::ForEach(absl::FunctionRef<void(ConnectionCore&)> visit) {
  for (uint32_t index = 0; index < cores_.capacity(); ++index) {
    ConnectionCore& core = cores_[index];
    if (core.fd >= 0 || core.Has(ConnectionCore::kTransport)) visit(core);
  }
}

uint64_t ConnectionTable::IdOf(const ConnectionCore& core) {
  return uint64_t{core.generation} << ConnectionCore::kIndexBits | core.index;
}

absl::Duration ConnectionTable::AgeOf(const ConnectionCore& core) const {
  return absl::Nanoseconds(int64_t{loop_.now_tick() - core.opened} *
                           kTickNanos);
}

void ConnectionTable::BeginDrain() {
  draining_ = true;
  if (std::exchange(safe_points_, nullptr) != nullptr) {
    ForEach([](ConnectionCore& core) {
      core.Clear(ConnectionCore::kDrainTried);  // meant something else
    });
  }
  first_byte_grace_.Start(kFirstByteGrace);
  EndIdleReads();
}

void ConnectionTable::EndIdleReads() {
  ForEach([this](ConnectionCore& core) {
    core.Set(ConnectionCore::kLeaving);
    if (core.reader != nullptr && core.reader->idle) MakeReady(core);
  });
}

bool ConnectionTable::MayStayInDrain(const ConnectionCore& core) const {
  return core.bytes_in == 0 && first_byte_grace_.pending();
}

void ConnectionTable::Abort() {
  aborted_ = draining_ = true;
  ForEach([this](ConnectionCore& core) {
    core.Set(ConnectionCore::kLeaving);
    if (core.reader != nullptr) CancelRead(*core.reader, IoError::kCancelled);
    if (core.writer != nullptr) CancelWrite(*core.writer, IoError::kCancelled);
  });
}

}  // namespace baton
