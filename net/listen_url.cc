#include "net/listen_url.h"

#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "net/errno_status.h"
#include "net/host_port.h"
#include "net/percent.h"
#include "net/quote.h"
#include "net/units.h"

namespace baton {
namespace {

using Transport = ListenUrl::Transport;
using Option = std::pair<std::string, std::string>;

constexpr int kMaxDeferAccept_s = 3600;

absl::Status Bad(absl::string_view why) {
  return absl::InvalidArgumentError(why);
}

// The common options. A reader of a value says in its error what is allowed.

template <typename Int>
absl::Status ReadNumber(absl::string_view text, Int min, Int max, Int& value) {
  Int number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end || number < min || number > max) {
    return Bad(absl::StrCat(Quote(text), " is not a whole number from ", min,
                            " to ", max));
  }
  value = number;
  return absl::OkStatus();
}

absl::Status ReadBacklog(absl::string_view text, ListenUrl& url) {
  return ReadNumber(text, 1, std::numeric_limits<int>::max(),
                    url.common.backlog);
}

absl::Status ReadIdleTimeout(absl::string_view text, ListenUrl& url) {
  const absl::StatusOr<absl::Duration> parsed = ParseDuration(text);
  if (!parsed.ok()) return parsed.status();
  url.common.idle_timeout = *parsed;
  return absl::OkStatus();
}

absl::Status ReadMaxConnections(absl::string_view text, ListenUrl& url) {
  return ReadNumber(text, int64_t{0}, std::numeric_limits<int64_t>::max(),
                    url.common.max_connections.emplace());
}

absl::Status ReadDeferAccept(absl::string_view text, ListenUrl& url) {
  return ReadNumber(text, 0, kMaxDeferAccept_s, url.common.defer_accept_s);
}

absl::Status ReadDual(absl::string_view text, ListenUrl& url) {
  if (text != "0" && text != "1") {
    return Bad(absl::StrCat(Quote(text), " is neither 0 nor 1"));
  }
  url.common.dual = text == "1";
  if (url.common.dual && !absl::StartsWith(url.address, "[::]:")) {
    return Bad(absl::StrCat("1 needs the address [::], this one is ",
                            Quote(url.address)));
  }
  return absl::OkStatus();
}

absl::Status ReadProxyProtocol(absl::string_view text, ListenUrl&) {
  if (text == "off") return absl::OkStatus();
  if (text == "v1" || text == "v2" || text == "any") {
    return Bad(absl::StrCat(Quote(text),
                            " is not available yet in this version, only off "
                            "is"));
  }
  return Bad(absl::StrCat("unknown value ", Quote(text), ": there is off"));
}

absl::Status ReadProxyFrom(absl::string_view, ListenUrl&) {
  return Bad("not available yet in this version");
}

constexpr unsigned kTcp = 1, kUdp = 2, kUnix = 4;

constexpr unsigned Bit(Transport transport) {
  return transport == Transport::kTcp   ? kTcp
         : transport == Transport::kUdp ? kUdp
                                        : kUnix;
}

struct CommonOption {
  absl::string_view name;
  // The transports on which it has an effect; elsewhere it is refused, because
  // whoever wrote it expects one.
  unsigned transports;
  absl::Status (*read)(absl::string_view value, ListenUrl& url);
  bool is_available = true;
};

constexpr CommonOption kCommonOptions[] = {
    {"backlog", kTcp | kUnix, ReadBacklog},
    {"defer_accept", kTcp, ReadDeferAccept},
    {"dual", kTcp | kUdp, ReadDual},
    {"idle_timeout", kTcp | kUnix, ReadIdleTimeout},
    {"max_connections", kTcp | kUnix, ReadMaxConnections},
    {"proxy_from", kTcp | kUnix, ReadProxyFrom, false},
    {"proxy_protocol", kTcp | kUnix, ReadProxyProtocol, false},
};

// The parts, in the order in which they are read.

absl::Status CheckBytes(absl::string_view text) {
  const bool control = std::any_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c));
  });
  return control ? Bad("control characters are not allowed") : absl::OkStatus();
}

absl::Status ReadScheme(absl::string_view part, ListenUrl& url) {
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(part, absl::MaxSplits('+', 1));
  const absl::string_view scheme = halves.first;
  const bool good = !scheme.empty() && absl::ascii_islower(scheme.front()) &&
                    std::all_of(scheme.begin(), scheme.end(), [](char c) {
                      return absl::ascii_islower(c) || absl::ascii_isdigit(c) ||
                             c == '-' || c == '_' || c == '.';
                    });
  if (!good) {
    return Bad(absl::StrCat("bad scheme ", Quote(scheme),
                            ": lower-case letters, digits, -, _ and ., a "
                            "letter first"));
  }
  url.scheme = std::string(scheme);
  if (scheme.size() == part.size()) return absl::OkStatus();
  for (const Transport transport :
       {Transport::kTcp, Transport::kUdp, Transport::kUnix}) {
    if (halves.second != TransportName(transport)) continue;
    url.transport = transport;
    return absl::OkStatus();
  }
  return Bad(absl::StrCat("unknown transport ",
                          Quote(absl::StrCat("+", halves.second)),
                          ": there is tcp (default), udp, unix"));
}

absl::Status ReadUnixPath(absl::string_view part, ListenUrl& url) {
  absl::StatusOr<std::string> path = PercentDecode(part);
  if (!path.ok()) return path.status();
  if (!absl::StartsWith(*path, "/")) {
    return Bad(absl::StrCat("bad address ", Quote(*path),
                            ": a unix socket is an absolute path, as in ",
                            url.scheme, "+unix:///run/", url.scheme, ".sock"));
  }
  absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(*path);
  if (!endpoint.ok()) return endpoint.status();
  url.endpoint = *endpoint;
  url.address = *std::move(path);
  return absl::OkStatus();
}

absl::Status ReadAddress(absl::string_view part, ListenUrl& url) {
  if (url.transport == Transport::kUnix) return ReadUnixPath(part, url);
  if (absl::StartsWith(part, "/")) {
    return Bad(absl::StrCat("bad address ", Quote(part),
                            ": a path needs the transport +unix"));
  }
  if (absl::StrContains(part, "/")) {
    return Bad(absl::StrCat("bad address ", Quote(part),
                            ": nothing stands between the port and ?; a "
                            "listener has no path"));
  }
  const absl::StatusOr<HostPort> parsed = ParseHostPort(part);
  if (!parsed.ok()) return parsed.status();
  if (parsed->kind == HostPort::Kind::kName) {
    url.address = absl::StrCat(parsed->host, ":", parsed->port);
    return absl::OkStatus();
  }
  const absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(part);
  if (!endpoint.ok()) return endpoint.status();
  url.endpoint = *endpoint;
  url.address = endpoint->ToString();
  return absl::OkStatus();
}

absl::StatusOr<Option> SplitOption(absl::string_view text) {
  const size_t equals = text.find('=');
  const absl::string_view name = text.substr(0, equals);
  const bool good =
      !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
      });
  if (!good) {
    return Bad(absl::StrCat("bad option ", Quote(text),
                            ": options are name=value, with & between them"));
  }
  if (equals == absl::string_view::npos || equals + 1 == text.size()) {
    return Bad(absl::StrCat("option ", Quote(name), " has no value"));
  }
  absl::StatusOr<std::string> value = PercentDecode(text.substr(equals + 1));
  if (!value.ok()) {
    return Bad(
        absl::StrCat("option ", Quote(name), ": ", value.status().message()));
  }
  return Option(std::string(name), *std::move(value));
}

absl::Status ReadCommonOption(const CommonOption& option,
                              absl::string_view value, ListenUrl& url) {
  if ((option.transports & Bit(url.transport)) == 0) {
    return Bad(absl::StrCat("option ", Quote(option.name), " has no effect on ",
                            TransportName(url.transport)));
  }
  const absl::Status status = option.read(value, url);
  if (status.ok()) return status;
  return Bad(
      absl::StrCat("option ", Quote(option.name), ": ", status.message()));
}

absl::Status ReadOptions(absl::string_view part, ListenUrl& url) {
  // By name; those of one name as they came.
  std::multimap<std::string, std::string> all;
  for (const absl::string_view text : absl::StrSplit(part, '&')) {
    absl::StatusOr<Option> option = SplitOption(text);
    if (!option.ok()) return option.status();
    all.insert(*std::move(option));
  }
  absl::string_view last_common;
  for (const auto& option : all) {
    const auto common = std::find_if(
        std::begin(kCommonOptions), std::end(kCommonOptions),
        [&](const CommonOption& c) { return c.name == option.first; });
    if (common == std::end(kCommonOptions)) {
      url.options.emplace_back(option);
      continue;
    }
    if (common->name == last_common) {
      return Bad(
          absl::StrCat("option ", Quote(common->name), " stands there twice"));
    }
    last_common = common->name;
    const absl::Status status = ReadCommonOption(*common, option.second, url);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Read(absl::string_view text, ListenUrl& url) {
  absl::Status status = CheckBytes(text);
  if (!status.ok()) return status;
  const size_t separator = text.find("://");
  if (separator == absl::string_view::npos) {
    return Bad("no ://; write SCHEME[+TRANSPORT]://ADDRESS[?option=value&...]");
  }
  status = ReadScheme(text.substr(0, separator), url);
  if (!status.ok()) return status;
  const absl::string_view rest = text.substr(separator + 3);
  const size_t question = rest.find('?');
  status = ReadAddress(rest.substr(0, question), url);
  if (!status.ok() || question == absl::string_view::npos) return status;
  return ReadOptions(rest.substr(question + 1), url);
}

}  // namespace

std::string CommonOptionNames(Transport transport) {
  std::string names;
  for (const CommonOption& option : kCommonOptions) {
    if ((option.transports & Bit(transport)) == 0 || !option.is_available)
      continue;
    absl::StrAppend(&names, names.empty() ? "" : ", ", option.name);
  }
  return names;
}

absl::string_view TransportName(Transport transport) {
  switch (transport) {
    case Transport::kTcp:
      return "tcp";
    case Transport::kUdp:
      return "udp";
    case Transport::kUnix:
      return "unix";
  }
  return "";
}

absl::StatusOr<ListenUrl> ParseListenUrl(absl::string_view text) {
  ListenUrl url;
  url.text = std::string(text);
  absl::Status status = Read(text, url);
  // Port 0 becomes a longer one.
  constexpr size_t kRealPort = 4;
  if (status.ok() && url.ToString().size() > kMaxListenUrlBytes - kRealPort) {
    status = Bad(
        absl::StrCat("longer than ", kMaxListenUrlBytes - kRealPort, " bytes"));
  }
  if (status.ok()) return url;
  return Bad(
      absl::StrCat("bad listener ", Quote(text), ": ", status.message()));
}

std::string ListenUrl::ToString() const {
  std::string result = scheme;
  if (transport != Transport::kTcp) {
    absl::StrAppend(&result, "+", TransportName(transport));
  }
  absl::StrAppend(
      &result, "://",
      transport == Transport::kUnix ? PercentEncode(address) : address);
  absl::string_view separator = "?";
  const auto append = [&](absl::string_view name, absl::string_view value) {
    absl::StrAppend(&result, separator, name, "=", PercentEncode(value));
    separator = "&";
  };
  const ListenerOptions defaults;
  if (common.backlog != defaults.backlog) {
    append("backlog", absl::StrCat(common.backlog));
  }
  if (common.defer_accept_s != 0) {
    append("defer_accept", absl::StrCat(common.defer_accept_s));
  }
  if (common.dual) append("dual", "1");
  if (common.idle_timeout.has_value()) {
    append("idle_timeout", DurationToString(*common.idle_timeout));
  }
  if (common.max_connections.has_value()) {
    append("max_connections", absl::StrCat(*common.max_connections));
  }
  for (const auto& [name, value] : options) append(name, value);
  return result;
}

absl::Status Resolve(ListenUrl& url) {
  if (url.endpoint.family() != AF_UNSPEC) return absl::OkStatus();
  const absl::StatusOr<HostPort> parsed = ParseHostPort(url.address);
  if (!parsed.ok()) return parsed.status();
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;  // one result an address, not three
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = getaddrinfo(
      parsed->host.c_str(), absl::StrCat(parsed->port).c_str(), &hints, &list);
  if (error == EAI_SYSTEM) return ErrnoStatus("resolve", parsed->host, errno);
  if (error != 0) {
    return absl::NotFoundError(
        absl::StrCat("resolve ", parsed->host, ": ", gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list,
                                                             freeaddrinfo);
  const addrinfo* best = list;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    if (at->ai_family != AF_INET) continue;
    best = at;
    break;
  }
  absl::StatusOr<Endpoint> endpoint =
      Endpoint::FromSockaddr(best->ai_addr, best->ai_addrlen);
  if (!endpoint.ok()) return endpoint.status();
  url.endpoint = *endpoint;
  return absl::OkStatus();
}

}  // namespace baton
