#include "net/connect.h"

#include <errno.h>
#include <sys/socket.h>

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "net/connection_core.h"
#include "net/connection_table.h"
#include "net/errno_status.h"
#include "net/socket_options.h"
#include "net/with_deadline.h"

namespace baton {
namespace {

// Waits until the socket is connected or has failed: both make it writable
// (connect(2), EINPROGRESS).
class Handshake : public WriteAwaiter<internal::WriteOperation> {
 public:
  explicit Handshake(internal::ConnectionCore* core)
      : WriteAwaiter(internal::WriteOperation(
            core, internal::WriteOperation::kConnect, 1)) {
    op_.connect_errno = ECONNRESET;
  }

  // An errno; ECANCELED if the task was asked to stop.
  int await_resume() const {
    switch (op_.error) {
      case IoError::kOk:
        return 0;
      case IoError::kCancelled:
        return ECANCELED;
      default:
        return op_.connect_errno;
    }
  }
};

Task<int> FinishConnect(internal::ConnectionCore* core) {
  const int error = co_await Handshake(core);
  co_return error;
}

}  // namespace

Connector::Connector(const ConnectOptions& options)
    : timeout_(options.timeout),
      settings_(ConnectionTable::Current().AddSettings(
          {.idle_timeout = options.idle_timeout,
           .write_timeout = options.write_timeout})) {}

Task<absl::StatusOr<Connection>> Connector::Connect(Endpoint endpoint) const {
  const absl::Duration timeout = timeout_;
  const std::string name = endpoint.ToString();
  UniqueFd fd(
      socket(endpoint.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) co_return ErrnoStatus("socket", name, errno);
  if (endpoint.family() != AF_UNIX) {
    if (absl::Status status = SetTcpNoDelay(fd.get()); !status.ok()) {
      co_return status;
    }
  }
  const bool connected =
      connect(fd.get(), endpoint.sockaddr(), endpoint.length()) == 0;
  if (!connected && errno != EINPROGRESS) {
    co_return ErrnoStatus("connect", name, errno);
  }
  int error = 0;
  internal::ConnectionCore* core = ConnectionTable::Current().AddOutbound(
      std::move(fd), settings_, connected, &error);
  if (core == nullptr) co_return ErrnoStatus("epoll_ctl", name, error);
  Connection connection(core);
  if (!connected) {
    const std::optional<int> result =
        co_await WithDeadline(timeout, FinishConnect(core));
    if (!result.has_value()) {
      co_return absl::DeadlineExceededError(
          absl::StrCat("connect ", name, ": no answer within ",
                       absl::FormatDuration(timeout)));
    }
    if (*result == ECANCELED) {
      co_return absl::CancelledError(absl::StrCat("connect ", name));
    }
    if (*result != 0) co_return ErrnoStatus("connect", name, *result);
  }
  co_return std::move(connection);
}

}  // namespace baton
