#ifndef BATON_NET_LISTEN_URL_H_
#define BATON_NET_LISTEN_URL_H_

// Problem: one process serves many listeners of different services, and an
// operator writes each on one line. What the line leaves unsaid must be a
// default that is written down, and what it says wrongly must be refused by
// name: a misspelt option that is silently dropped is a limit that is not set.
//
//   SCHEME[+TRANSPORT]://ADDRESS[?option=value&...]
//
//   echo://0.0.0.0:7007?backlog=512&idle_timeout=5m
//   echo+udp://[::]:7007?dual=1
//   http+unix:///run/www.sock?root=/srv/a%26b
//
// * TRANSPORT is tcp (the default), udp or unix.
// * ADDRESS is an IP address and port, `localhost:80` (any host name: Resolve
//   looks it up), or for unix an absolute path.
// * In option values and unix paths %XX stands for a byte; `%` itself is %25,
//   `&` in a value is %26, and `,` is written %2C where URLs stand in a list.
//
// The options in ListenerOptions belong to every listener and are checked
// here, and may stand there once; all others are kept as text for the service
// to check. So is the scheme: which ones there are is for the registry of
// services to say.
//
// Contract
// * ParseListenUrl is pure: no I/O, no lookup. Errors are InvalidArgument and
//   say what is wrong and what there is.
// * ToString() is canonical: two URLs that mean the same listener give the same
//   text (common options in a fixed order and only where given, the others
//   sorted by name, those of one name as they came), and parsing it gives the
//   same ListenUrl again.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/endpoint.h"

namespace baton {

struct ListenerOptions {
  // Connections that may wait to be accepted, per socket; the kernel clips it
  // to net.core.somaxconn - listen(2).
  int backlog = 4096;
  // Instead of --idle_timeout; zero = never.
  std::optional<absl::Duration> idle_timeout;
  // Of this listener, per worker; zero = no limit of its own.
  std::optional<int64_t> max_connections;
  // TCP_DEFER_ACCEPT: accept only once bytes are there; zero = at once.
  int defer_accept_s = 0;
  // [::] takes IPv4 as well.
  bool dual = false;
};

struct ListenUrl {
  enum class Transport { kTcp, kUdp, kUnix };

  // As it was written.
  std::string text;
  std::string scheme;
  Transport transport = Transport::kTcp;
  // Canonical: `127.0.0.1:80`, `localhost:80`, `/run/x.sock` (decoded).
  std::string address;
  // family() is AF_UNSPEC while `address` is a host name not yet resolved.
  Endpoint endpoint;
  ListenerOptions common;
  // All other options, decoded, sorted by name; those of one name in the order
  // in which they were written.
  std::vector<std::pair<std::string, std::string>> options;

  std::string ToString() const;
};

absl::StatusOr<ListenUrl> ParseListenUrl(absl::string_view text);

// Looks up the host name of a URL that has one and sets its endpoint: to the
// first IPv4 address if there is any, else to the first IPv6 address (so that
// localhost is 127.0.0.1 everywhere). Does nothing for a URL with an address.
// Blocks as long as the resolver does. On an error `url` is unchanged.
absl::Status Resolve(ListenUrl& url);

// More than that, as ToString() gives it, is refused: URLs go into messages.
inline constexpr size_t kMaxListenUrlBytes = 2048;

// Options that every listener of that transport has: "backlog, ...".
std::string CommonOptionNames(ListenUrl::Transport transport);

// "tcp", "udp", "unix".
absl::string_view TransportName(ListenUrl::Transport transport);

}  // namespace baton

#endif  // BATON_NET_LISTEN_URL_H_
