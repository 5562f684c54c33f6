#ifndef BATON_NET_ENDPOINT_H_
#define BATON_NET_ENDPOINT_H_

// Problem: the sockets API has one address type per family, each with padding
// that defeats comparison, and lengths that mean different things. Code that
// handles sockaddr itself gets one of them wrong.
//
// Endpoint is one end of a socket: an IPv4 or IPv6 address with a port, or a
// path in the file system. It is a value: copy it, compare it, keep it.
//
// Contract
// * Text form, read by Parse() and written by ToString(): `127.0.0.1:80`,
//   `[::1]:80`, `[fe80::1%2]:80` (zone as interface index), `/run/x.sock`.
//   Parse() is pure; a host name is not an Endpoint and is refused.
// * Two further kinds come from the kernel only, and can't be parsed: the
//   unnamed client of a unix socket, and abstract unix names (`@name`).
// * Ports are in host byte order. A unix endpoint has port 0.
// * Equal means: the same family, address, port, zone or path bytes. A
//   v4-mapped IPv6 address is not equal to the IPv4 address (a reply must go
//   to what recvfrom gave), but it Overlaps() it.
// * A default-constructed Endpoint names nothing: family() is AF_UNSPEC,
//   length() is 0.

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

class Endpoint {
 public:
  Endpoint() = default;

  // Errors: InvalidArgument, quoting `text`.
  static absl::StatusOr<Endpoint> Parse(absl::string_view text);

  // `length` is what the kernel returned: it may be shorter than the family's
  // structure (unix), or longer than was there to fill.
  // Errors: InvalidArgument for another family or too short an address.
  static absl::StatusOr<Endpoint> FromSockaddr(const ::sockaddr* address,
                                               socklen_t length);

  // getpeername and getsockname. Errors: the errno's code (ENOTCONN after a
  // reset).
  static absl::StatusOr<Endpoint> PeerOf(int fd);
  static absl::StatusOr<Endpoint> LocalOf(int fd);

  // AF_INET, AF_INET6, AF_UNIX or AF_UNSPEC.
  int family() const { return storage_.ss_family; }
  uint16_t port() const;
  // The path of a unix endpoint; empty for all others.
  absl::string_view path() const;

  // For bind, connect, sendto. Borrowed from this object.
  const ::sockaddr* sockaddr() const {
    return reinterpret_cast<const ::sockaddr*>(&storage_);
  }
  socklen_t length() const { return length_; }

  std::string ToString() const;

  // True when one socket bound to each, neither with SO_REUSEPORT, would be in
  // each other's way: the same port, and the same address or one of the two a
  // wildcard. [::] counts as overlapping IPv4, because that socket may be
  // dual. Port 0 overlaps nothing: it is whatever is free.
  bool Overlaps(const Endpoint& other) const;

  friend bool operator==(const Endpoint& a, const Endpoint& b);
  friend bool operator!=(const Endpoint& a, const Endpoint& b) {
    return !(a == b);
  }

 private:
  static Endpoint FromIpv4(const void* address, uint16_t network_port);
  static Endpoint FromIpv6(const void* address, uint16_t network_port,
                           uint32_t zone);
  static Endpoint FromUnix(absl::string_view bytes);

  // Filled by the three above only, with all padding zero, so that equality is
  // that of bytes.
  ::sockaddr_storage storage_ = {};
  socklen_t length_ = 0;
};

}  // namespace baton

#endif  // BATON_NET_ENDPOINT_H_
