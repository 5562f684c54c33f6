#include "worker/connection_limits.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "glog/logging.h"

namespace baton {
namespace {

bool AddressOf(const sockaddr_storage* peer, std::array<uint8_t, 16>* address) {
  if (peer == nullptr) return false;
  if (peer->ss_family == AF_INET6) {
    const in6_addr& in6 =
        reinterpret_cast<const sockaddr_in6*>(peer)->sin6_addr;
    *address = {};
    memcpy(address->data(), &in6, IN6_IS_ADDR_V4MAPPED(&in6) ? 16 : 8);
    return true;
  }
  if (peer->ss_family != AF_INET) return false;
  *address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  memcpy(address->data() + 12,
         &reinterpret_cast<const sockaddr_in*>(peer)->sin_addr, 4);
  return true;
}

}  // namespace

int ConnectionLimits::AddListener(int64_t max_connections) {
  listeners_.push_back({.max = max_connections});
  return static_cast<int>(listeners_.size()) - 1;
}

bool ConnectionLimits::HasRoom(int listener) const {
  const Listener& own = listeners_[static_cast<size_t>(listener)];
  return (max_total_ == 0 || total_ + reserved_ < max_total_) &&
         (own.max == 0 || own.count < own.max);
}

bool ConnectionLimits::Add(int listener, const sockaddr_storage* peer,
                           Tag* tag) {
  *tag = AddressTag(peer);
  if (*tag != 0 && addresses_[*tag - 1].count >= max_per_ip_) return false;
  Count(listener, *tag);
  return true;
}

ConnectionLimits::Tag ConnectionLimits::Adopt(int listener,
                                              const sockaddr_storage* peer) {
  const Tag tag = AddressTag(peer);
  Count(listener, tag);
  return tag;
}

// That of a new address has no count yet: the limit is at least one, so it is
// counted at once.
ConnectionLimits::Tag ConnectionLimits::AddressTag(
    const sockaddr_storage* peer) {
  Address address;
  if (!CountsAddresses() || !AddressOf(peer, &address)) return 0;
  auto [it, added] = index_.try_emplace(address, 0);
  if (added) {
    if (free_.empty()) {
      free_.push_back(static_cast<uint32_t>(addresses_.size()));
      addresses_.emplace_back();
    }
    it->second = free_.back();
    free_.pop_back();
    addresses_[it->second] = {.address = address};
  }
  return Tag{it->second} + 1;
}

void ConnectionLimits::Count(int listener, Tag tag) {
  ++total_;
  ++listeners_[static_cast<size_t>(listener)].count;
  if (tag != 0) ++addresses_[tag - 1].count;
}

void ConnectionLimits::Remove(int listener, Tag tag) {
  CHECK_GT(total_, 0);
  --total_;
  --listeners_[static_cast<size_t>(listener)].count;
  if (tag == 0) return;
  const auto slot = static_cast<uint32_t>(tag - 1);
  if (--addresses_[slot].count == 0) {
    index_.erase(addresses_[slot].address);
    free_.push_back(slot);
  }
}

}  // namespace baton
