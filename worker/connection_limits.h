#ifndef BATON_WORKER_CONNECTION_LIMITS_H_
#define BATON_WORKER_CONNECTION_LIMITS_H_

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace baton {

// How many connections a worker takes. At a limit of number it stops accepting
// and the kernel's queue waits; beyond a limit of one address a connection is
// closed at once, since it would stand at the head of the queue before others.
// An address of IPv6 stands for its /64: that is what one customer of a
// provider gets, and whoever has one has all 2^64 of it. IPv4 counts in full,
// also where it comes mapped into IPv6. Limits apply to admission only: what a
// predecessor admitted is adopted, counted and not refused. Not thread-safe.
class ConnectionLimits {
 public:
  // Zero: no limit.
  ConnectionLimits(int64_t max_total, int64_t max_per_ip)
      : max_total_(max_total), max_per_ip_(max_per_ip) {}

  // A listener with a limit of its own; returns its number.
  int AddListener(int64_t max_connections);

  bool CountsAddresses() const { return max_per_ip_ > 0; }
  bool HasRoom(int listener) const;
  // False: too many from that address. `*tag` is what Remove must be given.
  // `peer` may be null where addresses are not counted, or not IP.
  using Tag = uint64_t;
  bool Add(int listener, const sockaddr_storage* peer, Tag* tag);
  // Counts one that another worker has admitted, once the table has imported
  // it, beyond a limit as well. The result is what Remove must be given.
  Tag Adopt(int listener, const sockaddr_storage* peer);
  void Remove(int listener, Tag tag);
  // Keeps `count` places more (or, below zero, fewer) free of connections that
  // are yet to be admitted.
  void Reserve(int64_t count) { reserved_ += count; }

  int64_t total() const { return total_; }
  int64_t max_total() const { return max_total_; }

 private:
  // IPv6 without its lower half, IPv4 mapped into IPv6.
  using Address = std::array<uint8_t, 16>;
  struct PerAddress {
    Address address;
    int64_t count = 0;
  };

  Tag AddressTag(const sockaddr_storage* peer);
  void Count(int listener, Tag tag);

  const int64_t max_total_;
  const int64_t max_per_ip_;
  int64_t total_ = 0;
  int64_t reserved_ = 0;
  struct Listener {
    int64_t max;
    int64_t count = 0;
  };
  std::vector<Listener> listeners_;
  std::vector<PerAddress> addresses_;  // by tag - 1
  std::vector<uint32_t> free_;
  absl::flat_hash_map<Address, uint32_t> index_;
};

}  // namespace baton

#endif  // BATON_WORKER_CONNECTION_LIMITS_H_
