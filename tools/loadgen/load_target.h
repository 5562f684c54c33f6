#ifndef BATON_TOOLS_LOADGEN_LOAD_TARGET_H_
#define BATON_TOOLS_LOADGEN_LOAD_TARGET_H_

// Problem: what to talk to, and in which language, in one word of the command
// line, spelt as the server's --listen spells it.
//
//   echo://127.0.0.1:7007   echo+unix:///run/echo.sock   echo+udp://[::1]:7007
//   discard://HOST:PORT     http://HOST[:PORT][/PATH] http+unix:///run/x.sock
//
// Contract: Parse is pure but for host names, which it looks up (blocking, IPv4
// preferred: `localhost` is then where a server on 127.0.0.1 is). Errors are
// InvalidArgument and quote what was wrong; NotFound for a name that has no
// address.

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "net/endpoint.h"

namespace baton::loadgen {

struct LoadTarget {
  enum class Scheme { kEcho, kDiscard, kHttp };
  enum class Transport { kTcp, kUdp, kUnix };

  static absl::StatusOr<LoadTarget> Parse(absl::string_view url);

  std::string url;  // as given
  Scheme scheme = Scheme::kEcho;
  Transport transport = Transport::kTcp;
  Endpoint endpoint;
  // http: the Host field and the request target.
  std::string host;
  std::string path = "/";
};

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_LOAD_TARGET_H_
