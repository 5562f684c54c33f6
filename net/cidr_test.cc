#include "net/cidr.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "net/endpoint.h"

namespace baton {
namespace {

// What `text` means, or why it means nothing.
std::string Canonical(absl::string_view text) {
  const auto parsed = Cidr::Parse(text);
  return parsed.ok() ? parsed->ToString()
                     : std::string(parsed.status().message());
}

Endpoint At(absl::string_view text) {
  auto parsed = Endpoint::Parse(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.value_or(Endpoint());
}

bool Holds(absl::string_view network, absl::string_view endpoint) {
  const auto parsed = Cidr::Parse(network);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() && parsed->Contains(At(endpoint));
}

TEST(CidrTest, PrintsTheNetworkWithItsLength) {
  EXPECT_EQ(Canonical("10.0.0.0/8"), "10.0.0.0/8");
  EXPECT_EQ(Canonical("0.0.0.0/0"), "0.0.0.0/0");
  EXPECT_EQ(Canonical("192.0.2.1"), "192.0.2.1/32");
  EXPECT_EQ(Canonical("192.0.2.1/32"), "192.0.2.1/32");
  EXPECT_EQ(Canonical("192.0.2.128/25"), "192.0.2.128/25");
  EXPECT_EQ(Canonical("::1"), "::1/128");
  EXPECT_EQ(Canonical("::/0"), "::/0");
  EXPECT_EQ(Canonical("FD00:0::/8"), "fd00::/8");
  EXPECT_EQ(Canonical("2001:db8:8000::/33"), "2001:db8:8000::/33");
}

TEST(CidrTest, MappedIsIpv4) {
  EXPECT_EQ(Canonical("::ffff:1.2.3.4"), "1.2.3.4/32");
  EXPECT_EQ(Canonical("::ffff:10.0.0.0/104"), "10.0.0.0/8");
  EXPECT_EQ(Canonical("::ffff:0:0/96"), "0.0.0.0/0");
  EXPECT_TRUE(absl::StrContains(Canonical("::ffff:0:0/95"), "is ::fffe:0:0/95"))
      << Canonical("::ffff:0:0/95");
}

TEST(CidrTest, BitsBeyondTheLengthNameTheNetwork) {
  EXPECT_EQ(Canonical("10.1.2.3/8"),
            "bad network \"10.1.2.3/8\": bits beyond the length are set; the "
            "network is 10.0.0.0/8, the one address 10.1.2.3");
  EXPECT_TRUE(absl::StrContains(Canonical("192.0.2.129/25"),
                                "network is 192.0.2.128/25,"));
  EXPECT_TRUE(absl::StrContains(Canonical("0.0.0.1/0"), "is 0.0.0.0/0,"));
  EXPECT_TRUE(absl::StrContains(Canonical("0.0.0.1/31"), "is 0.0.0.0/31,"));
  EXPECT_TRUE(absl::StrContains(Canonical("::1/127"), "is ::/127,"));
  EXPECT_TRUE(absl::StrContains(Canonical("fd00::1/8"), "is fd00::/8,"));
}

TEST(CidrTest, RefusesWhatIsNoAddress) {
  const std::string nul(1, '\0');
  for (const std::string& text : std::vector<std::string>{
           "", "/", "/8", " ", " 10.0.0.0/8", "10.0.0.0 /8", "10/8", "10.0.0/8",
           "10.0.0.256", "010.0.0.0/8", "localhost", "[::1]", "::1%1", "::1::",
           "10.0.0.1:80", "/run/x.sock", "10.0.0.1" + nul, "::1" + nul}) {
    EXPECT_TRUE(absl::StrContains(Canonical(text), ": not an IP address;"))
        << text;
  }
}

TEST(CidrTest, RefusesOtherLengths) {
  for (const absl::string_view text :
       {"0.0.0.0/33", "0.0.0.0/", "0.0.0.0/-1", "0.0.0.0/+8", "0.0.0.0/ 8",
        "0.0.0.0/8 ", "0.0.0.0/8/8", "0.0.0.0/x", "0.0.0.0/8x",
        "0.0.0.0/255.0.0.0", "0.0.0.0/4294967296"}) {
    EXPECT_TRUE(absl::StrContains(Canonical(text), "a number from 0 to 32"))
        << text << Canonical(text);
  }
  EXPECT_TRUE(absl::StrContains(Canonical("::/129"), "a number from 0 to 128"));
  EXPECT_EQ(Cidr::Parse("::/129").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CidrTest, ContainsUpToTheEdges) {
  EXPECT_TRUE(Holds("10.0.0.0/8", "10.0.0.0:1"));
  EXPECT_TRUE(Holds("10.0.0.0/8", "10.255.255.255:65535"));
  EXPECT_FALSE(Holds("10.0.0.0/8", "9.255.255.255:1"));
  EXPECT_FALSE(Holds("10.0.0.0/8", "11.0.0.0:1"));
  EXPECT_TRUE(Holds("192.0.2.128/25", "192.0.2.128:1"));
  EXPECT_FALSE(Holds("192.0.2.128/25", "192.0.2.127:1"));
  EXPECT_TRUE(Holds("192.0.2.1", "192.0.2.1:1"));
  EXPECT_FALSE(Holds("192.0.2.1", "192.0.2.0:1"));
  EXPECT_TRUE(Holds("0.0.0.0/0", "255.255.255.255:1"));
  EXPECT_TRUE(Holds("fd00::/8", "[fdff:ffff::1]:1"));
  EXPECT_FALSE(Holds("fd00::/8", "[fe00::]:1"));
  EXPECT_TRUE(Holds("2001:db8:8000::/33", "[2001:db8:ffff::]:1"));
  EXPECT_FALSE(Holds("2001:db8:8000::/33", "[2001:db8:7fff::]:1"));
  EXPECT_TRUE(Holds("::1", "[::1]:1"));
  EXPECT_FALSE(Holds("::1", "[::]:1"));
  EXPECT_TRUE(Holds("fe80::/10", "[fe80::1%2]:1"));
}

TEST(CidrTest, FamiliesAreApartButForMappedAddresses) {
  EXPECT_TRUE(Holds("10.0.0.0/8", "[::ffff:10.1.2.3]:1"));
  EXPECT_FALSE(Holds("10.0.0.0/8", "[::ffff:11.1.2.3]:1"));
  EXPECT_TRUE(Holds("::ffff:1.2.3.4", "1.2.3.4:1"));
  EXPECT_TRUE(Holds("0.0.0.0/0", "[::ffff:1.2.3.4]:1"));
  EXPECT_FALSE(Holds("0.0.0.0/0", "[::1]:1"));
  // The deprecated v4-compatible form is not IPv4.
  EXPECT_FALSE(Holds("1.2.3.4", "[::1.2.3.4]:1"));
  EXPECT_TRUE(Holds("::/0", "[2001:db8::1]:1"));
  EXPECT_FALSE(Holds("::/0", "1.2.3.4:1"));
  EXPECT_FALSE(Holds("::/0", "[::ffff:1.2.3.4]:1"));
}

TEST(CidrTest, NeverContainsWhatHasNoAddress) {
  for (const absl::string_view network : {"0.0.0.0/0", "::/0", "0.0.0.0"}) {
    EXPECT_FALSE(Holds(network, "/run/x.sock"));
    EXPECT_FALSE(Cidr::Parse(network)->Contains(Endpoint()));
  }
}

// The list as it was understood, or the error.
std::string List(absl::string_view text, char separator = ',') {
  const auto networks = ParseCidrList(text, separator);
  if (!networks.ok()) return std::string(networks.status().message());
  std::string result;
  for (const Cidr& network : *networks) {
    absl::StrAppend(&result, network.ToString(), " ");
  }
  return result;
}

TEST(CidrListTest, ReadsEveryElement) {
  EXPECT_EQ(List(""), "");
  EXPECT_EQ(List("  "), "");
  EXPECT_EQ(List("::1"), "::1/128 ");
  EXPECT_EQ(List("10.0.0.0/8, ::1 ,fd00::/8"), "10.0.0.0/8 ::1/128 fd00::/8 ");
  EXPECT_EQ(List("1.2.3.4;::1", ';'), "1.2.3.4/32 ::1/128 ");
}

TEST(CidrListTest, NamesTheBadElement) {
  EXPECT_EQ(List("::1, 10.0.0.0/33,x"),
            "element 2: bad network \"10.0.0.0/33\": the length after / is a "
            "number from 0 to 32");
  EXPECT_TRUE(absl::StartsWith(List("::1,"), "element 2: bad network \"\""));
  EXPECT_TRUE(absl::StartsWith(List(","), "element 1: bad network \"\""));
  EXPECT_TRUE(absl::StartsWith(List("::1;::2"),
                               "element 1: bad network \"::1;::2\": "));
}

TEST(CidrListTest, AnyContains) {
  const std::vector<Cidr> networks = *ParseCidrList("10.0.0.0/8,::1", ',');
  EXPECT_TRUE(AnyContains(networks, At("10.1.1.1:1")));
  EXPECT_TRUE(AnyContains(networks, At("[::1]:1")));
  EXPECT_FALSE(AnyContains(networks, At("11.1.1.1:1")));
  EXPECT_FALSE(AnyContains(networks, At("/run/x.sock")));
  EXPECT_FALSE(AnyContains({}, At("10.1.1.1:1")));
}

}  // namespace
}  // namespace baton
