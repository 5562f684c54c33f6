#include "net/cidr.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "net/quote.h"

namespace baton {
namespace {

constexpr int kIpv6Bits = 128;
constexpr int kIpv4Bits = 32;
// What a v4-mapped address has in front of the IPv4 address.
constexpr int kMappedBits = kIpv6Bits - kIpv4Bits;

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("bad network ", Quote(text), ": ", why));
}

bool IsIpv4(const in6_addr& address) { return IN6_IS_ADDR_V4MAPPED(&address); }

in6_addr Mapped(const in_addr& ipv4) {
  in6_addr mapped = {};
  mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
  memcpy(&mapped.s6_addr[12], &ipv4, sizeof(ipv4));
  return mapped;
}

std::optional<in6_addr> AddressOf(const Endpoint& endpoint) {
  if (endpoint.family() == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(endpoint.sockaddr());
    return Mapped(in->sin_addr);
  }
  if (endpoint.family() == AF_INET6) {
    return reinterpret_cast<const sockaddr_in6*>(endpoint.sockaddr())
        ->sin6_addr;
  }
  return std::nullopt;
}

std::string AddressText(const in6_addr& address) {
  char text[INET6_ADDRSTRLEN];
  if (IsIpv4(address)) {
    inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof(text));
  } else {
    inet_ntop(AF_INET6, &address, text, sizeof(text));
  }
  return text;
}

in6_addr Masked(const in6_addr& address, int prefix_bits) {
  in6_addr network = address;
  for (int i = 0; i < 16; ++i) {
    const int kept = std::clamp(prefix_bits - 8 * i, 0, 8);
    network.s6_addr[i] &= static_cast<uint8_t>(0xff << (8 - kept));
  }
  return network;
}

// How many bits `digits` asks for, if that is a number up to `most`.
std::optional<int> ParseLength(absl::string_view digits, int most) {
  unsigned length = 0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, length);
  if (error != std::errc() || rest != end ||
      length > static_cast<unsigned>(most)) {
    return std::nullopt;
  }
  return static_cast<int>(length);
}

}  // namespace

absl::StatusOr<Cidr> Cidr::Parse(absl::string_view text) {
  const size_t slash = text.find('/');
  const std::string host(text.substr(0, slash));
  in_addr ipv4;
  in6_addr address;
  int written_bits = kIpv6Bits;
  // The terminating NUL must not cut off what was not looked at.
  const bool has_nul = host.find('\0') != std::string::npos;
  if (!has_nul && inet_pton(AF_INET, host.c_str(), &ipv4) == 1) {
    address = Mapped(ipv4);
    written_bits = kIpv4Bits;
  } else if (has_nul || inet_pton(AF_INET6, host.c_str(), &address) != 1) {
    return Bad(text,
               "not an IP address; write 10.0.0.0/8, fd00::/8 or one address");
  }
  int prefix_bits = kIpv6Bits;
  if (slash != absl::string_view::npos) {
    const std::optional<int> length =
        ParseLength(text.substr(slash + 1), written_bits);
    if (!length.has_value()) {
      return Bad(text, absl::StrCat("the length after / is a number from 0 to ",
                                    written_bits));
    }
    prefix_bits = *length + kIpv6Bits - written_bits;
  }
  const Cidr result(Masked(address, prefix_bits), prefix_bits);
  if (!IN6_ARE_ADDR_EQUAL(&result.network_, &address)) {
    return Bad(text, absl::StrCat("bits beyond the length are set; the network "
                                  "is ",
                                  result.ToString(), ", the one address ",
                                  AddressText(address)));
  }
  return result;
}

bool Cidr::Contains(const Endpoint& endpoint) const {
  const std::optional<in6_addr> address = AddressOf(endpoint);
  if (!address.has_value() || IsIpv4(*address) != IsIpv4(network_)) {
    return false;
  }
  const in6_addr network = Masked(*address, prefix_bits_);
  return IN6_ARE_ADDR_EQUAL(&network, &network_);
}

std::string Cidr::ToString() const {
  // A mapped network has its ffff within the length: it is IPv4 altogether.
  const int length =
      IsIpv4(network_) ? prefix_bits_ - kMappedBits : prefix_bits_;
  return absl::StrCat(AddressText(network_), "/", length);
}

absl::StatusOr<std::vector<Cidr>> ParseCidrList(absl::string_view text,
                                                char separator) {
  std::vector<Cidr> networks;
  if (absl::StripAsciiWhitespace(text).empty()) return networks;
  for (const absl::string_view element : absl::StrSplit(text, separator)) {
    const absl::StatusOr<Cidr> network =
        Cidr::Parse(absl::StripAsciiWhitespace(element));
    if (!network.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "element ", networks.size() + 1, ": ", network.status().message()));
    }
    networks.push_back(*network);
  }
  return networks;
}

bool AnyContains(absl::Span<const Cidr> networks, const Endpoint& endpoint) {
  return std::any_of(
      networks.begin(), networks.end(),
      [&](const Cidr& network) { return network.Contains(endpoint); });
}

}  // namespace baton
