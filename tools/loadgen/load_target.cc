#include "tools/loadgen/load_target.h"

#include <netdb.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "net/host_port.h"
#include "net/quote.h"

namespace baton::loadgen {
namespace {

absl::Status Wrong(absl::string_view url, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(Quote(url), ": ", why));
}

absl::StatusOr<LoadTarget::Scheme> ParseScheme(absl::string_view url,
                                               absl::string_view name) {
  if (name == "echo") return LoadTarget::Scheme::kEcho;
  if (name == "discard") return LoadTarget::Scheme::kDiscard;
  if (name == "http") return LoadTarget::Scheme::kHttp;
  return Wrong(url, absl::StrCat("unknown scheme ", Quote(name),
                                 "; there are echo, discard and http"));
}

absl::StatusOr<Endpoint> LookUp(const HostPort& address) {
  const std::string service = absl::StrCat(address.port);
  for (const int family : {AF_INET, AF_INET6}) {
    addrinfo hints = {};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error =
        ::getaddrinfo(address.host.c_str(), service.c_str(), &hints, &found);
    if (error != 0) continue;
    auto endpoint = Endpoint::FromSockaddr(found->ai_addr, found->ai_addrlen);
    ::freeaddrinfo(found);
    return endpoint;
  }
  return absl::NotFoundError(
      absl::StrCat("host ", Quote(address.host), " has no address"));
}

absl::StatusOr<Endpoint> ToEndpoint(absl::string_view text) {
  auto address = ParseHostPort(text);
  if (!address.ok()) return address.status();
  if (address->port == 0) {
    return Wrong(text, "port 0 is no port to connect to");
  }
  if (address->kind == HostPort::Kind::kName) return LookUp(*address);
  return Endpoint::Parse(text);
}

// True when ADDRESS of http://ADDRESS already says which port.
bool HasPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  const size_t bracket = address.rfind(']');
  if (colon == absl::string_view::npos) return false;
  return bracket == absl::string_view::npos || colon > bracket;
}

bool IsRequestTarget(absl::string_view path) {
  return std::all_of(path.begin(), path.end(),
                     [](char c) { return c > ' ' && c < '\x7f'; });
}

absl::Status ParseHttpAddress(absl::string_view rest, LoadTarget* target) {
  const size_t slash = rest.find('/');
  target->host = std::string(rest.substr(0, slash));
  if (slash != absl::string_view::npos) {
    target->path = std::string(rest.substr(slash));
  }
  if (!IsRequestTarget(target->path)) {
    return Wrong(target->url, "the path may hold printable ASCII only");
  }
  auto endpoint = ToEndpoint(
      HasPort(target->host) ? target->host : absl::StrCat(target->host, ":80"));
  if (!endpoint.ok()) return endpoint.status();
  target->endpoint = *std::move(endpoint);
  return absl::OkStatus();
}

absl::Status ParseUnixAddress(absl::string_view rest, LoadTarget* target) {
  if (!absl::StartsWith(rest, "/")) {
    return Wrong(target->url,
                 "a unix socket is an absolute path, as in "
                 "echo+unix:///run/echo.sock");
  }
  auto endpoint = Endpoint::Parse(rest);
  if (!endpoint.ok()) return endpoint.status();
  target->endpoint = *std::move(endpoint);
  target->host = "localhost";
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LoadTarget> LoadTarget::Parse(absl::string_view url) {
  const size_t separator = url.find("://");
  if (separator == absl::string_view::npos) {
    return Wrong(url, "not SCHEME[+TRANSPORT]://ADDRESS");
  }
  LoadTarget target;
  target.url = std::string(url);
  const std::pair<absl::string_view, absl::string_view> head =
      absl::StrSplit(url.substr(0, separator), absl::MaxSplits('+', 1));
  auto scheme = ParseScheme(url, head.first);
  if (!scheme.ok()) return scheme.status();
  target.scheme = *scheme;
  if (head.second == "udp" && *scheme != Scheme::kHttp) {
    target.transport = Transport::kUdp;
  } else if (head.second == "unix") {
    target.transport = Transport::kUnix;
  } else if (absl::StrContains(url.substr(0, separator), '+')) {
    return Wrong(url, absl::StrCat("no transport ", Quote(head.second), " for ",
                                   head.first));
  }

  const absl::string_view rest = url.substr(separator + 3);
  absl::Status status;
  if (target.transport == Transport::kUnix) {
    status = ParseUnixAddress(rest, &target);
  } else if (target.scheme == Scheme::kHttp) {
    status = ParseHttpAddress(rest, &target);
  } else {
    auto endpoint = ToEndpoint(rest);
    if (!endpoint.ok()) return endpoint.status();
    target.endpoint = *std::move(endpoint);
  }
  if (!status.ok()) return status;
  return target;
}

}  // namespace baton::loadgen
