#include "net/listen_socket.h"

#include <errno.h>
#include <glog/logging.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "net/errno_status.h"

namespace baton {
namespace {

using Transport = ListenUrl::Transport;

absl::StatusOr<UniqueFd> NewSocket(const ListenUrl& url) {
  CHECK(url.endpoint.family() != AF_UNSPEC)
      << url.text << " has not been resolved";
  const int type = url.transport == Transport::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  UniqueFd fd(
      socket(url.endpoint.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoStatus("socket", url.endpoint.ToString(), errno);
  return fd;
}

absl::Status Bind(int fd, const Endpoint& endpoint) {
  if (bind(fd, endpoint.sockaddr(), endpoint.length()) < 0) {
    return ErrnoStatus("bind", endpoint.ToString(), errno);
  }
  return absl::OkStatus();
}

// What an IP socket needs before bind, whether it is a probe or not.
absl::Status PrepareIp(int fd, const ListenUrl& url) {
  absl::Status status;
  if (url.endpoint.family() == AF_INET6) {
    status = SetV6Only(fd, !url.common.dual);
    if (!status.ok()) return status;
  }
  // For TCP this means: in spite of TIME_WAIT. For UDP it would mean sharing
  // the port with whoever sets it too - socket(7).
  if (url.transport == Transport::kTcp) status = SetReuseAddr(fd);
  return status;
}

// A wildcard socket has to say from which address it answers; for all others
// the kernel knows.
bool IsWildcard(const Endpoint& endpoint) {
  const absl::StatusOr<Endpoint> wildcard = Endpoint::Parse(absl::StrCat(
      endpoint.family() == AF_INET6 ? "[::]:" : "0.0.0.0:", endpoint.port()));
  return wildcard.ok() && *wildcard == endpoint;
}

// Makes way for bind on a unix path, or says why not. Two servers that start
// on the same left-over file in the same instant can unlink each other's; the
// inode is compared to keep that instant short.
absl::Status ClearStaleSocket(const Endpoint& endpoint) {
  const std::string path(endpoint.path());
  struct stat found;
  if (lstat(path.c_str(), &found) < 0) {
    // Whatever else is wrong with the path, bind says it better.
    return absl::OkStatus();
  }
  if (!S_ISSOCK(found.st_mode)) {
    return absl::AlreadyExistsError(
        absl::StrCat("bind ", path, ": exists and is not a socket"));
  }
  const UniqueFd probe(
      socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe) return ErrnoStatus("socket", path, errno);
  const int result =
      connect(probe.get(), endpoint.sockaddr(), endpoint.length());
  // EAGAIN: somebody listens and the queue is full. EPROTOTYPE: a socket of
  // another type is bound - unix(7).
  if (result == 0 || errno == EAGAIN || errno == EPROTOTYPE) {
    return ErrnoStatus("bind", path, EADDRINUSE);
  }
  if (errno == ENOENT) return absl::OkStatus();
  if (errno != ECONNREFUSED) return ErrnoStatus("connect", path, errno);
  struct stat now;
  if (lstat(path.c_str(), &now) < 0 || now.st_dev != found.st_dev ||
      now.st_ino != found.st_ino) {
    return absl::OkStatus();  // bind decides
  }
  if (unlink(path.c_str()) < 0 && errno != ENOENT) {
    return ErrnoStatus("unlink", path, errno);
  }
  return absl::OkStatus();
}

absl::Status PrepareAndBind(int fd, const ListenUrl& url,
                            const ListenFlags& flags) {
  if (url.transport == Transport::kUnix) {
    absl::Status status = ClearStaleSocket(url.endpoint);
    if (!status.ok()) return status;
    if (!flags.owner_only) return Bind(fd, url.endpoint);
    // Not by chmod afterwards: nobody shall have been let in meanwhile.
    const mode_t before = umask(S_IXUSR | S_IRWXG | S_IRWXO);
    status = Bind(fd, url.endpoint);
    umask(before);
    return status;
  }
  absl::Status status = PrepareIp(fd, url);
  if (status.ok() && flags.reuseport) status = SetReusePort(fd);
  if (status.ok() && url.transport == Transport::kUdp &&
      IsWildcard(url.endpoint)) {
    status = SetReceivePacketInfo(fd, url.endpoint.family());
  }
  return status.ok() ? Bind(fd, url.endpoint) : status;
}

absl::Status TuneTcp(int fd, const ListenUrl& url, const ListenFlags& flags) {
  absl::Status status = SetTcpNoDelay(fd);
  if (status.ok()) status = SetKeepalive(fd, flags.tcp_keepalive);
  if (status.ok()) status = SetTcpUserTimeout(fd, flags.tcp_user_timeout);
  if (status.ok()) status = SetTcpDeferAccept(fd, url.common.defer_accept_s);
  return status;
}

}  // namespace

absl::StatusOr<UniqueFd> OpenListener(const ListenUrl& url,
                                      const ListenFlags& flags) {
  absl::StatusOr<UniqueFd> fd = NewSocket(url);
  if (!fd.ok()) return fd.status();
  absl::Status status = PrepareAndBind(fd->get(), url, flags);
  if (status.ok()) status = TuneListener(fd->get(), url, flags);
  if (!status.ok()) return status;
  return fd;
}

absl::Status TuneListener(int fd, const ListenUrl& url,
                          const ListenFlags& flags) {
  if (url.transport == Transport::kUdp) return absl::OkStatus();
  if (url.transport == Transport::kTcp) {
    const absl::Status status = TuneTcp(fd, url, flags);
    if (!status.ok()) return status;
  }
  // On a socket that listens already this sets the backlog and nothing else.
  if (listen(fd, url.common.backlog) < 0) {
    return ErrnoStatus("listen", url.endpoint.ToString(), errno);
  }
  return absl::OkStatus();
}

absl::Status ProbeBind(const ListenUrl& url, absl::Span<const Endpoint> ours) {
  if (url.transport == Transport::kUnix || url.endpoint.port() == 0) {
    return absl::OkStatus();
  }
  const bool v6_only = url.endpoint.family() == AF_INET6 && !url.common.dual;
  const bool is_ours =
      std::any_of(ours.begin(), ours.end(), [&](const Endpoint& bound) {
        if (v6_only && bound.family() == AF_INET) return false;
        return bound.Overlaps(url.endpoint);
      });
  if (is_ours) return absl::OkStatus();
  const absl::StatusOr<UniqueFd> fd = NewSocket(url);
  if (!fd.ok()) return fd.status();
  const absl::Status status = PrepareIp(fd->get(), url);
  return status.ok() ? Bind(fd->get(), url.endpoint) : status;
}

}  // namespace baton
