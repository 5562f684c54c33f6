#include "net/host_port.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "net/quote.h"

namespace baton {
namespace {

// RFC 1035 section 2.3.4, less the length bytes and the root.
constexpr size_t kMaxNameBytes = 253;

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("bad address ", Quote(text), ": ", why));
}

// Nothing but digits and dots is meant as an IPv4 address, and is never a
// name: the resolver would take 127.1 for 127.0.0.1.
bool LooksLikeIpv4(absl::string_view host) {
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return absl::ascii_isdigit(c) || c == '.'; });
}

bool IsNameByte(char c) {
  return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
}

bool IsName(absl::string_view host) {
  return host.size() <= kMaxNameBytes && absl::ascii_isalnum(host.front()) &&
         std::all_of(host.begin(), host.end(), IsNameByte);
}

absl::Status ParsePort(absl::string_view text, absl::string_view port,
                       uint16_t& value) {
  if (port.empty()) return Bad(text, "no port; write HOST:PORT");
  const char* const end = port.data() + port.size();
  const auto [rest, error] = std::from_chars(port.data(), end, value);
  if (error == std::errc::invalid_argument || rest != end) {
    return Bad(text, absl::StrCat("the port ", Quote(port),
                                  " is not a decimal number"));
  }
  if (error == std::errc::result_out_of_range) {
    return Bad(
        text, absl::StrCat("the port ", port.substr(0, 20), " is above 65535"));
  }
  return absl::OkStatus();
}

absl::StatusOr<HostPort> ParseBracketed(absl::string_view text) {
  const size_t close = text.find(']');
  if (close == absl::string_view::npos) return Bad(text, "no closing ]");
  HostPort result{HostPort::Kind::kIpv6, std::string(text.substr(1, close - 1)),
                  0};
  if (!absl::StartsWith(text.substr(close + 1), ":")) {
    return Bad(text, "no port; write [ADDRESS]:PORT");
  }
  const absl::Status status =
      ParsePort(text, text.substr(close + 2), result.port);
  if (!status.ok()) return status;
  return result;
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text) {
  if (text.empty()) return Bad(text, "empty; write HOST:PORT");
  if (text.front() == '[') return ParseBracketed(text);
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos) {
    return Bad(text, "no port; write HOST:PORT");
  }
  if (text.find(':', colon + 1) != absl::string_view::npos) {
    return Bad(text, "an IPv6 address is written [ADDRESS]:PORT");
  }
  if (colon == 0) {
    return Bad(text, "no host; 0.0.0.0 is every IPv4 address, [::] every IPv6");
  }
  HostPort result;
  const absl::string_view host = text.substr(0, colon);
  if (LooksLikeIpv4(host)) {
    result.kind = HostPort::Kind::kIpv4;
  } else if (!IsName(host)) {
    return Bad(text, host == "*"
                         ? "0.0.0.0 is every IPv4 address, [::] every IPv6"
                         : "neither an IP address nor a host name");
  }
  result.host = absl::AsciiStrToLower(host);
  const absl::Status status =
      ParsePort(text, text.substr(colon + 1), result.port);
  if (!status.ok()) return status;
  return result;
}

}  // namespace baton
