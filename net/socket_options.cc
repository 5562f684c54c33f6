#include "net/socket_options.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <charconv>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "net/errno_status.h"
#include "net/quote.h"
#include "net/units.h"

namespace baton {
namespace {

// MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL and MAX_TCP_KEEPCNT of the kernel; beyond
// them setsockopt gives EINVAL.
constexpr int kMaxKeepalive_s = 32767;
constexpr int kMaxKeepaliveCount = 127;

absl::Status SetInt(int fd, int level, int option, absl::string_view name,
                    int value) {
  if (setsockopt(fd, level, option, &value, sizeof(value)) < 0) {
    return ErrnoStatus("setsockopt", name, errno);
  }
  return absl::OkStatus();
}

bool IsWholeSeconds(absl::Duration duration) {
  return duration == absl::Trunc(duration, absl::Seconds(1)) &&
         duration >= absl::Seconds(1) &&
         duration <= absl::Seconds(kMaxKeepalive_s);
}

bool ParseParts(absl::string_view text, KeepaliveOptions& options) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  if (parts.size() != 3) return false;
  const absl::StatusOr<absl::Duration> idle = ParseDuration(parts[0]);
  const absl::StatusOr<absl::Duration> interval = ParseDuration(parts[1]);
  if (!idle.ok() || !IsWholeSeconds(*idle)) return false;
  if (!interval.ok() || !IsWholeSeconds(*interval)) return false;
  const char* const end = parts[2].data() + parts[2].size();
  const auto [rest, error] =
      std::from_chars(parts[2].data(), end, options.count);
  if (error != std::errc() || rest != end) return false;
  options.idle = *idle;
  options.interval = *interval;
  return options.count >= 1 && options.count <= kMaxKeepaliveCount;
}

int Seconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Seconds(duration));
}

}  // namespace

absl::StatusOr<KeepaliveOptions> ParseKeepalive(absl::string_view text) {
  KeepaliveOptions options;
  if (text == "off") {
    options.enabled = false;
    return options;
  }
  if (ParseParts(text, options)) return options;
  return absl::InvalidArgumentError(absl::StrCat(
      "bad keepalive ", Quote(text), ": IDLE:INTERVAL:COUNT such as 60s:5s:3 (",
      "whole seconds up to ", kMaxKeepalive_s, "s, a count up to ",
      kMaxKeepaliveCount, "), or off"));
}

std::string KeepaliveToString(const KeepaliveOptions& options) {
  if (!options.enabled) return "off";
  return absl::StrCat(DurationToString(options.idle), ":",
                      DurationToString(options.interval), ":", options.count);
}

absl::Status SetKeepalive(int fd, const KeepaliveOptions& options) {
  if (!options.enabled) {
    return SetInt(fd, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", 0);
  }
  // The clocks first: SO_KEEPALIVE starts them.
  absl::Status status = SetInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE",
                               Seconds(options.idle));
  if (!status.ok()) return status;
  status = SetInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL",
                  Seconds(options.interval));
  if (!status.ok()) return status;
  status = SetInt(fd, IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT", options.count);
  if (!status.ok()) return status;
  return SetInt(fd, SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", 1);
}

absl::Status SetTcpUserTimeout(int fd, absl::Duration timeout) {
  if (timeout < absl::ZeroDuration() || timeout > kMaxTcpUserTimeout) {
    return absl::InvalidArgumentError(absl::StrCat(
        "TCP_USER_TIMEOUT of ", DurationToString(timeout), " is outside 0s to ",
        DurationToString(kMaxTcpUserTimeout)));
  }
  return SetInt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT",
                static_cast<int>(absl::ToInt64Milliseconds(timeout)));
}

absl::Status SetTcpNoDelay(int fd) {
  return SetInt(fd, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY", 1);
}

absl::Status SetTcpDeferAccept(int fd, int seconds) {
  return SetInt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, "TCP_DEFER_ACCEPT", seconds);
}

absl::Status SetReuseAddr(int fd) {
  return SetInt(fd, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", 1);
}

absl::Status SetReusePort(int fd) {
  return SetInt(fd, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", 1);
}

absl::Status SetV6Only(int fd, bool on) {
  return SetInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY", on ? 1 : 0);
}

absl::Status SetReceivePacketInfo(int fd, int family) {
  if (family == AF_INET6) {
    return SetInt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO", 1);
  }
  return SetInt(fd, IPPROTO_IP, IP_PKTINFO, "IP_PKTINFO", 1);
}

absl::StatusOr<int64_t> OutputQueueBytes(int fd) {
  int bytes = 0;
  if (ioctl(fd, SIOCOUTQ, &bytes) < 0) {
    return ErrnoStatus("ioctl", "SIOCOUTQ", errno);
  }
  return bytes;
}

}  // namespace baton
