#include "net/listen_url.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace baton {
namespace {

ListenUrl Url(absl::string_view text) {
  auto parsed = ParseListenUrl(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.value_or(ListenUrl());
}

// The reason alone, without the `bad listener "...": ` before it.
std::string ErrorOf(absl::string_view text) {
  const auto parsed = ParseListenUrl(text);
  if (parsed.ok()) return "accepted";
  EXPECT_TRUE(absl::IsInvalidArgument(parsed.status()));
  EXPECT_TRUE(absl::StartsWith(parsed.status().message(), "bad listener \""));
  const std::string message(parsed.status().message());
  return message.substr(message.find("\": ") + 3);
}

TEST(ListenUrlTest, LeastOfAUrl) {
  const ListenUrl url = Url("echo://127.0.0.1:7007");
  EXPECT_EQ(url.text, "echo://127.0.0.1:7007");
  EXPECT_EQ(url.scheme, "echo");
  EXPECT_EQ(url.transport, ListenUrl::Transport::kTcp);
  EXPECT_EQ(url.address, "127.0.0.1:7007");
  EXPECT_EQ(url.endpoint.ToString(), "127.0.0.1:7007");
  EXPECT_EQ(url.common.backlog, 4096);
  EXPECT_EQ(url.common.defer_accept_s, 0);
  EXPECT_FALSE(url.common.dual);
  EXPECT_FALSE(url.common.idle_timeout.has_value());
  EXPECT_FALSE(url.common.max_connections.has_value());
  EXPECT_TRUE(url.options.empty());
}

TEST(ListenUrlTest, EverythingOfAUrl) {
  const ListenUrl url = Url(
      "www-2.my_app://[::]:0?root=/srv/a%26b&dual=1&backlog=1&max_body=1MiB&"
      "idle_timeout=5m&max_connections=7&defer_accept=3&proxy_protocol=off");
  EXPECT_EQ(url.scheme, "www-2.my_app");
  EXPECT_EQ(url.endpoint.family(), AF_INET6);
  EXPECT_EQ(url.common.backlog, 1);
  EXPECT_EQ(url.common.defer_accept_s, 3);
  EXPECT_TRUE(url.common.dual);
  EXPECT_EQ(url.common.idle_timeout, absl::Minutes(5));
  EXPECT_EQ(url.common.max_connections, 7);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"max_body", "1MiB"}, {"root", "/srv/a&b"}};
  EXPECT_EQ(url.options, expected);
}

TEST(ListenUrlTest, Transports) {
  using Transport = ListenUrl::Transport;
  EXPECT_EQ(Url("echo+tcp://0.0.0.0:1").transport, Transport::kTcp);
  EXPECT_EQ(Url("echo+udp://0.0.0.0:1").transport, Transport::kUdp);
  const ListenUrl url = Url("echo+unix:///run/a%20b%3f.sock");
  EXPECT_EQ(url.transport, Transport::kUnix);
  EXPECT_EQ(url.address, "/run/a b?.sock");
  EXPECT_EQ(url.endpoint.path(), "/run/a b?.sock");
  EXPECT_EQ(ErrorOf("echo+sctp://0.0.0.0:1"),
            "unknown transport \"+sctp\": there is tcp (default), udp, unix");
  EXPECT_EQ(ErrorOf("echo+://0.0.0.0:1"),
            "unknown transport \"+\": there is tcp (default), udp, unix");
  EXPECT_EQ(ErrorOf("echo+udp+x://0.0.0.0:1"),
            "unknown transport \"+udp+x\": there is tcp (default), udp, unix");
}

TEST(ListenUrlTest, SchemesAreNamesButNotLookedUp) {
  EXPECT_EQ(Url("no-such-service://0.0.0.0:1").scheme, "no-such-service");
  for (const absl::string_view scheme :
       {"", "HTTP", " http", "1x", "-x", "a/b", "h\xc3\xa4"}) {
    EXPECT_TRUE(absl::StartsWith(ErrorOf(absl::StrCat(scheme, "://0.0.0.0:1")),
                                 "bad scheme"))
        << scheme;
  }
  for (const absl::string_view text :
       {"", "echo", "echo:0.0.0.0:1", "echo:/0.0.0.0:1", "0.0.0.0:80"}) {
    EXPECT_EQ(ErrorOf(text),
              "no ://; write SCHEME[+TRANSPORT]://ADDRESS[?option=value&...]")
        << text;
  }
}

TEST(ListenUrlTest, AddressesThatAreNone) {
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo://127.0.0.1"), "no port"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo://"), "write HOST:PORT"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo://?backlog=1"), "HOST:PORT"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo://:80"), "no host"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo://0.0.0.0:65536"), "65535"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo://::1:80"), "[ADDRESS]:PORT"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo://0.0.0.0:80/"), "has no path"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo:///run/x"), "transport +unix"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo://*:80"), "every IPv4 address"));
  EXPECT_TRUE(absl::StrContains(ErrorOf("echo+unix://run/x"),
                                "absolute path, as in echo+unix:///run/"));
  EXPECT_TRUE(absl::StrContains(
      ErrorOf(absl::StrCat("echo+unix:///", std::string(107, 'x'))),
      "at most 107 bytes, this one has 108"));
  EXPECT_EQ(ErrorOf("echo+unix:///a%00b"), "%00 is not allowed");
  EXPECT_EQ(ErrorOf("echo://0.0.0.0:1\n"),
            "control characters are not allowed");
}

TEST(ListenUrlTest, OptionsThatAreNone) {
  const auto error = [](absl::string_view query) {
    return ErrorOf(absl::StrCat("echo://0.0.0.0:1?", query));
  };
  for (const absl::string_view query :
       {"", "&", "a=1&", "&a=1", "a=1&&b=2", "=1", "A=1", "a b=1", "a-b=1"}) {
    EXPECT_TRUE(absl::StrContains(error(query), "options are name=value"))
        << query;
  }
  EXPECT_EQ(error("root"), "option \"root\" has no value");
  EXPECT_EQ(error("root="), "option \"root\" has no value");
  EXPECT_EQ(error("backlog=5&backlog=5"),
            "option \"backlog\" stands there twice");
  EXPECT_TRUE(absl::StrContains(error("root=%zz"), "option \"root\": \"%zz\""));
}

TEST(ListenUrlTest, OptionsOfOneNameStayInTheirOrder) {
  const absl::StatusOr<ListenUrl> url =
      ParseListenUrl("http://0.0.0.0:1?b=2&a=9&b=1");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->ToString(), "http://0.0.0.0:1?a=9&b=2&b=1");
  EXPECT_EQ(ParseListenUrl("http://0.0.0.0:1?b=2&b=2")->ToString(),
            "http://0.0.0.0:1?b=2&b=2");
  const char* const kEscaped = "http://0.0.0.0:1?b=x:%26&b=%3d=%25&b=%20";
  const absl::StatusOr<ListenUrl> escaped = ParseListenUrl(kEscaped);
  ASSERT_TRUE(escaped.ok()) << escaped.status();
  EXPECT_EQ(escaped->options, (std::vector<std::pair<std::string, std::string>>{
                                  {"b", "x:&"}, {"b", "==%"}, {"b", " "}}));
  EXPECT_EQ(ParseListenUrl(escaped->ToString())->options, escaped->options);
}

TEST(ListenUrlTest, ValuesOfCommonOptionsAreChecked) {
  const auto error = [](absl::string_view query) {
    return ErrorOf(absl::StrCat("echo://0.0.0.0:1?", query));
  };
  for (const absl::string_view value : {"0", "-1", "2147483648", "1x", "1.0"}) {
    EXPECT_EQ(error(absl::StrCat("backlog=", value)),
              absl::StrCat("option \"backlog\": \"", value,
                           "\" is not a whole number from 1 to 2147483647"));
  }
  EXPECT_TRUE(absl::StrContains(error("idle_timeout=20"), "ms, s, m, h"));
  EXPECT_TRUE(absl::StrContains(error("max_connections=-1"), "from 0 to"));
  EXPECT_TRUE(absl::StrContains(error("defer_accept=3601"), "from 0 to 3600"));
  EXPECT_TRUE(absl::StrContains(error("defer_accept=1s"), "from 0 to 3600"));
  EXPECT_EQ(error("dual=yes"), "option \"dual\": \"yes\" is neither 0 nor 1");
  EXPECT_TRUE(absl::StrContains(error("dual=1"), "needs the address [::]"));
  EXPECT_EQ(error("dual=0"), "accepted");
}

TEST(ListenUrlTest, ProxyProtocolIsRefusedWhileThereIsNone) {
  for (const absl::string_view value : {"v1", "v2", "any"}) {
    EXPECT_EQ(
        ErrorOf(absl::StrCat("echo://0.0.0.0:1?proxy_protocol=", value)),
        absl::StrCat("option \"proxy_protocol\": \"", value,
                     "\" is not available yet in this version, only off is"));
  }
  EXPECT_EQ(ErrorOf("echo://0.0.0.0:1?proxy_protocol=v3"),
            "option \"proxy_protocol\": unknown value \"v3\": there is off");
  EXPECT_EQ(ErrorOf("echo://0.0.0.0:1?proxy_from=10.0.0.0/8"),
            "option \"proxy_from\": not available yet in this version");
}

TEST(ListenUrlTest, CommonOptionsWithoutEffectAreRefused) {
  for (const absl::string_view option :
       {"backlog=1", "idle_timeout=1s", "max_connections=1", "defer_accept=1",
        "proxy_protocol=off"}) {
    EXPECT_TRUE(
        absl::EndsWith(ErrorOf(absl::StrCat("echo+udp://0.0.0.0:1?", option)),
                       "has no effect on udp"))
        << option;
  }
  EXPECT_EQ(ErrorOf("echo+unix:///x?defer_accept=1"),
            "option \"defer_accept\" has no effect on unix");
  EXPECT_EQ(ErrorOf("echo+unix:///x?dual=0"),
            "option \"dual\" has no effect on unix");
  EXPECT_TRUE(Url("echo+udp://[::]:1?dual=1").common.dual);
}

TEST(ListenUrlTest, OneCanonicalTextForOneMeaning) {
  const char* const kCases[][2] = {
      {"echo://127.0.0.1:7007", "echo://127.0.0.1:7007"},
      {"echo+tcp://[0::1]:080", "echo://[::1]:80"},
      {"echo://LocalHost:80", "echo://localhost:80"},
      {"echo+udp://0.0.0.0:0", "echo+udp://0.0.0.0:0"},
      {"echo+unix:///run/a%2Cb%41 c", "echo+unix:///run/a%2cbA%20c"},
      {"echo://0.0.0.0:1?b=2&a=%31", "echo://0.0.0.0:1?a=1&b=2"},
      {"echo://0.0.0.0:1?backlog=4096&dual=0&defer_accept=0"
       "&proxy_protocol=off",
       "echo://0.0.0.0:1"},
      {"echo://[::]:1?z=%26&max_connections=0&idle_timeout=0s&dual=1"
       "&defer_accept=2&backlog=010&a=x=y",
       "echo://[::]:1?backlog=10&defer_accept=2&dual=1&idle_timeout=0s"
       "&max_connections=0&a=x=y&z=%26"},
  };
  for (const auto& [text, canonical] : kCases) {
    EXPECT_EQ(Url(text).ToString(), canonical);
    EXPECT_EQ(Url(canonical).ToString(), canonical);
  }
}

TEST(ListenUrlTest, ErrorsStayOnOneLineWhateverTheInput) {
  const auto parsed = ParseListenUrl("echo://0.0.0.0:1\r\nforged: line\x1b[2J");
  EXPECT_FALSE(absl::StrContains(parsed.status().message(), "\n"));
  EXPECT_FALSE(absl::StrContains(parsed.status().message(), "\x1b"));
}

TEST(ListenUrlTest, ResolveLooksUpHostNamesOnly) {
  ListenUrl url = Url("echo://localhost:7007");
  EXPECT_EQ(url.endpoint.family(), AF_UNSPEC);
  ASSERT_TRUE(Resolve(url).ok());
  EXPECT_EQ(url.endpoint.ToString(), "127.0.0.1:7007");
  EXPECT_EQ(url.ToString(), "echo://localhost:7007");

  ListenUrl literal = Url("echo://[::1]:7007");
  ASSERT_TRUE(Resolve(literal).ok());
  EXPECT_EQ(literal.endpoint.ToString(), "[::1]:7007");
}

TEST(ListenUrlTest, ResolveNamesTheHostItCannotFind) {
  // RFC 6761 section 6.4: the top-level domain invalid holds no name.
  ListenUrl url = Url("echo://nowhere.invalid:7007");
  const absl::Status status = Resolve(url);
  ASSERT_FALSE(status.ok());
  EXPECT_TRUE(absl::StartsWith(status.message(), "resolve nowhere.invalid: "))
      << status;
  EXPECT_EQ(url.endpoint.family(), AF_UNSPEC);
}

}  // namespace
}  // namespace baton
