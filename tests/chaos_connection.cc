#include "tests/chaos_connection.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace baton {
namespace {

constexpr size_t kLongestLine = 400'000;
constexpr size_t kShown = 60;

std::string Shown(absl::string_view bytes) {
  return absl::StrCat("\"", absl::CHexEscape(bytes.substr(0, kShown)), "\"");
}

}  // namespace

ChaosConnection::ChaosConnection(ChaosLedger* ledger, const Endpoint& server,
                                 std::string whose, int receive_buffer)
    : ledger_(ledger), whose_(std::move(whose)), opened_(ledger->now()) {
  ++ledger_->connections;
  Connect(server, receive_buffer);
}

void ChaosConnection::Connect(const Endpoint& server, int receive_buffer) {
  fd_.reset(
      socket(server.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  PCHECK(fd_) << "socket";
  if (receive_buffer != 0) {
    PCHECK(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer,
                      sizeof(receive_buffer)) == 0);
  }
  int error = 0;
  if (connect(fd_.get(), server.sockaddr(), server.length()) != 0) {
    error = errno;
    if (error == EINPROGRESS) {
      if (!Wait(POLLOUT, "a connection")) return;
      socklen_t size = sizeof(error);
      PCHECK(getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0);
    }
  }
  key_ = KeyOfClientEnd(fd_.get());
  // Established, and gone again: a loss like others.
  if (error == 0 && key_ == ConnectionKey()) error = ENOTCONN;
  if (error != 0) {
    Fail(absl::StrCat("is refused at ", server.ToString(), ": errno ", error));
  }
}

bool ChaosConnection::Fail(const std::string& what) {
  if (ok_) {
    ledger_->Fail(absl::StrCat(whose_, " (", key_.ToString(), ", opened at ",
                               absl::FormatDuration(opened_), ", ", answers_,
                               " answers, the last by ", answered_by_, ") ",
                               what));
  }
  ok_ = false;
  return false;
}

bool ChaosConnection::Wrong(const std::string& what) {
  std::string more;
  // What follows tells more about it than what was expected.
  if (ok_) absl::StrAppend(&more, ", before ", Shown(buffer_));
  return Fail(absl::StrCat("got what it should not: ", what, more));
}

bool ChaosConnection::End(int error) {
  if (ok_) {
    ok_ = false;
    ledger_->Lost(key_, opened_,
                  absl::StrCat(whose_, " (", answers_, " answers, the last by ",
                               answered_by_, ", errno ", error, ", ",
                               buffer_.size(), " bytes of the next)"));
  }
  return false;
}

// Counted in looks, a late one as one: a machine that stood still for a while
// has not been waited for.
bool ChaosConnection::Wait(int16_t events, const char* what) {
  constexpr absl::Duration kLook = absl::Milliseconds(500);
  for (int64_t looks = kChaosPatience / kLook; looks > 0;) {
    pollfd one{fd_.get(), events, 0};
    const int ready =
        poll(&one, 1, static_cast<int>(absl::ToInt64Milliseconds(kLook)));
    if (ready > 0) return true;
    PCHECK(ready == 0 || errno == EINTR) << "poll";
    if (ready == 0) --looks;
  }
  return Fail(absl::StrCat("waits in vain for ", what));
}

bool ChaosConnection::Send(absl::string_view bytes) {
  while (ok_ && !bytes.empty()) {
    const ssize_t sent =
        send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno != EAGAIN) {
      return End(errno);
    } else if (!Wait(POLLOUT, "room for what it sends")) {
      return false;
    }
  }
  return ok_;
}

bool ChaosConnection::Fill() {
  while (ok_) {
    char bytes[65536];
    const ssize_t got = recv(fd_.get(), bytes, sizeof(bytes), 0);
    if (got > 0) {
      buffer_.append(bytes, static_cast<size_t>(got));
      return true;
    }
    if (got == 0) return End(0);
    if (errno != EAGAIN) return End(errno);
    if (!Wait(POLLIN, "an answer")) return false;
  }
  return false;
}

bool ChaosConnection::Expect(absl::string_view bytes) {
  while (ok_ && !bytes.empty()) {
    if (buffer_.empty() && !Fill()) return false;
    const size_t count = std::min(buffer_.size(), bytes.size());
    if (absl::string_view(buffer_).substr(0, count) != bytes.substr(0, count)) {
      return Wrong(absl::StrCat("not ", Shown(bytes)));
    }
    buffer_.erase(0, count);
    bytes.remove_prefix(count);
  }
  return ok_;
}

bool ChaosConnection::ReadLine(std::string* line) {
  size_t end;
  while ((end = buffer_.find('\n')) == std::string::npos) {
    if (buffer_.size() > kLongestLine) return Wrong("too long a line");
    if (!Fill()) return false;
  }
  *line = buffer_.substr(0, end);
  buffer_.erase(0, end + 1);
  return ok_;
}

bool ChaosConnection::ReadSome(size_t size, std::string* bytes) {
  if (buffer_.empty() && !Fill()) return false;
  *bytes = buffer_.substr(0, size);
  buffer_.erase(0, bytes->size());
  return ok_;
}

bool ChaosConnection::ExpectNothing() {
  if (!buffer_.empty()) return Wrong("more than the answer");
  return ok_;
}

void ChaosConnection::Answered(pid_t by) {
  ++answers_;
  ++ledger_->requests;
  if (by == 0) return;
  ledger_->Answered(by);
  if (answered_by_ != 0 && answered_by_ != by) ++ledger_->moves;
  answered_by_ = by;
}

}  // namespace baton
