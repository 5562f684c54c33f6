#include "worker/handover_receiver.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "glog/logging.h"
#include "net/connection.h"
#include "net/connection_core.h"
#include "net/errno_status.h"
#include "net/fd_inlet.h"
#include "net/open_fds.h"

namespace baton {

// A channel from one sender.
struct HandoverReceiver::Line {
  Line(HandoverReceiver* receiver, uint32_t id, FdChannel channel)
      : channel(std::move(channel)),
        inlet(receiver, &HandoverReceiver::OnLine, id),
        reservation_ends(receiver->home_.table.loop(), [receiver, this] {
          receiver->Unreserve(*this, reserved);
        }) {}

  FdChannel channel;
  FdInlet<HandoverReceiver, uint32_t> inlet;
  int64_t reserved = 0;
  Timer reservation_ends;
  // By listener; none = not served here.
  std::map<std::string, std::optional<ListenerSet::Admission>> admissions;
  // Of the last batch, while it is unanswered.
  std::string answer;
  std::vector<Taken> taken;
};

namespace {

// A batch that does not fit into a message is one connection's, whose unread
// bytes are bounded by the pool of buffers.
constexpr off_t kMostFileBytes = off_t{256} * 1024 * 1024;

// Of one line: more than any configuration has listeners.
constexpr size_t kMostAdmissions = 1024;

// Read and not mapped: whoever sent it may truncate it.
absl::StatusOr<std::string> ReadWhole(int fd) {
  struct stat file{};
  if (fstat(fd, &file) < 0) return ErrnoStatus("fstat", "batch", errno);
  // Only a file in memory has seals - fcntl(2): any other might block.
  if (!S_ISREG(file.st_mode) || fcntl(fd, F_GET_SEALS) < 0 ||
      file.st_size > kMostFileBytes)
    return absl::InvalidArgumentError("a batch that is no file, or too long");
  std::string bytes(static_cast<size_t>(file.st_size), '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t size = pread(fd, bytes.data() + filled, bytes.size() - filled,
                               static_cast<off_t>(filled));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return absl::InvalidArgumentError("a batch that was cut");
    filled += static_cast<size_t>(size);
  }
  return bytes;
}

HandoverResult ResultOf(const absl::Status& status) {
  return absl::IsResourceExhausted(status) ? HandoverResult::kLater
                                           : HandoverResult::kRefused;
}

}  // namespace

HandoverReceiver::HandoverReceiver(const Home& home)
    : home_(home), retry_(home.table.loop(), [this] {
        for (auto& [id, line] : lines_) {
          if (!line->answer.empty() && SendAnswer(*line)) line->inlet.Again();
        }
      }) {}

HandoverReceiver::~HandoverReceiver() = default;

void HandoverReceiver::Take(FdChannel channel, int64_t expected) {
  if (stopped_) return;
  const uint32_t id = ++last_line_;
  auto line = std::make_unique<Line>(this, id, std::move(channel));
  if (absl::Status status =
          line->inlet.Watch(home_.table.loop(), line->channel.fd());
      !status.ok()) {
    LOG(ERROR) << "handover: " << status.message();
    return;
  }
  line->reserved = std::max<int64_t>(expected, 0);
  home_.limits.Reserve(line->reserved);
  line->reservation_ends.Start(kReservationLasts);
  lines_.emplace(id, std::move(line));
}

void HandoverReceiver::Stop() {
  if (std::exchange(stopped_, true)) return;
  for (auto it = lines_.begin(); it != lines_.end();) {
    const uint32_t id = it->first;
    ++it;
    // A batch that is here may be all that is left of its sender.
    ReadLine(id);
    OnLine(id);
  }
}

void HandoverReceiver::OnLine(uint32_t id) {
  const auto it = lines_.find(id);
  if (it == lines_.end() || !it->second->answer.empty()) return;
  stopped_ ? EndLine(id) : ReadLine(id);
}

void HandoverReceiver::ReadLine(uint32_t id) {
  Line& line = *lines_.at(id);
  // The next one comes after the answer.
  if (!line.answer.empty()) return;
  FdChannel::Received received = line.channel.Receive();
  bool goes_on = false;
  switch (received.code) {
    case FdChannel::ReceiveCode::kAgain:
      return;
    case FdChannel::ReceiveCode::kMessage:
      goes_on = OnBatch(line, received.bytes, std::move(received.fds));
      break;
    case FdChannel::ReceiveCode::kTruncated: {
      // No room in our table of descriptors: the kernel has closed them.
      const absl::StatusOr<HandoverHeader> header =
          TakeHandoverHeader(received.bytes);
      goes_on = header.ok() && RefuseAll(line, *header, HandoverResult::kLater);
      break;
    }
    case FdChannel::ReceiveCode::kEof:
    case FdChannel::ReceiveCode::kError:
      break;
  }
  if (!goes_on) return EndLine(id);
  line.inlet.Again();
}

// False: the sender makes no sense.
bool HandoverReceiver::OnBatch(Line& line, absl::string_view message,
                               std::vector<UniqueFd> fds) {
  const absl::StatusOr<HandoverHeader> header = TakeHandoverHeader(message);
  if (!header.ok()) {
    LOG(ERROR) << "handover: " << header.status().message();
    return false;
  }
  if (header->type == HandoverHeader::Type::kAnswer) {
    LOG(ERROR) << "handover: an answer to nothing";
    return false;
  }
  if (!header->readable())
    return RefuseAll(line, *header, HandoverResult::kRefused);
  std::string from_file;
  if (header->type == HandoverHeader::Type::kBatchInFile && !fds.empty()) {
    if (header->connections != 1) return false;
    absl::StatusOr<std::string> bytes = ReadWhole(fds.back().get());
    if (!bytes.ok()) return RefuseAll(line, *header, HandoverResult::kRefused);
    from_file = *std::move(bytes);
    message = from_file;
    fds.pop_back();
  }
  const absl::StatusOr<std::vector<HandoverConnection>> connections =
      DecodeBatch(*header, message);
  if (!connections.ok()) {
    LOG(ERROR) << "handover: " << connections.status().message();
    return RefuseAll(line, *header, HandoverResult::kRefused);
  }
  if (fds.size() != DescriptorsOf(*connections)) {
    LOG(ERROR) << "handover: " << connections->size() << " connections with "
               << fds.size() << " descriptors";
    return false;
  }
  line.answer =
      EncodeAnswer(header->batch, TakeAll(line, *connections, std::move(fds)));
  SendAnswer(line);
  return true;
}

std::vector<HandoverResult> HandoverReceiver::TakeAll(
    Line& line, const std::vector<HandoverConnection>& connections,
    std::vector<UniqueFd> fds) {
  std::vector<HandoverResult> results;
  auto next_fd = fds.begin();
  for (const HandoverConnection& each : connections) {
    UniqueFd fd = std::move(*next_fd++), file;
    if (each.image.file.has_value()) file = std::move(*next_fd++);
    const std::optional<ListenerSet::Admission>& admission =
        AdmissionFor(line, each.listener);
    results.push_back(
        admission.has_value()
            ? TakeOne(line, each, *admission, std::move(fd), std::move(file))
            : HandoverResult::kRefused);
  }
  return results;
}

const std::optional<ListenerSet::Admission>& HandoverReceiver::AdmissionFor(
    Line& line, const std::string& listener) {
  if (line.admissions.size() >= kMostAdmissions) line.admissions.clear();
  const auto [it, added] = line.admissions.try_emplace(listener);
  if (!added) return it->second;
  absl::StatusOr<ListenerSet::Admission> admission =
      home_.listeners.AdmissionFor(listener);
  if (admission.ok()) {
    it->second = *admission;
  } else {
    LOG(WARNING) << "handover: connections of " << listener
                 << " stay where they are: " << admission.status().message();
  }
  return it->second;
}

HandoverResult HandoverReceiver::TakeOne(
    Line& line, const HandoverConnection& connection,
    const ListenerSet::Admission& admission, UniqueFd fd, UniqueFd file) {
  // One that blocks would stop the loop.
  if ((fcntl(fd.get(), F_GETFL) & O_NONBLOCK) == 0 || !IsSocket(fd.get()) ||
      IsListening(fd.get())) {
    return HandoverResult::kRefused;
  }
  // A number is the lowest that was free: so many are in use.
  if (home_.limits.total() >= home_.most_connections ||
      file.get() >= home_.most_connections) {
    return HandoverResult::kLater;
  }
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  const bool has_peer =
      home_.limits.CountsAddresses() &&
      getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer), &size) == 0;
  const absl::StatusOr<internal::ConnectionCore*> core = home_.table.Import(
      std::move(fd), admission.settings, connection.image, std::move(file));
  if (!core.ok()) return ResultOf(core.status());
  const ConnectionLimits::Tag tag =
      home_.limits.Adopt(admission.limits_number, has_peer ? &peer : nullptr);
  if (tag != 0) home_.table.SetTag(**core, tag);
  Unreserve(line, 1);
  line.taken.push_back({*core, admission.handler});
  return HandoverResult::kTaken;
}

bool HandoverReceiver::RefuseAll(Line& line, const HandoverHeader& header,
                                 HandoverResult result) {
  if (header.type == HandoverHeader::Type::kAnswer ||
      header.connections > FdChannel::kMaxFds) {
    return false;
  }
  line.answer =
      EncodeAnswer(header.batch, std::vector(header.connections, result));
  SendAnswer(line);
  return true;
}

// False: it has to wait, for memory.
bool HandoverReceiver::SendAnswer(Line& line) {
  const FdChannel::SendResult result = line.channel.Send(line.answer);
  if (result.code != FdChannel::SendCode::kSent &&
      result.code != FdChannel::SendCode::kEof) {
    retry_.Start(kRetry);
    return false;
  }
  // Also if the sender is gone: nobody else has them now.
  line.answer.clear();
  StartTaken(line);
  return true;
}

void HandoverReceiver::StartTaken(Line& line) {
  for (const Taken& taken : std::exchange(line.taken, {}))
    home_.connections.SpawnBare(taken.handler(Connection(taken.core)));
}

void HandoverReceiver::EndLine(uint32_t id) {
  const auto it = lines_.find(id);
  Unreserve(*it->second, it->second->reserved);
  lines_.erase(it);
}

void HandoverReceiver::Unreserve(Line& line, int64_t count) {
  count = std::min(count, line.reserved);
  if (count == 0) return;
  line.reserved -= count;
  home_.limits.Reserve(-count);
  home_.listeners.OnRoom();
}

}  // namespace baton
