#include "net/endpoint.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

Endpoint At(absl::string_view text) {
  auto parsed = Endpoint::Parse(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.value_or(Endpoint());
}

std::string ErrorOf(absl::string_view text) {
  const auto parsed = Endpoint::Parse(text);
  return parsed.ok() ? "accepted" : std::string(parsed.status().message());
}

TEST(EndpointTest, DefaultNamesNothing) {
  const Endpoint none;
  EXPECT_EQ(none.family(), AF_UNSPEC);
  EXPECT_EQ(none.length(), 0u);
  EXPECT_EQ(none.port(), 0);
  EXPECT_EQ(none.ToString(), "(none)");
  EXPECT_EQ(none, Endpoint());
  EXPECT_FALSE(none.Overlaps(Endpoint()));
}

TEST(EndpointTest, ParsesEachFamilyAndPrintsItCanonically) {
  EXPECT_EQ(At("127.0.0.1:80").family(), AF_INET);
  EXPECT_EQ(At("127.0.0.1:080").ToString(), "127.0.0.1:80");
  EXPECT_EQ(At("[::1]:80").family(), AF_INET6);
  EXPECT_EQ(At("[0:0::1]:80").ToString(), "[::1]:80");
  EXPECT_EQ(At("[fe80::1%2]:80").ToString(), "[fe80::1%2]:80");
  EXPECT_EQ(At("[::ffff:1.2.3.4]:5").ToString(), "[::ffff:1.2.3.4]:5");
  EXPECT_EQ(At("0.0.0.0:65535").port(), 65535);
  EXPECT_EQ(At("/run/x.sock").family(), AF_UNIX);
  EXPECT_EQ(At("/run/x.sock").ToString(), "/run/x.sock");
  EXPECT_EQ(At("/run/x.sock").path(), "/run/x.sock");
  EXPECT_EQ(At("127.0.0.1:80").path(), "");
  EXPECT_EQ(At("/run/x.sock").port(), 0);
}

TEST(EndpointTest, RefusesWhatIsNoAddress) {
  EXPECT_TRUE(absl::StrContains(ErrorOf("localhost:80"), "a host name"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("127.0.0.256:80"), "not an IPv4"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("127.1:80"), "not an IPv4"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("127.0.0.01:80"), "not an IPv4"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("[::g]:80"), "not an IPv6"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("[]:80"), "not an IPv6"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("[127.0.0.1]:80"), "not an IPv6"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("[fe80::1%lo]:80"), "interface index"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("[fe80::1%]:80"), "interface index"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("127.0.0.1"), "no port"));
  EXPECT_NE(ErrorOf("x.sock"), "accepted");
  EXPECT_NE(ErrorOf("@abstract"), "accepted");
  EXPECT_NE(ErrorOf({"[::1\0]:80", 9}), "accepted");
  EXPECT_NE(ErrorOf({"/a\0b", 4}), "accepted");
}

TEST(EndpointTest, PathIsBoundedBySunPathLessTheNul) {
  const std::string longest = "/" + std::string(106, 'x');
  EXPECT_EQ(At(longest).ToString(), longest);
  EXPECT_EQ(At(longest).length(), sizeof(sockaddr_un));
  EXPECT_TRUE(absl::StrContains(ErrorOf(longest + "x"),
                                "at most 107 bytes, this one has 108"));
}

TEST(EndpointTest, EqualityIgnoresPaddingAndFlowLabel) {
  sockaddr_in in;
  memset(&in, 0xa5, sizeof(in));
  in.sin_family = AF_INET;
  in.sin_port = htons(80);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(
      *Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&in), sizeof(in)),
      At("127.0.0.1:80"));
  sockaddr_in6 in6;
  memset(&in6, 0xa5, sizeof(in6));
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(80);
  in6.sin6_addr = in6addr_loopback;
  in6.sin6_scope_id = 0;
  EXPECT_EQ(
      *Endpoint::FromSockaddr(reinterpret_cast<sockaddr*>(&in6), sizeof(in6)),
      At("[::1]:80"));
  EXPECT_NE(At("127.0.0.1:80"), At("127.0.0.1:81"));
  EXPECT_NE(At("127.0.0.1:80"), At("[::ffff:127.0.0.1]:80"));
  EXPECT_NE(At("[fe80::1%1]:80"), At("[fe80::1%2]:80"));
  EXPECT_NE(At("/a"), At("/ab"));
}

TEST(EndpointTest, FromSockaddrKnowsTheShapesOfUnixAddresses) {
  sockaddr_un un = {};
  un.sun_family = AF_UNIX;
  const auto* address = reinterpret_cast<sockaddr*>(&un);
  const socklen_t offset = offsetof(sockaddr_un, sun_path);
  EXPECT_EQ(Endpoint::FromSockaddr(address, offset)->ToString(), "(unnamed)");
  memcpy(un.sun_path, "\0x\ny", 4);
  const Endpoint abstract_name = *Endpoint::FromSockaddr(address, offset + 4);
  EXPECT_EQ(abstract_name.ToString(), "@x\\ny");
  EXPECT_EQ(abstract_name.length(), offset + 4);
  EXPECT_EQ(abstract_name.path(), "");
  // With or without the NUL counted it is the same path.
  memcpy(un.sun_path, "/run/x", 7);
  EXPECT_EQ(*Endpoint::FromSockaddr(address, offset + 6), At("/run/x"));
  EXPECT_EQ(*Endpoint::FromSockaddr(address, offset + 7), At("/run/x"));
  // sun_path filled to the end: no NUL, and a length one past the structure.
  memset(un.sun_path, 'x', sizeof(un.sun_path));
  EXPECT_EQ(Endpoint::FromSockaddr(address, sizeof(un) + 1)->path().size(),
            sizeof(un.sun_path));
}

TEST(EndpointTest, FromSockaddrRefusesOtherFamiliesAndShortOnes) {
  sockaddr_storage storage = {};
  const auto* address = reinterpret_cast<sockaddr*>(&storage);
  EXPECT_FALSE(Endpoint::FromSockaddr(address, 0).ok());
  EXPECT_FALSE(Endpoint::FromSockaddr(address, sizeof(storage)).ok());
  storage.ss_family = AF_INET;
  EXPECT_FALSE(Endpoint::FromSockaddr(address, 8).ok());
  storage.ss_family = AF_INET6;
  EXPECT_FALSE(Endpoint::FromSockaddr(address, sizeof(sockaddr_in)).ok());
  storage.ss_family = AF_NETLINK;
  EXPECT_FALSE(Endpoint::FromSockaddr(address, sizeof(storage)).ok());
}

TEST(EndpointTest, AsksTheKernelForBothEnds) {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Endpoint any_port = At("127.0.0.1:0");
  ASSERT_EQ(bind(listener.get(), any_port.sockaddr(), any_port.length()), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  const Endpoint bound = *Endpoint::LocalOf(listener.get());
  EXPECT_NE(bound.port(), 0);
  UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(client.get(), bound.sockaddr(), bound.length()), 0);
  EXPECT_EQ(*Endpoint::PeerOf(client.get()), bound);
  EXPECT_EQ(Endpoint::PeerOf(listener.get()).status().code(),
            absl::ErrnoToStatusCode(ENOTCONN));

  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd a(ends[0]), b(ends[1]);
  EXPECT_EQ(Endpoint::PeerOf(a.get())->ToString(), "(unnamed)");
}

TEST(EndpointTest, OverlapsIsWhatWouldCollideInBind) {
  const struct {
    const char *a, *b;
    bool overlap;
  } kCases[] = {
      {"127.0.0.1:80", "127.0.0.1:80", true},
      {"127.0.0.1:80", "127.0.0.1:81", false},
      {"127.0.0.1:80", "127.0.0.2:80", false},
      {"0.0.0.0:80", "127.0.0.1:80", true},
      {"0.0.0.0:80", "0.0.0.0:80", true},
      {"0.0.0.0:80", "127.0.0.1:81", false},
      {"0.0.0.0:0", "0.0.0.0:0", false},
      {"[::]:80", "[::1]:80", true},
      {"[::1]:80", "[::2]:80", false},
      {"[::]:80", "127.0.0.1:80", true},
      {"[::]:80", "0.0.0.0:80", true},
      {"0.0.0.0:80", "[::1]:80", false},
      {"127.0.0.1:80", "[::1]:80", false},
      {"127.0.0.1:80", "[::ffff:127.0.0.1]:80", true},
      {"0.0.0.0:80", "[::ffff:127.0.0.1]:80", true},
      {"[fe80::1%1]:80", "[fe80::1%2]:80", false},
      {"/a", "/a", true},
      {"/a", "/b", false},
      {"/a", "127.0.0.1:80", false},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(At(c.a).Overlaps(At(c.b)), c.overlap) << c.a << " " << c.b;
    EXPECT_EQ(At(c.b).Overlaps(At(c.a)), c.overlap) << c.b << " " << c.a;
  }
}

}  // namespace
}  // namespace baton
