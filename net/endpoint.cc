#include "net/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "net/errno_status.h"
#include "net/host_port.h"
#include "net/quote.h"

namespace baton {
namespace {

constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);
constexpr size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;

template <typename T>
const T& As(const sockaddr_storage& storage) {
  return reinterpret_cast<const T&>(storage);
}

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("bad address ", Quote(text), ": ", why));
}

// An IP address without family: IPv4 as the v4-mapped IPv6 address.
in6_addr Unified(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET6) {
    return As<sockaddr_in6>(storage).sin6_addr;
  }
  in6_addr mapped = {};
  mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
  memcpy(&mapped.s6_addr[12], &As<sockaddr_in>(storage).sin_addr, 4);
  return mapped;
}

bool IsIpv4(const in6_addr& address) { return IN6_IS_ADDR_V4MAPPED(&address); }

// [::], or 0.0.0.0 for an IPv4 address.
bool Covers(const in6_addr& wildcard, const in6_addr& address) {
  constexpr uint8_t kZero[4] = {};
  return IN6_IS_ADDR_UNSPECIFIED(&wildcard) ||
         (IsIpv4(wildcard) && IsIpv4(address) &&
          memcmp(&wildcard.s6_addr[12], kZero, sizeof(kZero)) == 0);
}

absl::StatusOr<Endpoint> FromKernel(int (*call)(int, sockaddr*, socklen_t*),
                                    absl::string_view name, int fd) {
  sockaddr_storage storage = {};
  socklen_t length = sizeof(storage);
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  if (call(fd, address, &length) < 0) return ErrnoStatus(name, "", errno);
  return Endpoint::FromSockaddr(address, length);
}

}  // namespace

Endpoint Endpoint::FromIpv4(const void* address, uint16_t network_port) {
  Endpoint result;
  auto& in = reinterpret_cast<sockaddr_in&>(result.storage_);
  in.sin_family = AF_INET;
  in.sin_port = network_port;
  memcpy(&in.sin_addr, address, sizeof(in.sin_addr));
  result.length_ = sizeof(in);
  return result;
}

Endpoint Endpoint::FromIpv6(const void* address, uint16_t network_port,
                            uint32_t zone) {
  Endpoint result;
  auto& in6 = reinterpret_cast<sockaddr_in6&>(result.storage_);
  in6.sin6_family = AF_INET6;
  in6.sin6_port = network_port;
  memcpy(&in6.sin6_addr, address, sizeof(in6.sin6_addr));
  in6.sin6_scope_id = zone;
  result.length_ = sizeof(in6);
  return result;
}

// `bytes` is sun_path: a path without its NUL, an abstract name with the NUL
// that it starts with, or nothing - unix(7).
Endpoint Endpoint::FromUnix(absl::string_view bytes) {
  Endpoint result;
  auto& un = reinterpret_cast<sockaddr_un&>(result.storage_);
  un.sun_family = AF_UNIX;
  memcpy(un.sun_path, bytes.data(), bytes.size());
  const bool has_nul = !bytes.empty() && bytes.front() != '\0' &&
                       bytes.size() < sizeof(un.sun_path);
  result.length_ =
      static_cast<socklen_t>(kPathOffset + bytes.size() + (has_nul ? 1 : 0));
  return result;
}

absl::StatusOr<Endpoint> Endpoint::Parse(absl::string_view text) {
  if (!text.empty() && text.front() == '/') {
    if (text.size() > kMaxPathBytes) {
      return Bad(text,
                 absl::StrCat("a unix socket path has at most ", kMaxPathBytes,
                              " bytes, this one has ", text.size()));
    }
    if (text.find('\0') != absl::string_view::npos) {
      return Bad(text, "a path can't hold a NUL byte");
    }
    return FromUnix(text);
  }
  const absl::StatusOr<HostPort> parsed = ParseHostPort(text);
  if (!parsed.ok()) return parsed.status();
  const uint16_t port = htons(parsed->port);
  in6_addr address;
  if (parsed->kind == HostPort::Kind::kName) {
    return Bad(text, "a host name, where an IP address is needed");
  }
  if (parsed->kind == HostPort::Kind::kIpv4) {
    if (inet_pton(AF_INET, parsed->host.c_str(), &address) == 1) {
      return FromIpv4(&address, port);
    }
    return Bad(text, "not an IPv4 address (four numbers up to 255)");
  }
  const size_t percent = parsed->host.find('%');
  uint32_t zone = 0;
  if (percent != std::string::npos) {
    const char* const end = parsed->host.data() + parsed->host.size();
    const auto [rest, error] =
        std::from_chars(parsed->host.data() + percent + 1, end, zone);
    if (error != std::errc() || rest != end || zone == 0) {
      return Bad(text, "the zone after % is an interface index");
    }
  }
  // The terminating NUL must not cut off what was not looked at.
  const std::string host = parsed->host.substr(0, percent);
  if (host.find('\0') != std::string::npos ||
      inet_pton(AF_INET6, host.c_str(), &address) != 1) {
    return Bad(text, "not an IPv6 address between the brackets");
  }
  return FromIpv6(&address, port, zone);
}

absl::StatusOr<Endpoint> Endpoint::FromSockaddr(const ::sockaddr* address,
                                                socklen_t length) {
  if (length >= sizeof(sa_family_t)) {
    if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
      const auto* in = reinterpret_cast<const sockaddr_in*>(address);
      return FromIpv4(&in->sin_addr, in->sin_port);
    }
    if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
      const auto* in6 = reinterpret_cast<const sockaddr_in6*>(address);
      return FromIpv6(&in6->sin6_addr, in6->sin6_port, in6->sin6_scope_id);
    }
    if (address->sa_family == AF_UNIX) {
      // A path that fills sun_path has no NUL, and its length is reported as
      // if there were one - unix(7), BUGS.
      const size_t size =
          std::min<size_t>(length, sizeof(sockaddr_un)) - kPathOffset;
      const char* path =
          reinterpret_cast<const sockaddr_un*>(address)->sun_path;
      if (size == 0 || path[0] == '\0') return FromUnix({path, size});
      return FromUnix({path, strnlen(path, size)});
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("an address of family ",
                   length >= sizeof(sa_family_t) ? address->sa_family : 0,
                   " and ", length, " bytes is none of IPv4, IPv6, unix"));
}

absl::StatusOr<Endpoint> Endpoint::PeerOf(int fd) {
  return FromKernel(getpeername, "getpeername", fd);
}

absl::StatusOr<Endpoint> Endpoint::LocalOf(int fd) {
  return FromKernel(getsockname, "getsockname", fd);
}

uint16_t Endpoint::port() const {
  if (family() == AF_INET) return ntohs(As<sockaddr_in>(storage_).sin_port);
  if (family() == AF_INET6) return ntohs(As<sockaddr_in6>(storage_).sin6_port);
  return 0;
}

absl::string_view Endpoint::path() const {
  if (family() != AF_UNIX || length_ == kPathOffset) return {};
  const char* const path = As<sockaddr_un>(storage_).sun_path;
  const size_t size = length_ - kPathOffset;
  if (path[0] == '\0') return {};
  return {path, strnlen(path, size)};
}

std::string Endpoint::ToString() const {
  char text[INET6_ADDRSTRLEN];
  switch (family()) {
    case AF_INET:
      inet_ntop(AF_INET, &As<sockaddr_in>(storage_).sin_addr, text,
                sizeof(text));
      return absl::StrCat(text, ":", port());
    case AF_INET6: {
      const auto& in6 = As<sockaddr_in6>(storage_);
      inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
      const std::string zone =
          in6.sin6_scope_id == 0 ? "" : absl::StrCat("%", in6.sin6_scope_id);
      return absl::StrCat("[", text, zone, "]:", port());
    }
    case AF_UNIX: {
      if (!path().empty()) return std::string(path());
      if (length_ == kPathOffset) return "(unnamed)";
      // After the NUL that marks it, an abstract name is any bytes.
      const char* const name = As<sockaddr_un>(storage_).sun_path;
      return absl::StrCat(
          "@", absl::CHexEscape({name + 1, length_ - kPathOffset - 1}));
    }
    default:
      return "(none)";
  }
}

bool Endpoint::Overlaps(const Endpoint& other) const {
  if (family() == AF_UNSPEC || other.family() == AF_UNSPEC) return false;
  if (family() == AF_UNIX || other.family() == AF_UNIX) return *this == other;
  if (port() != other.port() || port() == 0) return false;
  const in6_addr mine = Unified(storage_);
  const in6_addr theirs = Unified(other.storage_);
  if (Covers(mine, theirs) || Covers(theirs, mine)) return true;
  if (!IN6_ARE_ADDR_EQUAL(&mine, &theirs)) return false;
  // A link-local address exists once per interface.
  return family() != other.family() || family() == AF_INET ||
         As<sockaddr_in6>(storage_).sin6_scope_id ==
             As<sockaddr_in6>(other.storage_).sin6_scope_id;
}

bool operator==(const Endpoint& a, const Endpoint& b) {
  return a.length_ == b.length_ &&
         memcmp(&a.storage_, &b.storage_, a.length_) == 0;
}

}  // namespace baton
