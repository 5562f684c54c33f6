#include "worker/http/http_parser.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "worker/http/http_head.h"

namespace baton {
namespace {

using Kind = HttpParse::Kind;

class HttpParserTest : public ::testing::Test {
 protected:
  HttpParse Parse(absl::string_view bytes) {
    return parser_.Parse(bytes, 0, &head_);
  }
  // The status that a head is refused with, 0 for one that is taken, -1 for
  // one that is incomplete.
  int Status(absl::string_view bytes) {
    bytes_ = std::string(bytes);
    const HttpParse parsed = Parse(bytes_);
    if (parsed.kind == Kind::kIncomplete) return -1;
    return parsed.kind == Kind::kComplete ? 0 : parsed.status;
  }
  // Of a request for / with these lines as well.
  int WithFields(absl::string_view lines) {
    return Status(absl::StrCat("GET / HTTP/1.1\r\nHost: h\r\n", lines, "\r\n"));
  }
  int WithTarget(absl::string_view target, absl::string_view method = "GET") {
    return Status(
        absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: h\r\n\r\n"));
  }

  std::string bytes_;  // that head_ points into
  HttpParser parser_;
  HttpHead head_;
};

TEST_F(HttpParserTest, TakesAHeadApart) {
  const std::string bytes =
      "POST /a/b?c=d HTTP/1.1\r\nHost: example.org:80\r\nX-One:  two \t\r\n"
      "Empty:\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\nhello";
  ASSERT_EQ(Status(bytes), 0);
  EXPECT_EQ(head_.method, HttpMethod::kPost);
  EXPECT_EQ(head_.method_name, "POST");
  EXPECT_EQ(head_.target, "/a/b?c=d");
  EXPECT_EQ(head_.path, "/a/b");
  EXPECT_EQ(head_.query, "c=d");
  EXPECT_EQ(head_.host, "example.org:80");
  EXPECT_EQ(head_.Field("x-one"), "two");
  EXPECT_EQ(head_.Field("empty"), "");
  EXPECT_EQ(head_.fields.size(), 5u);
  EXPECT_EQ(head_.content_length, 12u);
  EXPECT_EQ(head_.size, bytes.size() - 5);
  EXPECT_TRUE(head_.expects_continue);
  EXPECT_TRUE(head_.keep_alive);
  EXPECT_FALSE(head_.chunked);
}

TEST_F(HttpParserTest, NothingOfOneHeadIsInTheNext) {
  ASSERT_EQ(Status("PUT /x?y HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                   "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"),
            0);
  ASSERT_EQ(Status("GET / HTTP/1.0\r\n\r\n"), 0);
  EXPECT_EQ(head_.method, HttpMethod::kGet);
  EXPECT_EQ(head_.query, "");
  EXPECT_EQ(head_.host, "");
  EXPECT_FALSE(head_.chunked);
  EXPECT_FALSE(head_.expects_continue);
  EXPECT_EQ(head_.fields.size(), 0u);
  EXPECT_EQ(head_.content_length, 0u);
}

TEST_F(HttpParserTest, KeepAlive) {
  const auto keeps = [this](absl::string_view version, absl::string_view line) {
    EXPECT_EQ(Status(absl::StrCat("GET / HTTP/", version, "\r\nHost: h\r\n",
                                  line, "\r\n")),
              0);
    return head_.keep_alive;
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_FALSE(keeps("1.1", "Connection: close\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: x, Close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_TRUE(keeps("1.0", "Connection: Keep-Alive\r\n"));
}

TEST_F(HttpParserTest, AnUpgradeIsDeclinedByGoingOn) {
  EXPECT_EQ(WithFields("Connection: Upgrade\r\nUpgrade: h2c\r\n"), 0);
  EXPECT_TRUE(head_.keep_alive);
}

TEST_F(HttpParserTest, EveryBeginningIsIncomplete) {
  const std::string bytes =
      "GET /x HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nA:b\r\n\r\n";
  for (size_t size = 1; size < bytes.size(); ++size) {
    const std::string part = bytes.substr(0, size);
    EXPECT_EQ(Status(part), -1) << part;
    EXPECT_EQ(parser_.Probe(part).kind, Kind::kIncomplete) << part;
    // From wherever an earlier look ended.
    EXPECT_EQ(parser_.Parse(bytes, size, &head_).kind, Kind::kComplete) << size;
  }
}

TEST_F(HttpParserTest, ProbingFindsWhatCanNotBecomeARequest) {
  EXPECT_EQ(parser_.Probe("\x16\x03\x01\x02").status, 400) << "TLS";
  EXPECT_EQ(parser_.Probe("GET\x01").status, 400);
  EXPECT_EQ(parser_.Probe("GET / HTTX").status, 400);
}

// RFC 9112 section 2.2.
TEST_F(HttpParserTest, LineEnds) {
  EXPECT_EQ(Status("GET / HTTP/1.1\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost: h\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\nHost: h\r\n\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(WithFields("A: b\rc\r\n"), 400);
  EXPECT_EQ(WithFields(absl::string_view("A: b\0c\r\n", 8)), 400);
}

// RFC 9112 section 3.
TEST_F(HttpParserTest, RequestLines) {
  EXPECT_EQ(Status("GET  / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET /  HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.1 \r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Status(" GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET /\r\nHost: h\r\n\r\n"), 505) << "HTTP/0.9";
  EXPECT_EQ(Status("GET / http/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.2\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(Status("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(Status("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400);
  EXPECT_EQ(WithTarget("/", "BREW"), 501);
  EXPECT_EQ(WithTarget("/", "get"), 501);
  EXPECT_EQ(WithTarget("/", "G(T"), 400);
  EXPECT_EQ(WithTarget("/", "PROPFIND"), 0);
  EXPECT_EQ(head_.method, HttpMethod::kOther);
  EXPECT_EQ(head_.method_name, "PROPFIND");
}

// RFC 9112 section 3.2.
TEST_F(HttpParserTest, Targets) {
  EXPECT_EQ(WithTarget("/a#b"), 400);
  EXPECT_EQ(WithTarget("a"), 400);
  EXPECT_EQ(WithTarget("ftp://h/"), 400);
  EXPECT_EQ(WithTarget("http:///x"), 400);
  EXPECT_EQ(WithTarget("*"), 400);
  EXPECT_EQ(WithTarget("*", "OPTIONS"), 0);
  EXPECT_EQ(WithTarget("h:443", "CONNECT"), 501);
  EXPECT_EQ(WithTarget("http://other:81/p?q"), 0);
  EXPECT_EQ(head_.host, "other:81") << "not the field's";
  EXPECT_EQ(head_.path, "/p");
  EXPECT_EQ(head_.query, "q");
  EXPECT_EQ(WithTarget("http://other"), 0);
  EXPECT_EQ(head_.path, "/");
  EXPECT_EQ(WithTarget("http://other?q"), 0);
  EXPECT_EQ(head_.path, "/");
  EXPECT_EQ(head_.query, "q");
}

// RFC 9110 section 7.2, RFC 9112 section 3.2.
TEST_F(HttpParserTest, Hosts) {
  EXPECT_EQ(Status("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.0\r\n\r\n"), 0);
  EXPECT_EQ(WithFields("Host: h\r\n"), 400) << "a second one";
  for (absl::string_view host : {"", "h", "h:", "h:80", "1.2.3.4:80", "[::1]",
                                 "[::1]:80", "a-b.example."}) {
    EXPECT_EQ(
        Status(absl::StrCat("GET / HTTP/1.1\r\nHost: ", host, "\r\n\r\n")), 0)
        << host;
  }
  for (absl::string_view host :
       {"h h", "h/x", "h:x", "h:123456", "[::1", "::1", "[]", "[::1]x", "u@h",
        "h,g:h", ":80", "[x]"}) {
    EXPECT_EQ(
        Status(absl::StrCat("GET / HTTP/1.1\r\nHost: ", host, "\r\n\r\n")), 400)
        << host;
  }
}

// RFC 9112 section 5.
TEST_F(HttpParserTest, Fields) {
  EXPECT_EQ(WithFields("A : b\r\n"), 400) << "a space before the colon";
  EXPECT_EQ(WithFields(": b\r\n"), 400);
  EXPECT_EQ(WithFields("A\r\n"), 400);
  EXPECT_EQ(WithFields("A b: c\r\n"), 400);
  EXPECT_EQ(WithFields("A: b\r\n c\r\n"), 400) << "folded";
  EXPECT_EQ(WithFields("A: b\r\n\tc\r\n"), 400);
  EXPECT_EQ(Status("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), 400);
  EXPECT_EQ(WithFields("A: \xc3\xa4\r\n"), 0) << "obs-text";
  EXPECT_EQ(WithFields("Expect: more\r\n"), 417);
}

// RFC 9112 sections 6.1 and 6.3.
TEST_F(HttpParserTest, Lengths) {
  const auto post = [this](absl::string_view lines, absl::string_view version) {
    return Status(absl::StrCat("POST / HTTP/", version, "\r\nHost: h\r\n",
                               lines, "\r\n"));
  };
  EXPECT_EQ(post("Content-Length: 5\r\n", "1.1"), 0);
  for (absl::string_view length :
       {"", "+5", "-5", "5 5", "5,5", "0x5", "5a", "5.0",
        "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_EQ(post(absl::StrCat("Content-Length: ", length, "\r\n"), "1.1"),
              400)
        << length;
  }
  EXPECT_EQ(post("Content-Length: 5\r\nContent-Length: 5\r\n", "1.1"), 400);
  EXPECT_EQ(post("Transfer-Encoding: Chunked\r\n", "1.1"), 0);
  EXPECT_TRUE(head_.chunked);
  EXPECT_EQ(post("Transfer-Encoding: chunked\r\n", "1.0"), 400);
  for (absl::string_view coding :
       {"gzip", "gzip, chunked", "chunked, chunked", "chunked, gzip",
        "xchunked", "identity", ""}) {
    EXPECT_EQ(post(absl::StrCat("Transfer-Encoding: ", coding, "\r\n"), "1.1"),
              400)
        << coding;
  }
  EXPECT_EQ(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                 "1.1"),
            400);
  EXPECT_EQ(post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "1.1"),
            400);
  EXPECT_EQ(post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "1.1"),
            400);
}

TEST_F(HttpParserTest, Limits) {
  std::string fields;
  for (int i = 0; i < HttpHead::kMaxFields - 1; ++i) fields += "A: b\r\n";
  EXPECT_EQ(WithFields(fields), 0);
  EXPECT_EQ(WithFields(fields + "A: b\r\n"), 431);
  const std::string large(HttpHead::kMaxBytes, 'x');
  EXPECT_EQ(WithFields(absl::StrCat("A: ", large, "\r\n")), 431);
}

}  // namespace
}  // namespace baton
