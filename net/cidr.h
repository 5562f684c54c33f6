#ifndef BATON_NET_CIDR_H_
#define BATON_NET_CIDR_H_

// Problem: "who may" is said of networks, and a list of them that is read too
// kindly lets in more than was meant: whoever writes `10.1.2.3/8` thinks of one
// address and gets sixteen million.
//
// Cidr is an IPv4 or IPv6 network: `10.0.0.0/8`, `fd00::/8`. A bare address is
// the network of that address alone.
//
// Contract
// * Pure; looks no name up. Bits set beyond the length are an error that says
//   which network they are in.
// * A v4-mapped IPv6 address (::ffff:10.0.0.1: what a dual listener sees) is
//   the IPv4 address, here and in what is asked for. So ::/0 holds every IPv6
//   address and no IPv4 address.
// * Zones don't matter: fe80::/10 holds fe80::1 of every interface.

#include <netinet/in.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/endpoint.h"

namespace baton {

class Cidr {
 public:
  // Errors: InvalidArgument, quoting `text`.
  static absl::StatusOr<Cidr> Parse(absl::string_view text);

  // The port is not looked at. False for an endpoint without an IP address.
  bool Contains(const Endpoint& endpoint) const;

  // Always with the length; Parse() reads it back as the same network.
  std::string ToString() const;

 private:
  Cidr(const in6_addr& network, int prefix_bits)
      : network_(network), prefix_bits_(prefix_bits) {}

  // Both as if it were IPv6, so that one comparison does for both families.
  in6_addr network_;
  int prefix_bits_;
};

// Networks with `separator` between them and, if one likes, blanks around
// them. Empty text is the empty list, but an empty element is an error: it is
// what is left of a network that somebody lost. `separator` is not a colon.
// Errors: InvalidArgument, with the number of the element, counted from one.
absl::StatusOr<std::vector<Cidr>> ParseCidrList(absl::string_view text,
                                                char separator);

bool AnyContains(absl::Span<const Cidr> networks, const Endpoint& endpoint);

}  // namespace baton

#endif  // BATON_NET_CIDR_H_
