#ifndef BATON_WORKER_HTTP_FORWARDED_H_
#define BATON_WORKER_HTTP_FORWARDED_H_

// The address of the client behind trusted proxies.
//
// Problem: behind a proxy every connection comes from the proxy. It adds at the
// right of a header whom it speaks for, but what stands at the left of that
// came with the request: anybody may have written it.
//
// Contract
// * Only what a trusted address has added is believed, so the list is walked
//   from the right, and nothing at its left changes how an element is read.
// * `Forwarded` (RFC 7239) goes before X-Forwarded-For. A proxy that is trusted
//   must therefore write or remove `Forwarded`: one that only knows the other
//   header and lets this one through lets its clients choose an address.
// * Never fails and is bounded: at most kMaxForwardedElements are looked at.

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/cidr.h"
#include "net/endpoint.h"

namespace baton {

inline constexpr int kMaxForwardedElements = 32;

// An IP address without port, a v4-mapped one as IPv4; "unix:" for a peer on a
// unix socket, which is never trusted; "unknown" for an endpoint that names
// nothing.
//
// That is the peer if it is not in `trusted`. Else the first address from the
// right that is not in `trusted`; the leftmost one if all are. An element that
// tells no address (malformed, `unknown`, obfuscated, no `for`) ends the walk
// at the address before it.
//
// The headers are given as received, the fields of one name joined by ", ".
std::string ClientAddress(const Endpoint& peer, absl::string_view forwarded,
                          absl::string_view x_forwarded_for,
                          absl::Span<const Cidr> trusted);

}  // namespace baton

#endif  // BATON_WORKER_HTTP_FORWARDED_H_
