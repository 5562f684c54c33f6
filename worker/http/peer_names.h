#ifndef BATON_WORKER_HTTP_PEER_NAMES_H_
#define BATON_WORKER_HTTP_PEER_NAMES_H_

// The addresses of connections' peers as text.
//
// A connection does not keep its peer's address, of which there is need once in
// its life at most; who writes it for each request would make a system call for
// each. Here it is remembered, for those who log: 64 bytes for each connection
// of the worker, at most kMost of them, and nothing if nobody asks.
//
// Belongs to the loop's thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/cidr.h"
#include "net/connection.h"

namespace baton {

class PeerNames {
 public:
  static constexpr size_t kMost = size_t{64} * 1024;

  struct Peer {
    // As ClientAddress() has it (worker/http/forwarded.h).
    absl::string_view name() const { return {text.data(), size}; }

    uint64_t connection = ~uint64_t{0};  // its id
    bool trusted = false;  // what it says of its clients is believed
    uint8_t size = 0;
    // An IPv6 address has 39 characters, a zone no more than eleven.
    std::array<char, 54> text;
  };

  // Valid until the next call. `trusted` is the same each time.
  const Peer& Of(const Connection& connection, absl::Span<const Cidr> trusted) {
    const uint64_t id = connection.id();
    const size_t place = id & kMask;
    if (place < peers_.size() && peers_[place].connection == id) {
      return peers_[place];
    }
    return LookUp(connection, trusted, place);
  }

 private:
  // The lower bits of an id are a number that connections which are open at
  // the same time do not share, and that is small.
  static constexpr size_t kMask = kMost - 1;

  const Peer& LookUp(const Connection& connection,
                     absl::Span<const Cidr> trusted, size_t place);

  std::vector<Peer> peers_;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_PEER_NAMES_H_
