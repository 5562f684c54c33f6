#include "worker/http/forwarded.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

std::string AddressText(const Endpoint& endpoint) {
  if (endpoint.family() == AF_UNIX) return "unix:";
  if (endpoint.family() == AF_UNSPEC) return "unknown";
  const std::string with_port = endpoint.ToString();
  absl::string_view text(with_port);
  text = text.substr(0, text.rfind(':'));
  if (absl::ConsumePrefix(&text, "[")) absl::ConsumeSuffix(&text, "]");
  // Nothing but a v4-mapped address is printed with dots after this.
  if (text.find('.') != absl::string_view::npos) {
    absl::ConsumePrefix(&text, "::ffff:");
  }
  return std::string(text);
}

// Whether the byte at `quote` is one that a backslash has made ordinary. No
// backslash stands before the quote that opens a string.
bool IsEscaped(absl::string_view text, size_t quote) {
  size_t first = quote;
  while (first > 0 && text[first - 1] == '\\') --first;
  return (quote - first) % 2 == 1;
}

// Takes the last element off a list with commas. Strings are found from the
// right, too: a quote that a client opened and never closed would swallow what
// the proxies have added.
absl::string_view TakeLastElement(absl::string_view& list) {
  bool is_quoted = false;
  size_t begin = list.size();
  for (; begin > 0; --begin) {
    const char c = list[begin - 1];
    if (c == '"' && !IsEscaped(list, begin - 1)) is_quoted = !is_quoted;
    if (c == ',' && !is_quoted) break;
  }
  const absl::string_view element = list.substr(begin);
  list = list.substr(0, begin == 0 ? 0 : begin - 1);
  return absl::StripAsciiWhitespace(element);
}

// RFC 7239 section 6: digits, or an obfuscated port.
bool IsPort(absl::string_view port) {
  if (absl::ConsumePrefix(&port, "_")) {
    return !port.empty() && std::all_of(port.begin(), port.end(), [](char c) {
      return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
    });
  }
  return !port.empty() && port.size() <= 5 &&
         std::all_of(port.begin(), port.end(), absl::ascii_isdigit);
}

// The address of `192.0.2.1`, `192.0.2.1:80`, `[::1]`, `[::1]:80`.
std::optional<Endpoint> ParseNode(absl::string_view node) {
  size_t host_end = node.find(':');
  if (absl::StartsWith(node, "[")) {
    const size_t close = node.find(']');
    if (close == absl::string_view::npos) return std::nullopt;
    host_end = close + 1;
  }
  const absl::string_view host = node.substr(0, host_end);
  absl::string_view port = node.substr(host.size());
  if (!port.empty() && !(absl::ConsumePrefix(&port, ":") && IsPort(port))) {
    return std::nullopt;
  }
  // A zone of somebody else's interfaces says nothing here, and a path is not
  // an address.
  if (host.find_first_of("%/") != absl::string_view::npos) return std::nullopt;
  const absl::StatusOr<Endpoint> address =
      Endpoint::Parse(absl::StrCat(host, ":0"));
  if (!address.ok()) return std::nullopt;
  return *address;
}

// IPv6 is usually without brackets there, and then without a port.
std::optional<Endpoint> ParseXForwardedForElement(absl::string_view element) {
  const bool is_bare_ipv6 = !absl::StartsWith(element, "[") &&
                            element.find(':') != element.rfind(':');
  if (is_bare_ipv6) return ParseNode(absl::StrCat("[", element, "]"));
  return ParseNode(element);
}

// Takes a string that begins with a quote; nothing if it does not end.
std::optional<std::string> TakeQuoted(absl::string_view& text) {
  std::string value;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return value;
    }
    if (text[i] == '\\' && ++i == text.size()) break;
    value.push_back(text[i]);
  }
  return std::nullopt;
}

struct Pair {
  absl::string_view name;
  std::string value;
};

// Takes `name=value` and the semicolon behind it. A value without quotes may
// hold colons and brackets: RFC 7239 wants quotes around them, many proxies
// don't.
std::optional<Pair> TakePair(absl::string_view& text) {
  Pair pair;
  const size_t name_end = text.find_first_of("=;\" \t");
  if (name_end == absl::string_view::npos || text[name_end] != '=') {
    return std::nullopt;
  }
  pair.name = text.substr(0, name_end);
  text.remove_prefix(name_end + 1);
  if (absl::StartsWith(text, "\"")) {
    std::optional<std::string> value = TakeQuoted(text);
    if (!value.has_value()) return std::nullopt;
    pair.value = *std::move(value);
  } else {
    pair.value = std::string(text.substr(0, text.find_first_of(";\" \t")));
    text.remove_prefix(pair.value.size());
  }
  text = absl::StripLeadingAsciiWhitespace(text);
  if (!text.empty() && !absl::ConsumePrefix(&text, ";")) return std::nullopt;
  return pair;
}

// `for="[2001:db8::1]:4711";proto=https`. All of it must be well-formed: who
// writes the rest wrongly may have written the address wrongly.
std::optional<Endpoint> ParseForwardedElement(absl::string_view element) {
  std::optional<Endpoint> address;
  while (true) {
    element = absl::StripLeadingAsciiWhitespace(element);
    if (element.empty()) return address;
    if (absl::ConsumePrefix(&element, ";")) continue;
    const std::optional<Pair> pair = TakePair(element);
    if (!pair.has_value()) return std::nullopt;
    if (!absl::EqualsIgnoreCase(pair->name, "for")) continue;
    if (address.has_value()) return std::nullopt;
    address = ParseNode(pair->value);
    if (!address.has_value()) return std::nullopt;
  }
}

}  // namespace

std::string ClientAddress(const Endpoint& peer, absl::string_view forwarded,
                          absl::string_view x_forwarded_for,
                          absl::Span<const Cidr> trusted) {
  if (!AnyContains(trusted, peer)) return AddressText(peer);
  const bool is_forwarded = !forwarded.empty();
  absl::string_view rest = is_forwarded ? forwarded : x_forwarded_for;
  Endpoint client = peer;
  for (int i = 0; i < kMaxForwardedElements && !rest.empty(); ++i) {
    const absl::string_view element = TakeLastElement(rest);
    const std::optional<Endpoint> address =
        is_forwarded ? ParseForwardedElement(element)
                     : ParseXForwardedForElement(element);
    if (!address.has_value()) break;
    client = *address;
    if (!AnyContains(trusted, client)) break;
  }
  return AddressText(client);
}

}  // namespace baton
