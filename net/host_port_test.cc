#include "net/host_port.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace baton {
namespace {

std::string ErrorOf(absl::string_view text) {
  const auto parsed = ParseHostPort(text);
  return parsed.ok() ? "accepted" : std::string(parsed.status().message());
}

TEST(HostPortTest, TellsTheThreeKindsApart) {
  const auto v4 = ParseHostPort("127.0.0.1:80");
  ASSERT_TRUE(v4.ok()) << v4.status();
  EXPECT_EQ(v4->kind, HostPort::Kind::kIpv4);
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 80);

  const auto v6 = ParseHostPort("[::1]:65535");
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(v6->kind, HostPort::Kind::kIpv6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 65535);

  const auto name = ParseHostPort("Local-Host.example:0");
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->kind, HostPort::Kind::kName);
  EXPECT_EQ(name->host, "local-host.example");
  EXPECT_EQ(name->port, 0);
}

TEST(HostPortTest, SaysWhatIsMissing) {
  EXPECT_EQ(ErrorOf("127.0.0.1"),
            "bad address \"127.0.0.1\": no port; write HOST:PORT");
  EXPECT_EQ(ErrorOf("127.0.0.1:"),
            "bad address \"127.0.0.1:\": no port; write HOST:PORT");
  EXPECT_EQ(ErrorOf(""), "bad address \"\": empty; write HOST:PORT");
  EXPECT_EQ(ErrorOf("[::1]"),
            "bad address \"[::1]\": no port; write [ADDRESS]:PORT");
  EXPECT_EQ(ErrorOf("[::1]80"),
            "bad address \"[::1]80\": no port; write [ADDRESS]:PORT");
  EXPECT_EQ(ErrorOf("[::1"), "bad address \"[::1\": no closing ]");
  EXPECT_EQ(ErrorOf("::1:80"),
            "bad address \"::1:80\": an IPv6 address is written "
            "[ADDRESS]:PORT");
  EXPECT_TRUE(absl::StrContains(ErrorOf(":80"), "no host; 0.0.0.0 is every"));
}

TEST(HostPortTest, RefusesPortsThatAreNone) {
  EXPECT_EQ(ErrorOf("h:65536"),
            "bad address \"h:65536\": the port 65536 is above 65535");
  for (const absl::string_view port :
       {"http", "-1", "+80", " 80", "80 ", "80/", "0x50", "8.0"}) {
    EXPECT_TRUE(absl::StrContains(ErrorOf(absl::StrCat("h:", port)),
                                  "is not a decimal number"))
        << port;
  }
  EXPECT_TRUE(absl::StrContains(ErrorOf("h:99999999999999999999999999999"),
                                "the port 99999999999999999999 is above"));
}

TEST(HostPortTest, RefusesHostsThatAreNone) {
  for (const absl::string_view host :
       {"**", "a b", "user@host", "-x", "a/b", "h\xc3\xa4", "a%41", "a,b"}) {
    EXPECT_TRUE(absl::StrContains(ErrorOf(absl::StrCat(host, ":80")),
                                  "neither an IP address nor a host name"))
        << host;
  }
  EXPECT_TRUE(absl::StrContains(ErrorOf("*:80"), "0.0.0.0 is every IPv4"));
  EXPECT_EQ(ErrorOf(absl::StrCat(std::string(253, 'a'), ":80")), "accepted");
  EXPECT_NE(ErrorOf(absl::StrCat(std::string(254, 'a'), ":80")), "accepted");
  EXPECT_NE(ErrorOf(absl::string_view("a\0b:80", 6)), "accepted");
}

}  // namespace
}  // namespace baton
