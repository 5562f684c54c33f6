#include "worker/log_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/errno_status.h"

namespace baton {
namespace {

constexpr mode_t kLogMode = 0640;
// A file takes a line of any length at once; a bound on what one record costs.
constexpr size_t kMaxFileLineBytes = size_t{32} * 1024;

bool IsNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

}  // namespace

absl::StatusOr<UniqueFd> OpenLog(absl::string_view path) {
  if (path.empty()) {
    // Not below 3: a closed stdin or stdout must not become the log.
    UniqueFd copy(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (copy) return copy;
    path = "/dev/null";
  }
  // O_NONBLOCK: opening a FIFO would wait for its reader - fifo(7).
  UniqueFd fd(open(std::string(path).c_str(),
                   O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
                       O_NOCTTY | O_NONBLOCK,
                   kLogMode));
  // open(2): what O_NOFOLLOW says of a link.
  if (!fd && errno == ELOOP) {
    return absl::FailedPreconditionError(
        absl::StrCat("open log ", path, ": it is a symbolic link"));
  }
  if (!fd) return ErrnoStatus("open log", path, errno);
  return fd;
}

LogWriter::LogWriter(UniqueFd fd) {
  kind_ = Prepare(fd);
  fd_ = std::move(fd);
}

LogWriter::Kind LogWriter::Prepare(UniqueFd& fd) {
  CHECK(fd);
  struct stat status = {};
  if (fstat(fd.get(), &status) != 0) return Kind::kFile;
  if (S_ISSOCK(status.st_mode)) return Kind::kSocket;
  if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) return Kind::kFile;
  if (IsNonBlocking(fd.get())) return Kind::kNonBlocking;
  UniqueFd own(open(absl::StrCat("/proc/self/fd/", fd.get()).c_str(),
                    O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!own) return Kind::kPolled;
  fd = std::move(own);
  return Kind::kNonBlocking;
}

// A thread that crashes meanwhile finds one log or the other under the number,
// and never none.
void LogWriter::Reopen(UniqueFd fd) {
  const Kind kind = Prepare(fd);
  PCHECK(dup3(fd.get(), fd_.get(), O_CLOEXEC) >= 0) << "dup3 of the log";
  kind_ = kind;
  torn_ = false;
}

size_t LogWriter::max_line_bytes() const {
  // One byte less: the newline that ends a torn line goes in the same write.
  return kind_ == Kind::kFile ? kMaxFileLineBytes : PIPE_BUF - 1;
}

size_t LogWriter::WriteLines(absl::string_view lines) {
  size_t taken = 0;
  while (taken < lines.size()) {
    absl::string_view part = lines.substr(taken);
    if (kind_ != Kind::kFile && part.size() > max_line_bytes()) {
      part = part.substr(0, part.rfind('\n', max_line_bytes() - 1) + 1);
    }
    const size_t written = WriteAtOnce(part);
    if (written < part.size()) {
      // 0 if there is none.
      const size_t whole = part.substr(0, written).rfind('\n') + 1;
      if (whole < written && !TakeBack(written - whole)) torn_ = true;
      return taken + whole;
    }
    taken += written;
  }
  return taken;
}

// If they are what the file ends with. Who shares the description can write
// between the look and the cut, and would lose that line: but there was no room
// for it just now.
bool LogWriter::TakeBack(size_t bytes) {
  if (kind_ != Kind::kFile) return false;
  // Without O_APPEND the next line would leave a hole.
  const int flags = fcntl(fd_.get(), F_GETFL);
  struct stat status = {};
  if (flags < 0 || (flags & O_APPEND) == 0 || fstat(fd_.get(), &status) != 0) {
    return false;
  }
  // Where this description's last write has ended - write(2).
  if (lseek(fd_.get(), 0, SEEK_CUR) != status.st_size) return false;
  return ftruncate(fd_.get(), status.st_size - static_cast<off_t>(bytes)) == 0;
}

// By one call. Returns how many bytes went.
size_t LogWriter::WriteAtOnce(absl::string_view lines) {
  static constexpr char kNewline = '\n';
  const size_t extra = torn_ ? 1 : 0;
  std::array<iovec, 2> parts = {{
      {const_cast<char*>(&kNewline), extra},
      {const_cast<char*>(lines.data()), lines.size()},
  }};
  if (kind_ == Kind::kPolled) {
    pollfd ready = {.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return 0;
  }
  ssize_t written = -1;
  do {
    if (kind_ == Kind::kSocket) {
      msghdr message = {};
      message.msg_iov = parts.data();
      message.msg_iovlen = parts.size();
      written = sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
      written = writev(fd_.get(), parts.data(), parts.size());
    }
  } while (written < 0 && errno == EINTR);
  if (written <= 0) return 0;
  torn_ = false;
  return static_cast<size_t>(written) - extra;
}

}  // namespace baton
