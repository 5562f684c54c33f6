#include "worker/connection_limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "gtest/gtest.h"

namespace baton {
namespace {

sockaddr_storage V4(const char* address) {
  sockaddr_storage storage{};
  auto* in = reinterpret_cast<sockaddr_in*>(&storage);
  in->sin_family = AF_INET;
  inet_pton(AF_INET, address, &in->sin_addr);
  return storage;
}

sockaddr_storage V6(const char* address) {
  sockaddr_storage storage{};
  auto* in = reinterpret_cast<sockaddr_in6*>(&storage);
  in->sin6_family = AF_INET6;
  inet_pton(AF_INET6, address, &in->sin6_addr);
  return storage;
}

TEST(ConnectionLimits, Total) {
  ConnectionLimits limits(2, 0);
  const int a = limits.AddListener(0), b = limits.AddListener(0);
  ConnectionLimits::Tag tag;
  EXPECT_TRUE(limits.Add(a, nullptr, &tag));
  EXPECT_TRUE(limits.HasRoom(b));
  EXPECT_TRUE(limits.Add(b, nullptr, &tag));
  EXPECT_FALSE(limits.HasRoom(a));
  limits.Remove(b, tag);
  EXPECT_TRUE(limits.HasRoom(a));
}

TEST(ConnectionLimits, OfOneListener) {
  ConnectionLimits limits(0, 0);
  const int small = limits.AddListener(1), free = limits.AddListener(0);
  ConnectionLimits::Tag tag;
  EXPECT_TRUE(limits.Add(small, nullptr, &tag));
  EXPECT_FALSE(limits.HasRoom(small));
  EXPECT_TRUE(limits.HasRoom(free));
}

TEST(ConnectionLimits, OfOneAddress) {
  ConnectionLimits limits(0, 2);
  const int listener = limits.AddListener(0);
  const sockaddr_storage one = V4("10.0.0.1"), mapped = V6("::ffff:10.0.0.1"),
                         other = V6("2001:db8::1");
  ConnectionLimits::Tag first, second, tag;
  EXPECT_TRUE(limits.Add(listener, &one, &first));
  EXPECT_TRUE(limits.Add(listener, &mapped, &second));
  EXPECT_FALSE(limits.Add(listener, &one, &tag));
  EXPECT_TRUE(limits.Add(listener, &other, &tag));
  limits.Remove(listener, first);
  EXPECT_TRUE(limits.Add(listener, &one, &first));
  EXPECT_EQ(limits.total(), 3);
}

// A refused connection is not counted, and an address that has gone leaves
// nothing behind that another inherits.
TEST(ConnectionLimits, SlotsOfAddressesAreReused) {
  ConnectionLimits limits(0, 1);
  const int listener = limits.AddListener(0);
  for (int round = 0; round < 3; ++round) {
    const sockaddr_storage a = V4("10.0.0.1"), b = V4("10.0.0.2");
    ConnectionLimits::Tag tag_a, tag_b, refused;
    EXPECT_TRUE(limits.Add(listener, &a, &tag_a));
    EXPECT_TRUE(limits.Add(listener, &b, &tag_b));
    EXPECT_FALSE(limits.Add(listener, &a, &refused));
    limits.Remove(listener, tag_a);
    limits.Remove(listener, tag_b);
    EXPECT_EQ(limits.total(), 0);
  }
}

// Whoever has one address of IPv6 has its /64.
TEST(ConnectionLimits, AddressesOfIpv6CountByTheir64) {
  ConnectionLimits limits(0, 1);
  const int listener = limits.AddListener(0);
  const sockaddr_storage first = V6("2001:db8:0:1::1"),
                         same = V6("2001:db8:0:1:ffff:ffff:ffff:ffff"),
                         next = V6("2001:db8:0:2::1");
  ConnectionLimits::Tag tag, refused;
  EXPECT_TRUE(limits.Add(listener, &first, &tag));
  EXPECT_FALSE(limits.Add(listener, &same, &refused));
  EXPECT_TRUE(limits.Add(listener, &next, &refused));
  limits.Remove(listener, tag);
  EXPECT_TRUE(limits.Add(listener, &same, &tag));
}

// Mapped ones share the /64 of ::1.
TEST(ConnectionLimits, MappedAddressesCountOneByOne) {
  ConnectionLimits limits(0, 1);
  const int listener = limits.AddListener(0);
  const sockaddr_storage one = V6("::ffff:10.0.0.1"),
                         other = V6("::ffff:10.0.0.2"), loopback = V6("::1");
  ConnectionLimits::Tag tag;
  EXPECT_TRUE(limits.Add(listener, &one, &tag));
  EXPECT_TRUE(limits.Add(listener, &other, &tag));
  EXPECT_TRUE(limits.Add(listener, &loopback, &tag));
}

TEST(ConnectionLimits, AdoptedOnesCountAndAreNotRefused) {
  ConnectionLimits limits(2, 1);
  const int listener = limits.AddListener(1);
  const sockaddr_storage peer = V4("10.0.0.1");
  const ConnectionLimits::Tag first = limits.Adopt(listener, &peer);
  const ConnectionLimits::Tag second = limits.Adopt(listener, &peer);
  const ConnectionLimits::Tag third = limits.Adopt(listener, nullptr);
  EXPECT_EQ(limits.total(), 3);
  EXPECT_FALSE(limits.HasRoom(listener));
  ConnectionLimits::Tag tag;
  EXPECT_FALSE(limits.Add(listener, &peer, &tag));
  limits.Remove(listener, third);
  limits.Remove(listener, first);
  EXPECT_FALSE(limits.Add(listener, &peer, &tag)) << "one is still there";
  limits.Remove(listener, second);
  EXPECT_EQ(limits.total(), 0);
  EXPECT_TRUE(limits.HasRoom(listener));
  EXPECT_TRUE(limits.Add(listener, &peer, &tag));
}

TEST(ConnectionLimits, ReservedPlacesAreKeptFree) {
  ConnectionLimits limits(3, 0);
  const int listener = limits.AddListener(0);
  limits.Reserve(2);
  ConnectionLimits::Tag tag;
  EXPECT_TRUE(limits.HasRoom(listener));
  EXPECT_TRUE(limits.Add(listener, nullptr, &tag));
  EXPECT_FALSE(limits.HasRoom(listener));
  EXPECT_EQ(limits.total(), 1) << "nobody is there yet";
  // Each that comes takes the place that was kept for it.
  limits.Adopt(listener, nullptr);
  limits.Reserve(-1);
  EXPECT_FALSE(limits.HasRoom(listener));
  limits.Reserve(-1);
  EXPECT_TRUE(limits.HasRoom(listener));
}

TEST(ConnectionLimits, AReservationBeyondTheLimitEndsAsItBegan) {
  ConnectionLimits limits(3, 0);
  const int listener = limits.AddListener(0);
  limits.Reserve(1000);
  EXPECT_FALSE(limits.HasRoom(listener));
  limits.Reserve(-1000);
  EXPECT_TRUE(limits.HasRoom(listener));
}

TEST(ConnectionLimits, WithoutALimitNothingIsKept) {
  ConnectionLimits limits(0, 0);
  const int listener = limits.AddListener(0);
  limits.Reserve(1000);
  EXPECT_TRUE(limits.HasRoom(listener));
}

TEST(ConnectionLimits, UnixPeersHaveNoAddress) {
  ConnectionLimits limits(0, 1);
  const int listener = limits.AddListener(0);
  sockaddr_storage unnamed{};
  unnamed.ss_family = AF_UNIX;
  ConnectionLimits::Tag tag;
  EXPECT_TRUE(limits.Add(listener, &unnamed, &tag));
  EXPECT_TRUE(limits.Add(listener, &unnamed, &tag));
}

}  // namespace
}  // namespace baton
