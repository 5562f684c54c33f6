#include "worker/http/forwarded.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "net/cidr.h"
#include "net/endpoint.h"

namespace baton {
namespace {

constexpr absl::string_view kProxy = "10.0.0.1:4000";

std::vector<Cidr> Trusted() {
  return *ParseCidrList("10.0.0.0/8,fd00::/8,2001:db8:1::/48", ',');
}

std::string ClientOf(absl::string_view peer, absl::string_view forwarded,
                     absl::string_view x_forwarded_for) {
  return ClientAddress(*Endpoint::Parse(peer), forwarded, x_forwarded_for,
                       Trusted());
}

std::string ByForwarded(absl::string_view forwarded) {
  return ClientOf(kProxy, forwarded, "");
}

std::string ByXForwardedFor(absl::string_view x_forwarded_for) {
  return ClientOf(kProxy, "", x_forwarded_for);
}

TEST(ForwardedTest, AnUntrustedPeerIsTheClient) {
  constexpr absl::string_view kForwarded = "for=1.2.3.4";
  EXPECT_EQ(ClientOf("192.0.2.7:80", kForwarded, "1.2.3.4"), "192.0.2.7");
  EXPECT_EQ(ClientOf("[2001:db8::7]:80", kForwarded, ""), "2001:db8::7");
  EXPECT_EQ(ClientOf("[fe80::1%2]:80", "", "1.2.3.4"), "fe80::1%2");
  EXPECT_EQ(ClientOf("[::ffff:192.0.2.7]:80", kForwarded, ""), "192.0.2.7");
  EXPECT_EQ(ClientOf("[::192.0.2.7]:80", kForwarded, ""), "::192.0.2.7");
  EXPECT_EQ(ClientAddress(*Endpoint::Parse(kProxy), kForwarded, "", {}),
            "10.0.0.1");
}

TEST(ForwardedTest, APeerWithoutAnAddressIsNeverTrusted) {
  const std::vector<Cidr> all = *ParseCidrList("0.0.0.0/0,::/0", ',');
  for (const auto& trusted : {all, std::vector<Cidr>()}) {
    EXPECT_EQ(ClientAddress(*Endpoint::Parse("/run/x.sock"), "for=1.2.3.4",
                            "1.2.3.4", trusted),
              "unix:");
    EXPECT_EQ(ClientAddress(Endpoint(), "for=1.2.3.4", "1.2.3.4", trusted),
              "unknown");
  }
}

TEST(ForwardedTest, ATrustedPeerWithoutHeaderIsTheClient) {
  EXPECT_EQ(ClientOf(kProxy, "", ""), "10.0.0.1");
  EXPECT_EQ(ClientOf("[::ffff:10.0.0.1]:1", "", ""), "10.0.0.1");
  EXPECT_EQ(ClientOf("[fd00::1]:1", "", ""), "fd00::1");
}

TEST(ForwardedTest, TheFirstUntrustedFromTheRight) {
  EXPECT_EQ(ByXForwardedFor("1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ByXForwardedFor("1.2.3.4, 10.0.0.2,\t10.0.0.3"), "1.2.3.4");
  EXPECT_EQ(ByXForwardedFor("1.2.3.4,fd00::2,::ffff:10.0.0.3"), "1.2.3.4");
  EXPECT_EQ(ByForwarded("for=1.2.3.4, for=10.0.0.2"), "1.2.3.4");
  EXPECT_EQ(ClientOf("[::ffff:10.0.0.1]:1", "", "1.2.3.4"), "1.2.3.4");
}

TEST(ForwardedTest, WhatTheClientWroteIsNotBelieved) {
  EXPECT_EQ(ByXForwardedFor("6.6.6.6, 1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ByXForwardedFor("10.6.6.6, 1.2.3.4, 10.0.0.2"), "1.2.3.4");
  EXPECT_EQ(ByXForwardedFor("nonsense\", 1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ByForwarded("for=6.6.6.6, for=1.2.3.4"), "1.2.3.4");
  // Quotes that the client left open, and their like.
  for (const absl::string_view spoof :
       {"for=\"6.6.6.6", "for=6.6.6.6;x=\"", "for=\"\\", "\"\"\"", "=", ";,"}) {
    EXPECT_EQ(ByForwarded(absl::StrCat(spoof, ", for=1.2.3.4")), "1.2.3.4")
        << spoof;
    EXPECT_EQ(ByForwarded(absl::StrCat(spoof, ", for=\"[2001:db8::1]:9\"")),
              "2001:db8::1")
        << spoof;
  }
}

TEST(ForwardedTest, AllTrustedGivesTheLeftmost) {
  EXPECT_EQ(ByXForwardedFor("10.0.0.3, 10.0.0.2"), "10.0.0.3");
  EXPECT_EQ(ByXForwardedFor(", 10.0.0.2"), "10.0.0.2");
  EXPECT_EQ(ByForwarded("for=\"[fd00::3]\", for=10.0.0.2"), "fd00::3");
}

TEST(ForwardedTest, ForwardedGoesFirst) {
  EXPECT_EQ(ClientOf(kProxy, "for=1.2.3.4", "5.6.7.8"), "1.2.3.4");
  EXPECT_EQ(ClientOf(kProxy, "for=unknown", "5.6.7.8"), "10.0.0.1");
}

TEST(ForwardedTest, AnElementWithoutAddressEndsTheWalk) {
  for (const absl::string_view bad :
       {"unknown",        "_hidden",     "",
        "localhost",      "1.2.3",       "1.2.3.4.5",
        "1.2.3.400",      "1.2.3.4:",    "1.2.3.4:x",
        "1.2.3.4:123456", "1.2.3.4:_",   "1.2.3.4:80:80",
        "[::1",           "[]",          "[::1]80",
        "[::1]]",         "[::1]:",      "[1.2.3.4]",
        "[fe80::1%1]",    "fe80::1%1",   "::g",
        "::1]",           "/run/x.sock", "1.2.3.4 5.6.7.8",
        "\"1.2.3.4\"",    "for=1.2.3.4"}) {
    EXPECT_EQ(ByXForwardedFor(bad), "10.0.0.1") << bad;
    EXPECT_EQ(ByXForwardedFor(absl::StrCat("6.6.6.6, ", bad, ", 10.0.0.2")),
              "10.0.0.2")
        << bad;
  }
}

TEST(ForwardedTest, PortsAndBracketsAreTakenOff) {
  EXPECT_EQ(ByXForwardedFor("1.2.3.4:80"), "1.2.3.4");
  EXPECT_EQ(ByXForwardedFor("2001:db8::1"), "2001:db8::1");
  EXPECT_EQ(ByXForwardedFor("[2001:DB8:0::1]"), "2001:db8::1");
  EXPECT_EQ(ByXForwardedFor("[2001:db8::1]:80"), "2001:db8::1");
  EXPECT_EQ(ByXForwardedFor("::ffff:1.2.3.4"), "1.2.3.4");
}

TEST(ForwardedTest, ReadsForwardedElements) {
  EXPECT_EQ(ByForwarded("for=1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ByForwarded("For=\"[2001:db8::1]:4711\""), "2001:db8::1");
  EXPECT_EQ(ByForwarded("FOR=\"1.2.3.4:_a-b.c_9\""), "1.2.3.4");
  EXPECT_EQ(ByForwarded("for=\"\\1.2.3\\.4\""), "1.2.3.4");
  EXPECT_EQ(ByForwarded("proto=https;by=10.0.0.1;for=1.2.3.4"), "1.2.3.4");
  EXPECT_EQ(ByForwarded(";for=1.2.3.4; proto=https ;"), "1.2.3.4");
  EXPECT_EQ(ByForwarded("for=1.2.3.4;host=\"a, for=6.6.6.6\""), "1.2.3.4");
  EXPECT_EQ(ByForwarded("for=1.2.3.4;x=\"\\\", for=6.6.6.6\""), "1.2.3.4");
  EXPECT_EQ(ByForwarded("for=1.2.3.4;x=\"a, for=6.6.6.6\\\"\""), "1.2.3.4");
  EXPECT_EQ(ByForwarded("for=6.6.6.6,for=1.2.3.4;x=\"\\\\\""), "1.2.3.4");
  // Against the letter, but common.
  EXPECT_EQ(ByForwarded("for=[2001:db8::1]:4711"), "2001:db8::1");
  EXPECT_EQ(ByForwarded("for=1.2.3.4:80"), "1.2.3.4");
}

TEST(ForwardedTest, AForwardedElementWithoutAddressEndsTheWalk) {
  for (const absl::string_view bad : {"for=unknown",
                                      "for=\"_hidden\"",
                                      "for=_hidden:80",
                                      "for=",
                                      "for=\"\"",
                                      "for",
                                      "1.2.3.4",
                                      "=1.2.3.4",
                                      "proto=https",
                                      ";",
                                      "for =1.2.3.4",
                                      "for= 1.2.3.4",
                                      "for=\"1.2.3.4",
                                      "for=1.2.3.4\"",
                                      "for=\"1.2.3.4\\",
                                      "for=\"1.2.3.4\"x",
                                      "for=\"1.2.3.4\"x=y",
                                      "for=1.2.3.4 x=y",
                                      "for=1.2.3.4;for=1.2.3.4",
                                      "for=1.2.3.4;proto",
                                      "for=1.2.3.4 x",
                                      "for=\"2001:db8::1:4711\"",
                                      "for=2001:db8::1",
                                      "for=\"/run/x\"",
                                      "for=\"1.2.3.4, 5.6.7.8\"",
                                      "xfor=1.2.3.4"}) {
    EXPECT_EQ(ByForwarded(bad), "10.0.0.1") << bad;
    EXPECT_EQ(ByForwarded(absl::StrCat(bad, ", for=10.0.0.2")), "10.0.0.2")
        << bad;
  }
}

TEST(ForwardedTest, LooksAtSoManyElementsAndNoMore) {
  std::string proxies = "10.9.9.9";
  for (int i = 1; i < kMaxForwardedElements - 1; ++i) {
    absl::StrAppend(&proxies, ", 10.0.0.2");
  }
  EXPECT_EQ(ByXForwardedFor(absl::StrCat("1.2.3.4, ", proxies)), "1.2.3.4");
  EXPECT_EQ(ByXForwardedFor(absl::StrCat("1.2.3.4, ", proxies, ",10.0.0.2")),
            "10.9.9.9");
}

}  // namespace
}  // namespace baton
