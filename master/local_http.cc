#include "master/local_http.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "net/errno_status.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

constexpr size_t kMaxResponseBytes = 64 << 20;

absl::Status ConnectError(const Endpoint& server, int error) {
  const std::string where = server.ToString();
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      return absl::UnavailableError(absl::StrCat("no server at ", where));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(
          "no right to ", where, ": it is for root and the server's user"));
    default:
      return ErrnoStatus("connect", where, error);
  }
}

// socket(7): for connect(2) too, on Linux.
absl::Status SetTimeouts(int fd, absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return absl::OkStatus();
  const timeval value = absl::ToTimeval(timeout);
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) != 0) {
      return ErrnoStatus("setsockopt", "a time-out", errno);
    }
  }
  return absl::OkStatus();
}

absl::Status IoStatus(const char* call, const Endpoint& server) {
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    return absl::DeadlineExceededError(
        absl::StrCat(server.ToString(), " does not answer"));
  }
  return ErrnoStatus(call, server.ToString(), errno);
}

// HTTP/1.0: the response ends with the connection, and has no transfer coding.
absl::StatusOr<LocalHttpResponse> Parse(absl::string_view bytes,
                                        const Endpoint& server) {
  const auto malformed = [&server] {
    return absl::InternalError(
        absl::StrCat(server.ToString(), " does not speak HTTP"));
  };
  const size_t end = bytes.find("\r\n\r\n");
  absl::string_view line = bytes;
  LocalHttpResponse response;
  if (end == absl::string_view::npos ||
      !absl::ConsumePrefix(&line, "HTTP/1.") || line.size() < 5 ||
      !absl::SimpleAtoi(line.substr(2, 3), &response.status)) {
    return malformed();
  }
  response.body = std::string(bytes.substr(end + 4));
  return response;
}

}  // namespace

absl::StatusOr<LocalHttpResponse> AskLocally(const Endpoint& server,
                                             absl::string_view method,
                                             absl::string_view target,
                                             absl::Duration timeout) {
  const UniqueFd fd(socket(server.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoStatus("socket", server.ToString(), errno);
  if (absl::Status status = SetTimeouts(fd.get(), timeout); !status.ok()) {
    return status;
  }
  if (connect(fd.get(), server.sockaddr(), server.length()) != 0) {
    if (errno == EINPROGRESS || errno == EAGAIN) {
      return absl::DeadlineExceededError(
          absl::StrCat(server.ToString(), " does not answer"));
    }
    return ConnectError(server, errno);
  }
  const std::string request =
      absl::StrCat(method, " ", target, " HTTP/1.0\r\nHost: localhost\r\n",
                   method == "POST" ? "Content-Length: 0\r\n" : "", "\r\n");
  if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return IoStatus("send", server);
  }
  std::string bytes;
  std::array<char, 16384> part;
  while (bytes.size() < kMaxResponseBytes) {
    const ssize_t got = recv(fd.get(), part.data(), part.size(), 0);
    if (got == 0) return Parse(bytes, server);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return IoStatus("recv", server);
    bytes.append(part.data(), static_cast<size_t>(got));
  }
  return absl::InternalError("the answer does not end");
}

}  // namespace baton
