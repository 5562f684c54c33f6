#include "worker/http/http_body.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "worker/http/http_head.h"
#include "worker/http/http_parser.h"

namespace baton {
namespace {

using Kind = HttpBodyDecoder::Step::Kind;

struct Decoded {
  std::string body;
  int status = 0;     // it was refused with, or -1: incomplete
  size_t unread = 0;  // behind it
};

// Feeds a body in pieces of `piece` bytes, as a connection would.
Decoded Decode(absl::string_view fields, absl::string_view bytes, size_t piece,
               uint64_t max_body = 1000) {
  HttpParser parser;
  HttpHead head;
  const std::string text =
      absl::StrCat("POST / HTTP/1.1\r\nHost: h\r\n", fields, "\r\n");
  EXPECT_EQ(parser.Parse(text, 0, &head).kind, HttpParse::Kind::kComplete);
  HttpBodyDecoder decoder(head, parser.state(), max_body);
  Decoded decoded;
  std::string unread;
  while (true) {
    HttpBodyDecoder::Step step = decoder.Decode({});
    size_t at_least = 1;
    while (step.kind == Kind::kMore) {
      while (unread.size() < at_least) {
        if (bytes.empty()) {
          decoded.status = -1;
          return decoded;
        }
        const absl::string_view next = bytes.substr(0, piece);
        unread.append(next.data(), next.size());
        bytes.remove_prefix(next.size());
      }
      // In memory of its own size, so that a sanitizer sees a look beyond it.
      const std::vector<char> exact(unread.begin(), unread.end());
      step = decoder.Decode({exact.data(), exact.size()});
      decoded.body.append(step.data.data(), step.data.size());
      unread.erase(0, step.consumed);
      at_least = unread.size() + 1;
    }
    if (step.kind == Kind::kData) continue;
    if (step.kind == Kind::kRejected) decoded.status = step.status;
    decoded.unread = unread.size() + bytes.size();
    EXPECT_EQ(decoded.body.size(), decoder.received());
    return decoded;
  }
}

constexpr absl::string_view kChunked = "Transfer-Encoding: chunked\r\n";

TEST(HttpBodyTest, ASizedBodyEndsWhereItSays) {
  for (size_t piece = 1; piece < 10; ++piece) {
    const Decoded decoded = Decode("Content-Length: 5\r\n", "helloGET", piece);
    EXPECT_EQ(decoded.body, "hello");
    EXPECT_EQ(decoded.status, 0);
    EXPECT_EQ(decoded.unread, 3u);
  }
  EXPECT_EQ(Decode("Content-Length: 5\r\n", "hell", 9).status, -1);
  EXPECT_EQ(Decode("Content-Length: 1001\r\n", "", 9).status, 413);
}

TEST(HttpBodyTest, ChunksHoweverTheyCome) {
  const absl::string_view bytes =
      "5\r\nhello\r\n1;a=\"b c\"\r\n \r\n00A\r\n0123456789\r\n0\r\nT: x\r\n"
      "U: y\r\n\r\nGET";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Decoded decoded = Decode(kChunked, bytes, piece);
    EXPECT_EQ(decoded.body, "hello 0123456789") << piece;
    EXPECT_EQ(decoded.status, 0) << piece;
    EXPECT_EQ(decoded.unread, 3u) << piece;
  }
  for (size_t size = 0; size + 4 < bytes.size(); ++size) {
    EXPECT_EQ(Decode(kChunked, bytes.substr(0, size), 7).status, -1) << size;
  }
}

TEST(HttpBodyTest, AnEmptyChunkedBody) {
  const Decoded decoded = Decode(kChunked, "0\r\n\r\n", 2);
  EXPECT_EQ(decoded.status, 0);
  EXPECT_EQ(decoded.body, "");
}

// RFC 9112 section 7.1.
TEST(HttpBodyTest, BadChunksAreRefused) {
  for (absl::string_view bytes :
       {"x\r\n", "-1\r\n", "5\nhello\r\n", "5 \r\nhello\r\n", "\r\n",
        "5\r\nhelloX\r\n", "5\r\nhello\n0\r\n\r\n", "0x5\r\nhello\r\n",
        "5;a\rb\r\nhello\r\n", "0\r\nA: b\n\r\n", "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\nA b\r\n\r\n", "0\r\n\n"}) {
    for (size_t piece : {1, 3, 100}) {
      EXPECT_EQ(Decode(kChunked, bytes, piece).status, 400) << bytes;
    }
  }
}

TEST(HttpBodyTest, Limits) {
  EXPECT_EQ(Decode(kChunked, "3e9\r\n", 9).status, 413) << "when announced";
  EXPECT_EQ(Decode(kChunked, "3e8\r\n", 9).status, -1);
  EXPECT_EQ(Decode(kChunked, "3\r\nabc\r\n3\r\nabc\r\n", 9, 5).status, 413);
  EXPECT_EQ(
      Decode(kChunked, absl::StrCat("5;", std::string(5000, 'x')), 100).status,
      400);
  EXPECT_EQ(
      Decode(kChunked, absl::StrCat("0\r\nA: ", std::string(9000, 'x')), 100)
          .status,
      431);
}

}  // namespace
}  // namespace baton
