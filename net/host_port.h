#ifndef BATON_NET_HOST_PORT_H_
#define BATON_NET_HOST_PORT_H_

// Problem: `::1:80` can be read in two ways, `example:http` only with a
// database, and `127.0.0.1` lacks what everybody forgets. Listeners, clients
// and upstream lists must all answer these alike.
//
// HOST:PORT, where HOST is an IPv4 address, an IPv6 address in brackets, or a
// host name, and PORT is a decimal number up to 65535.
//
// Contract: pure; checks the form and looks nothing up. Errors are
// InvalidArgument, quote the text and say what is missing. Never fails on a
// valid address; whether a host that looks like a name exists is the
// resolver's affair.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

struct HostPort {
  enum class Kind { kIpv4, kIpv6, kName };

  Kind kind = Kind::kName;
  // Without brackets, as written; a name is in lower case.
  std::string host;
  // In host byte order. 0 = any free port, where that makes sense.
  uint16_t port = 0;
};

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

}  // namespace baton

#endif  // BATON_NET_HOST_PORT_H_
