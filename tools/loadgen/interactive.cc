#include "tools/loadgen/interactive.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/errno_status.h"

namespace baton::loadgen {
namespace {

constexpr size_t kReadAheadBytes = 64 * 1024;
constexpr char kUrgentByte = '!';

class Session {
 public:
  Session(UniqueFd socket, const InteractiveOptions& options)
      : socket_(std::move(socket)), options_(options) {}

  absl::Status Run() {
    while (status_.ok() && !Over()) Turn();
    return status_;
  }

 private:
  struct Piece {
    std::string bytes;
    bool urgent;
  };

  bool Over() {
    if (peer_ended_ && incoming_.empty()) return true;
    // A datagram may be empty: only the counters tell.
    return options_.datagrams && input_ended_ && outgoing_.empty() &&
           incoming_.empty() &&
           (!options_.answers || datagrams_in_ >= datagrams_out_);
  }

  void Turn() {
    pollfd fds[] = {
        {.fd = WantsInput() ? options_.input_fd : -1,
         .events = POLLIN,
         .revents = 0},
        {.fd = peer_ended_ ? -1 : socket_.get(),
         .events = SocketEvents(),
         .revents = 0},
        {.fd = incoming_.empty() ? -1 : options_.output_fd,
         .events = POLLOUT,
         .revents = 0},
    };
    const int ready = ::poll(fds, std::size(fds), PatienceMillis());
    if (ready < 0) {
      if (errno != EINTR) status_ = ErrnoStatus("poll", "", errno);
      return;
    }
    if (ready == 0) {
      status_ = absl::DeadlineExceededError(
          absl::StrCat(datagrams_out_ - datagrams_in_, " of ", datagrams_out_,
                       " datagrams were not answered"));
      return;
    }
    if (fds[0].revents != 0) ReadInput();
    // Before anything is read in band: reading past an urgent byte drops it.
    if ((fds[1].revents & POLLPRI) != 0) ReadUrgent();
    if ((fds[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) ReadSocket();
    if ((fds[1].revents & POLLOUT) != 0) WriteSocket();
    if (fds[2].revents != 0) WriteOutput();
  }

  bool WantsInput() const {
    size_t waiting = 0;
    for (const Piece& piece : outgoing_) waiting += piece.bytes.size();
    return !input_ended_ && waiting < kReadAheadBytes;
  }

  short SocketEvents() const {
    int events = POLLPRI;
    if (incoming_.size() < kReadAheadBytes) events |= POLLIN;
    if (!outgoing_.empty()) events |= POLLOUT;
    return static_cast<short>(events);
  }

  // poll's time-out: none but for the last datagrams.
  int PatienceMillis() const {
    if (!options_.datagrams || !input_ended_ || !outgoing_.empty()) return -1;
    return static_cast<int>(std::min<int64_t>(
        absl::ToInt64Milliseconds(options_.patience), INT_MAX));
  }

  void ReadInput() {
    char buffer[16 * 1024];
    const ssize_t got = ::read(options_.input_fd, buffer, sizeof(buffer));
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    // EIO is a terminal that was hung up: nobody will type any more.
    if (got <= 0) {
      input_ended_ = true;
      EndSending();
      return;
    }
    const absl::string_view bytes(buffer, got);
    const size_t middle = options_.urgent ? bytes.size() / 2 : 0;
    if (middle > 0)
      outgoing_.push_back({std::string(bytes.substr(0, middle)), false});
    if (options_.urgent) outgoing_.push_back({{kUrgentByte}, true});
    outgoing_.push_back({std::string(bytes.substr(middle)), false});
    WriteSocket();
  }

  void EndSending() {
    if (input_ended_ && outgoing_.empty() && !options_.datagrams) {
      ::shutdown(socket_.get(), SHUT_WR);
    }
  }

  void WriteSocket() {
    while (!outgoing_.empty()) {
      Piece& piece = outgoing_.front();
      const ssize_t sent =
          ::send(socket_.get(), piece.bytes.data(), piece.bytes.size(),
                 MSG_NOSIGNAL | (piece.urgent ? MSG_OOB : 0));
      if (sent < 0) {
        if (errno == EAGAIN || errno == EINTR) return;
        status_ = ErrnoStatus("send", "", errno);
        return;
      }
      ++datagrams_out_;
      piece.bytes.erase(0, sent);
      if (piece.bytes.empty()) outgoing_.pop_front();
    }
    EndSending();
  }

  void ReadUrgent() {
    char byte = 0;
    if (::recv(socket_.get(), &byte, 1, MSG_OOB) != 1) return;
    const std::string notice = absl::StrFormat(
        "[urgent byte 0x%02x '%c']\n", static_cast<unsigned char>(byte),
        absl::ascii_isprint(static_cast<unsigned char>(byte)) ? byte : '?');
    // To a person, and short: if it cannot be written, it is not seen.
    (void)!::write(options_.notice_fd, notice.data(), notice.size());
  }

  void ReadSocket() {
    char buffer[64 * 1024];
    const ssize_t got = ::recv(socket_.get(), buffer, sizeof(buffer), 0);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      status_ = ErrnoStatus("recv", "", errno);
    } else if (got == 0 && !options_.datagrams) {
      peer_ended_ = true;
    } else {
      ++datagrams_in_;
      incoming_.append(buffer, got);
    }
  }

  // POLLOUT promises room for PIPE_BUF bytes in a pipe (pipe(7)): a write of no
  // more never blocks, and the descriptor, which others share, keeps its mode.
  void WriteOutput() {
    const size_t size = std::min<size_t>(incoming_.size(), PIPE_BUF);
    const ssize_t written = ::write(options_.output_fd, incoming_.data(), size);
    if (written < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      status_ = ErrnoStatus("write", "output", errno);
      return;
    }
    incoming_.erase(0, written);
  }

  const UniqueFd socket_;
  const InteractiveOptions options_;
  std::deque<Piece> outgoing_;
  std::string incoming_;
  bool input_ended_ = false;
  bool peer_ended_ = false;
  int64_t datagrams_out_ = 0;
  int64_t datagrams_in_ = 0;
  absl::Status status_;
};

}  // namespace

absl::Status Interact(UniqueFd socket, const InteractiveOptions& options) {
  return Session(std::move(socket), options).Run();
}

}  // namespace baton::loadgen
