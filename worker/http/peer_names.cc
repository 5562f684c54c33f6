#include "worker/http/peer_names.h"

#include <string>

#include "absl/numeric/bits.h"
#include "net/endpoint.h"
#include "worker/http/forwarded.h"

namespace baton {

const PeerNames::Peer& PeerNames::LookUp(const Connection& connection,
                                         absl::Span<const Cidr> trusted,
                                         size_t place) {
  static_assert(sizeof(Peer) == 64);
  if (place >= peers_.size()) peers_.resize(absl::bit_ceil(place + 1));
  Peer& peer = peers_[place];
  const Endpoint endpoint = connection.peer();
  const std::string text = ClientAddress(endpoint, "", "", {});
  peer.connection = connection.id();
  peer.trusted = !trusted.empty() && AnyContains(trusted, endpoint);
  peer.size =
      static_cast<uint8_t>(text.copy(peer.text.data(), peer.text.size()));
  return peer;
}

}  // namespace baton
