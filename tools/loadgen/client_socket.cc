#include "tools/loadgen/client_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <climits>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "net/endpoint.h"
#include "net/errno_status.h"
#include "net/unique_fd.h"

namespace baton::loadgen {
namespace {

bool BindSource(int fd, uint64_t number, int sources) {
  sockaddr_in source = {};
  source.sin_family = AF_INET;
  source.sin_addr.s_addr =
      htonl(INADDR_LOOPBACK + static_cast<uint32_t>(number % sources));
  // The port is chosen by connect(), by the pair of addresses; bind() would
  // want one that is free for all destinations: ip(7).
  const int on = 1;
  return ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
                      sizeof(on)) == 0 &&
         ::bind(fd, reinterpret_cast<const sockaddr*>(&source),
                sizeof(source)) == 0;
}

OpenedSocket Failed(bool local) {
  OpenedSocket result;
  result.error = errno;
  result.local = local;
  return result;
}

}  // namespace

bool IsIpv4Loopback(const Endpoint& endpoint) {
  if (endpoint.family() != AF_INET) return false;
  const auto* address =
      reinterpret_cast<const sockaddr_in*>(endpoint.sockaddr());
  return ntohl(address->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

OpenedSocket OpenClientSocket(const LoadTarget& target, uint64_t number,
                              int sources) {
  const Endpoint& peer = target.endpoint;
  const int type = target.transport == LoadTarget::Transport::kUdp
                       ? SOCK_DGRAM
                       : SOCK_STREAM;
  UniqueFd fd(::socket(peer.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return Failed(/*local=*/true);
  if (target.transport == LoadTarget::Transport::kTcp) {
    const int on = 1;
    if (::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
      return Failed(/*local=*/true);
    }
  }
  if (sources > 1 && IsIpv4Loopback(peer) &&
      !BindSource(fd.get(), number, sources)) {
    return Failed(/*local=*/true);
  }
  if (::connect(fd.get(), peer.sockaddr(), peer.length()) < 0 &&
      errno != EINPROGRESS) {
    // No port left for this pair of addresses is the only local failure here.
    return Failed(errno == EADDRNOTAVAIL);
  }
  OpenedSocket result;
  result.fd = std::move(fd);
  return result;
}

absl::StatusOr<UniqueFd> ConnectWithin(const LoadTarget& target,
                                       absl::Duration timeout) {
  OpenedSocket opened = OpenClientSocket(target, 0, /*sources=*/1);
  const std::string peer = target.endpoint.ToString();
  if (!opened.fd) return ErrnoStatus("connect", peer, opened.error);
  pollfd wait = {.fd = opened.fd.get(), .events = POLLOUT, .revents = 0};
  const int64_t timeout_ms = absl::ToInt64Milliseconds(timeout);
  const int ready = ::poll(
      &wait, 1, static_cast<int>(std::min<int64_t>(timeout_ms, INT_MAX)));
  if (ready < 0) return ErrnoStatus("poll", peer, errno);
  if (ready == 0) {
    return absl::DeadlineExceededError(
        absl::StrCat("connect ", peer, ": no answer in time"));
  }
  int error = 0;
  socklen_t length = sizeof(error);
  ::getsockopt(opened.fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return ErrnoStatus("connect", peer, error);
  return std::move(opened.fd);
}

}  // namespace baton::loadgen
