// The part of ConnectionTable that lets a connection move to another process.

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "net/connection_core.h"
#include "net/connection_table.h"
#include "net/errno_status.h"

namespace baton {

using internal::ConnectionCore;
using internal::ConnectionExtra;
using internal::ReadOperation;
using internal::WriteFileOperation;
using internal::WriteOperation;

namespace {

// The write of a file, movable or not, in which `core` is suspended.
WriteFileOperation* FileWriteOf(const ConnectionCore& core) {
  if (core.writer == nullptr || core.writer->kind != WriteOperation::kFile)
    return nullptr;
  return static_cast<WriteFileOperation*>(core.writer);
}

WriteFileOperation* MovableWriteOf(const ConnectionCore& core) {
  WriteFileOperation* const write = FileWriteOf(core);
  return write != nullptr && write->movable ? write : nullptr;
}

// Whoever sends a connection may be a build that has run wild.
absl::StatusOr<UnsentFile> UnsentFileOf(const FileRest& rest, UniqueFd fd) {
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  if (rest.size == 0 || rest.size > kMost || rest.offset > kMost - rest.size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no file has ", rest.size, " bytes from offset ", rest.offset));
  }
  struct stat file{};
  if (fstat(fd.get(), &file) < 0)
    return ErrnoStatus("fstat", "received file", errno);
  const int flags = fcntl(fd.get(), F_GETFL);
  // Reading from anything else might block.
  if (!S_ISREG(file.st_mode) || flags < 0 || (flags & O_PATH) != 0 ||
      (flags & O_ACCMODE) == O_WRONLY) {
    return absl::InvalidArgumentError(
        "the rest of what is no file that can be read");
  }
  return UnsentFile{std::move(fd), static_cast<int64_t>(rest.offset),
                    static_cast<int64_t>(rest.size)};
}

}  // namespace

bool ConnectionTable::IsIdle(const ConnectionCore& core) {
  return core.reader != nullptr && core.reader->idle && core.writer == nullptr;
}

bool ConnectionTable::AtSafePoint(const ConnectionCore& core) {
  const WriteFileOperation* const write = MovableWriteOf(core);
  if (write == nullptr) return IsIdle(core);
  return !write->refused && (core.reader == nullptr || core.reader->idle);
}

bool ConnectionTable::CanDetach(const ConnectionCore& core) {
  constexpr uint16_t kBusy =
      ConnectionCore::kBroken | ConnectionCore::kTransport |
      ConnectionCore::kDetached | ConnectionCore::kUnreadLost |
      ConnectionCore::kOutbound;
  // What nobody is about to read stays in the socket.
  const bool reads =
      core.reader != nullptr && core.Has(ConnectionCore::kReadable);
  return core.fd >= 0 && (core.flags & kBusy) == 0 && !reads &&
         AtSafePoint(core);
}

int ConnectionTable::FileOf(const ConnectionCore& core) {
  const WriteFileOperation* const write = MovableWriteOf(core);
  return write != nullptr ? write->file_fd : -1;
}

void ConnectionTable::BeginHandover(SafePointObserver* observer) {
  safe_points_ = observer;
  ForEach([this](ConnectionCore& core) {
    core.Set(ConnectionCore::kLeaving);
    core.Clear(ConnectionCore::kDrainTried);
    if (WriteFileOperation* write = FileWriteOf(core)) write->refused = false;
    if (CanDetach(core)) OfferSafePoint(core);
  });
}

void ConnectionTable::OfferSafePoint(ConnectionCore& core) {
  if (core.Has(ConnectionCore::kDrainTried)) return;
  core.Set(ConnectionCore::kDrainTried);
  safe_points_->OnSafePoint(core);
}

void ConnectionTable::ForgetOffer(ConnectionCore& core) {
  core.Clear(ConnectionCore::kDrainTried);
}

void ConnectionTable::NoteRefusal(ConnectionCore& core) {
  WriteFileOperation* const write = MovableWriteOf(core);
  if (write == nullptr) return;
  // Perhaps only because of the file.
  write->refused = true;
  ForgetOffer(core);
}

ConnectionImage ConnectionTable::Export(ConnectionCore& core) {
  ConnectionImage image;
  image.unread = std::string(Unread(core));
  image.bytes_in = core.bytes_in;
  image.bytes_out = core.bytes_out;
  image.age = AgeOf(core);
  const WriteFileOperation* const write = MovableWriteOf(core);
  if (write != nullptr) {
    // Who is being sent something is not idle, whatever its reader says.
    image.file.emplace(
        FileRest{static_cast<uint64_t>(write->offset), write->size});
  } else if (core.reader != nullptr && core.reader->has_deadline) {
    const auto ticks =
        static_cast<int32_t>(core.reader->deadline - loop_.now_tick());
    image.idle_left =
        absl::Nanoseconds(int64_t{std::max(ticks, 0)} * kTickNanos);
  }
  if (core.extra != nullptr && core.extra->state != nullptr) {
    image.state_version = SettingsOf(core).state_codec->version();
    image.state = core.extra->state->Encode();
  }
  return image;
}

int ConnectionTable::Detach(ConnectionCore& core) {
  CHECK(CanDetach(core));
  // A copy of the descriptor is about to live in another process: closing ours
  // would not take it out of our epoll (epoll(7), Q6).
  loop_.RemoveFd(core.fd);
  core.Set(ConnectionCore::kDetached);
  return core.fd;
}

int ConnectionTable::Reattach(ConnectionCore& core) {
  CHECK(core.IsMoving());
  // Aborted in this turn: it ends here.
  if (core.reader == nullptr && core.writer == nullptr) {
    core.Clear(ConnectionCore::kDetached);
    return 0;
  }
  // Epoll reports what has come meanwhile.
  const int error =
      loop_.AddFd(core.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, client_,
                  core.index, core.generation);
  if (error != 0) return error;
  core.Clear(ConnectionCore::kDetached);
  if (core.extra != nullptr &&
      std::exchange(core.extra->shutdown_wanted, false))
    shutdown(core.fd, SHUT_WR);
  if (core.reader != nullptr) Continue(*core.reader);
  if (core.writer != nullptr) Continue(*core.writer);
  return 0;
}

void ConnectionTable::Continue(ReadOperation& op) {
  if (op.error != IoError::kOk) return CancelRead(op, op.error);
  if (op.has_deadline) FileDeadlineAnew(*op.core, op.deadline);
  if (draining_) MakeReady(*op.core);
}

void ConnectionTable::Continue(WriteOperation& op) {
  if (op.error != IoError::kOk) return CancelWrite(op, op.error);
  MakeReady(*op.core);
  if (op.has_deadline) FileDeadlineAnew(*op.core, op.deadline);
}

// One that has passed meanwhile is judged when the loop has heard what came
// meanwhile: the timers of this turn come before that.
void ConnectionTable::FileDeadlineAnew(ConnectionCore& core, Tick deadline) {
  const Tick next = loop_.now_tick() + 1;
  FileDeadline(core, TickBefore(deadline, next) ? next : deadline);
}

void ConnectionTable::GiveAway(ConnectionCore& core) {
  CHECK(core.IsMoving());
  UniqueFd(std::exchange(core.fd, -1)).reset();
  counters_->open.Add(-1);
  counters_->handed_over.Add(1);
  if (core.reader != nullptr) CancelRead(*core.reader, IoError::kDraining);
  if (core.writer != nullptr) CancelWrite(*core.writer, IoError::kDraining);
}

absl::StatusOr<ConnectionCore*> ConnectionTable::Import(
    UniqueFd fd, uint16_t settings, const ConnectionImage& image,
    UniqueFd file) {
  int error = 0;
  ConnectionCore* core = AddSocket(std::move(fd), settings, &error);
  if (core == nullptr)
    return ErrnoStatus("epoll_ctl", "received connection", error);
  if (absl::Status status = Resume(*core, image, std::move(file));
      !status.ok()) {
    loop_.RemoveFd(core->fd);  // its giver has a copy
    Free(*core);
    return status;
  }
  counters_->received.Add(1);
  counters_->open.Add(1);
  return core;
}

absl::Status ConnectionTable::Resume(ConnectionCore& core,
                                     const ConnectionImage& image,
                                     UniqueFd file) {
  const auto extra = [&core]() -> ConnectionExtra& {
    if (core.extra == nullptr) core.extra = std::make_unique<ConnectionExtra>();
    return *core.extra;
  };
  if (image.state.has_value()) {
    const StateCodec* codec = SettingsOf(core).state_codec;
    if (codec == nullptr)
      return absl::InvalidArgumentError(
          "a connection with state came for a service without");
    auto state = codec->Decode(image.state_version, *image.state);
    if (!state.ok()) return state.status();
    extra().state = *std::move(state);
  }
  if (!image.unread.empty()) {
    core.buffer = buffers_.Take(image.unread.size());
    if (core.buffer == nullptr)
      return absl::ResourceExhaustedError("no buffer for unread bytes");
    core.buffer->end = static_cast<uint32_t>(
        image.unread.copy(core.buffer->data(), image.unread.size()));
    core.Set(ConnectionCore::kStored);
  }
  if (image.file.has_value()) {
    absl::StatusOr<UnsentFile> rest =
        UnsentFileOf(*image.file, std::move(file));
    if (!rest.ok()) return rest.status();
    extra().unsent_file = *std::move(rest);
    // Until it is taken; readable, so that a read does not wait to hear of it.
    core.Set(ConnectionCore::kBroken);
    core.Set(ConnectionCore::kReadable);
  } else if (image.idle_left != absl::InfiniteDuration()) {
    extra().idle_deadline = loop_.now_tick() + 1 + TicksFor(image.idle_left);
  }
  core.Set(ConnectionCore::kResumed);
  core.bytes_in = image.bytes_in;
  core.bytes_out = image.bytes_out;
  core.opened -= TicksFor(image.age);
  return absl::OkStatus();
}

}  // namespace baton
