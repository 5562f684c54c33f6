#include "net/fd_channel.h"

#include <errno.h>
#include <glog/logging.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "absl/status/status.h"
#include "net/errno_status.h"

namespace baton {
namespace {

// Room for the one control message that a channel carries. No other kind can
// come: they all need a socket option that is not set here.
union Control {
  cmsghdr align;
  char bytes[CMSG_SPACE(FdChannel::kMaxFds * sizeof(int))];
};

// The buffer of a unix socket is its sender's, and has to hold a message whole
// with what the kernel adds to it. The default does, unless somebody lowered
// net.core.wmem_default - socket(7).
absl::Status EnsureRoomForAMessage(int fd) {
  constexpr int kRoom = 2 * static_cast<int>(FdChannel::kMaxMessageBytes);
  int room = 0;
  socklen_t size = sizeof(room);
  if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &size) < 0) {
    return ErrnoStatus("getsockopt", "SO_SNDBUF", errno);
  }
  if (room >= kRoom) return absl::OkStatus();
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kRoom, sizeof(kRoom)) < 0) {
    return ErrnoStatus("setsockopt", "SO_SNDBUF", errno);
  }
  return absl::OkStatus();
}

std::vector<UniqueFd> TakeFds(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    fds.reserve(fds.size() + count);
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + i * sizeof(fd), sizeof(fd));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

FdChannel::SendResult SendFailure(int errnum) {
  using Code = FdChannel::SendCode;
  switch (errnum) {
    case EAGAIN:
      return {Code::kAgain};
    case EPIPE:
    case ECONNRESET:
      return {Code::kEof};
    case ETOOMANYREFS:
    case ENOBUFS:
    case ENOMEM:
      return {Code::kLater, errnum};
    default:
      return {Code::kError, errnum};
  }
}

}  // namespace

absl::StatusOr<std::pair<FdChannel, FdChannel>> FdChannel::CreatePair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                 ends) < 0) {
    return ErrnoStatus("socketpair", "", errno);
  }
  std::pair<FdChannel, FdChannel> pair{FdChannel(UniqueFd(ends[0])),
                                       FdChannel(UniqueFd(ends[1]))};
  for (const int end : ends) {
    const absl::Status status = EnsureRoomForAMessage(end);
    if (!status.ok()) return status;
  }
  return pair;
}

FdChannel::SendResult FdChannel::Send(absl::string_view bytes,
                                      absl::Span<const int> fds) {
  CHECK(fd_) << "send on a channel that does not exist";
  CHECK(!bytes.empty()) << "an empty message reads as the end";
  CHECK_LE(bytes.size(), kMaxMessageBytes);
  CHECK_LE(fds.size(), kMaxFds);
  iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  Control control;
  if (!fds.empty()) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  }
  ssize_t sent;
  do {
    sent = sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return SendFailure(errno);
  return {SendCode::kSent};
}

FdChannel::Received FdChannel::Receive() {
  CHECK(fd_) << "receive on a channel that does not exist";
  if (buffer_ == nullptr) {
    buffer_ = std::make_unique_for_overwrite<char[]>(kMaxMessageBytes);
  }
  iovec part = {buffer_.get(), kMaxMessageBytes};
  Control control;
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  ssize_t size;
  do {
    message.msg_controllen = sizeof(control);
    size = recvmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    // ECONNRESET: the peer died before it read all of ours. It is reported
    // once and before the messages that the peer had sent, which are still
    // there; the end comes after them.
  } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
  if (size < 0 && errno == EAGAIN) return {ReceiveCode::kAgain};
  if (size < 0) return {ReceiveCode::kError, errno};
  std::vector<UniqueFd> fds = TakeFds(message);
  if (size == 0) return {ReceiveCode::kEof};
  const absl::string_view bytes(buffer_.get(), static_cast<size_t>(size));
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return {ReceiveCode::kTruncated, 0, bytes};
  }
  return {ReceiveCode::kMessage, 0, bytes, std::move(fds)};
}

}  // namespace baton
