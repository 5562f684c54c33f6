// What RFC 9110 and RFC 9112 ask of a server, request by request: each is sent
// whole, in two pieces cut at every position, and byte by byte, and must get
// the same answer.
//
// With --vectors=FILE it also goes through requests with the verdicts of other
// servers, one JSON object a line: {"id", "expect": "ok"|"bad", "hex",
// "refused_by", "taken_by"}, the last two of six servers.

#include <algorithm>
#include <array>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "worker/http/http_request.h"
#include "worker/http/testing/http_tester.h"

namespace baton {
namespace {

using testing::HttpAnswer;
using testing::HttpTester;

std::string& VectorsPath() {
  static auto& path = *new std::string();
  return path;
}

HttpResponse Look(const HttpRequest& request) {
  return HttpResponse::Text(
      absl::StrCat(request.path(), " ", request.body().size()));
}

const HttpService& Service() {
  static const HttpService& service = []() -> const HttpService& {
    auto& made = *new HttpService();
    made.Get("/", Look).Post("/", Look).Get("/a", Look);
    return made;
  }();
  return service;
}

struct Outcome {
  std::string statuses;  // "200 400"
  bool closed = false;   // by the server, to new requests

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
  return out << outcome.statuses << (outcome.closed ? " closed" : " open");
}

Outcome OutcomeOf(absl::Span<const absl::string_view> pieces) {
  HttpTester tester(Service(), {.max_body = 1000});
  for (absl::string_view piece : pieces) tester.pair().Send(piece);
  Outcome outcome;
  const std::string bytes = tester.pair().Received();
  const bool head = absl::StartsWith(pieces[0], "HEAD");
  for (const HttpAnswer& answer : HttpTester::Parse(bytes, head)) {
    absl::StrAppend(&outcome.statuses, outcome.statuses.empty() ? "" : " ",
                    answer.status);
  }
  outcome.closed = tester.pair().write_closed();
  return outcome;
}

struct Case {
  absl::string_view clause;
  absl::string_view request;
  absl::string_view statuses;
  bool closed = true;
};

#define H "Host: h\r\n"
#define G "GET / HTTP/1.1\r\nHost: h\r\n"
#define P "POST / HTTP/1.1\r\nHost: h\r\n"
#define C "Transfer-Encoding: chunked\r\n\r\n"

constexpr bool kOpen = false;

constexpr Case kCases[] = {
    {"9112 2.2: a message is taken", G "\r\n", "200", kOpen},
    {"9112 2.2: empty lines before it are skipped", "\r\n\r\n" G "\r\n", "200",
     kOpen},
    {"9112 2.2: a bare CR before it", "\r\rGET / HTTP/1.1\r\n" H "\r\n", "400"},
    {"9112 2.2: a bare LF before it", "\nGET / HTTP/1.1\r\n" H "\r\n", "400"},
    {"9112 2.2: white space before the first field",
     "GET / HTTP/1.1\r\n " H "\r\n", "400"},
    {"9112 2.2: a bare CR", G "A: b\rc\r\n\r\n", "400"},
    {"9112 2.2: a bare LF ends no line", "GET / HTTP/1.1\n" H "\r\n", "400"},
    {"9112 2.3: a version that is not served", "GET / HTTP/2.0\r\n" H "\r\n",
     "505"},
    {"9112 2.3: the version's name has its case", "GET / http/1.1\r\n" H "\r\n",
     "400"},
    {"9112 3: more than one space", "GET  / HTTP/1.1\r\n" H "\r\n", "400"},
    {"9112 3: no target", "GET HTTP/1.1\r\n" H "\r\n", "400"},
    {"9112 3: an unknown method", "BREW / HTTP/1.1\r\n" H "\r\n", "501"},
    {"9112 3.1: methods have their case", "get / HTTP/1.1\r\n" H "\r\n", "501"},
    {"9112 3.2: no Host", "GET / HTTP/1.1\r\n\r\n", "400"},
    {"9112 3.2: two Hosts", G H "\r\n", "400"},
    {"9112 3.2: a bad Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
    {"9112 3.2: an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "200",
     kOpen},
    {"9112 3.2.1: a fragment", "GET /#x HTTP/1.1\r\n" H "\r\n", "400"},
    {"9112 3.2.2: the absolute form", "GET http://o/a HTTP/1.1\r\n" H "\r\n",
     "200", kOpen},
    {"9112 3.2.3: the authority form", "CONNECT h:1 HTTP/1.1\r\n" H "\r\n",
     "501"},
    {"9112 3.2.4: the asterisk form", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "204",
     kOpen},
    {"9112 3.2.4: for others than OPTIONS", "GET * HTTP/1.1\r\n" H "\r\n",
     "400"},
    {"9112 5.1: a space before the colon", G "A : b\r\n\r\n", "400"},
    {"9112 5.1: no name", G ": b\r\n\r\n", "400"},
    {"9112 5.1: no colon", G "A\r\n\r\n", "400"},
    {"9112 5.2: a folded field", G "A: b\r\n c\r\n\r\n", "400"},
    {"9110 5.5: a NUL",
     {G "A: \0\r\n\r\n", sizeof(G "A: \0\r\n\r\n") - 1},
     "400"},
    {"9110 5.5: obs-text", G "A: \xe4\r\n\r\n", "200", kOpen},
    {"9112 6.1: both lengths", P "Content-Length: 1\r\n" C "0\r\n\r\n", "400"},
    {"9112 6.1: the same, the other way",
     P "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
     "400"},
    {"9112 6.1: a coding behind chunked",
     P "Transfer-Encoding: chunked, gzip\r\n\r\n", "400"},
    {"9112 6.1: an unknown coding", P "Transfer-Encoding: xx\r\n\r\n", "400"},
    {"9112 6.1: chunked twice",
     P "Transfer-Encoding: chunked\r\n" C "0\r\n\r\n", "400"},
    {"9112 6.1: a coding in HTTP/1.0", "POST / HTTP/1.0\r\n" C "0\r\n\r\n",
     "400"},
    {"9112 6.2: a length", P "Content-Length: 2\r\n\r\nab", "200", kOpen},
    {"9112 6.2: a length of nothing", P "Content-Length: 0\r\n\r\n", "200",
     kOpen},
    {"9112 6.3: two lengths",
     P "Content-Length: 2\r\nContent-Length: 2\r\n\r\n"
       "ab",
     "400"},
    {"9112 6.3: a list of lengths", P "Content-Length: 2, 2\r\n\r\nab", "400"},
    {"9112 6.3: a length with a sign", P "Content-Length: +2\r\n\r\nab", "400"},
    {"9112 6.3: a length too long for a number",
     P "Content-Length: 99999999999999999999\r\n\r\n", "400"},
    {"9112 6.3: neither", P "\r\n", "200", kOpen},
    {"9112 7.1: chunks", P C "2\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n", "200",
     kOpen},
    {"9112 7.1: a size with a sign", P C "+2\r\nab\r\n0\r\n\r\n", "400"},
    {"9112 7.1: a size in another base", P C "0x2\r\nab\r\n0\r\n\r\n", "400"},
    {"9112 7.1: a size without digits", P C "\r\nab\r\n0\r\n\r\n", "400"},
    {"9112 7.1: a bare LF behind the size", P C "2\nab\r\n0\r\n\r\n", "400"},
    {"9112 7.1: data longer than its chunk", P C "2\r\nabc\r\n0\r\n\r\n",
     "400"},
    {"9112 7.1.1: an extension", P C "2;a=\"b c\"\r\nab\r\n0\r\n\r\n", "200",
     kOpen},
    {"9112 7.1.2: trailer fields", P C "0\r\nA: b\r\n\r\n", "200", kOpen},
    {"9112 7.1.2: a bare LF in them", P C "0\r\nA: b\n\r\n", "400"},
    {"9112 9.3: HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n", "200"},
    {"9112 9.3: unless asked",
     "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200", kOpen},
    {"9112 9.3: HTTP/1.1 closes when asked", G "Connection: close\r\n\r\n",
     "200"},
    {"9112 9.3.2: pipelining", G "\r\n" G "\r\n", "200 200", kOpen},
    {"9112 9.3.2: nothing behind a refusal is served",
     G "\r\nGET / HTTP/1.1\r\n\r\n" G "\r\n", "200 400"},
    {"9112 9.3: close goes before keep-alive",
     "GET / HTTP/1.0\r\nConnection: keep-alive, close\t\r\n\r\n", "200"},
    {"9112 9.6: nothing behind a close is served",
     G "Connection: close\r\n\r\n" G "\r\n", "200"},
    {"9110 7.8: an upgrade is declined",
     G "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", "200", kOpen},
    {"9110 9.3.2: HEAD", "HEAD / HTTP/1.1\r\n" H "\r\n", "200", kOpen},
    {"9110 10.1.1: an unknown expectation", G "Expect: cake\r\n\r\n", "417"},
    {"9110 10.1.1: but not of HTTP/1.0",
     "GET / HTTP/1.0\r\nExpect: cake\r\n\r\n", "200"},
    {"9110 4.2.3: schemes in any case", "GET HTTP://h/ HTTP/1.1\r\n" H "\r\n",
     "200", kOpen},
    {"9110 15.5.5: no such path", "GET /b HTTP/1.1\r\n" H "\r\n", "404", kOpen},
    {"9110 15.5.6: a method that the path has not",
     "PUT /a HTTP/1.1\r\n" H "\r\n", "405", kOpen},
    {"9110 15.5.14: too large a body", P "Content-Length: 1001\r\n\r\n", "413"},
    {"9110 15.5.14: too large a chunk", P C "3e9\r\n", "413"},
};

#undef H
#undef G
#undef P
#undef C

TEST(HttpConformanceTest, EveryClauseHoweverItsRequestComes) {
  for (const Case& one : kCases) {
    SCOPED_TRACE(one.clause);
    const Outcome expected = {std::string(one.statuses), one.closed};
    const absl::string_view all = one.request;
    EXPECT_EQ(OutcomeOf({all}), expected);
    for (size_t cut = 1; cut < all.size(); ++cut) {
      EXPECT_EQ(OutcomeOf({all.substr(0, cut), all.substr(cut)}), expected)
          << "cut at " << cut;
    }
    std::vector<absl::string_view> bytes;
    for (size_t i = 0; i < all.size(); ++i) bytes.push_back(all.substr(i, 1));
    EXPECT_EQ(OutcomeOf(bytes), expected) << "byte by byte";
  }
}

// As a client sees it that can't tell a missing page from a refused request.
bool IsRefusal(absl::string_view statuses) {
  constexpr std::array<absl::string_view, 7> kTaken = {
      "401", "403", "404", "405", "412", "416", "426"};
  const absl::string_view first = statuses.substr(0, 3);
  if (first.empty() || first < "400") return false;
  return std::find(kTaken.begin(), kTaken.end(), first) == kTaken.end();
}

TEST(HttpConformanceTest, TheVerdictsOfOtherServers) {
  if (VectorsPath().empty()) GTEST_SKIP() << "no --vectors";
  constexpr int kMost = 5;  // of six
  std::ifstream file(VectorsPath());
  ASSERT_TRUE(file) << VectorsPath();
  int bad = 0, ok = 0;
  std::string line;
  while (std::getline(file, line)) {
    const nlohmann::json vector = nlohmann::json::parse(line);
    const std::string bytes =
        absl::HexStringToBytes(vector.at("hex").get<std::string>());
    const Outcome outcome = OutcomeOf({bytes});
    SCOPED_TRACE(absl::StrCat(vector.at("id").get<std::string>(), ": ",
                              absl::CHexEscape(bytes.substr(0, 300))));
    if (vector.at("expect") == "bad") {
      if (vector.at("refused_by") >= kMost) {
        ++bad;
        EXPECT_TRUE(IsRefusal(outcome.statuses) ||
                    (outcome.statuses.empty() && outcome.closed))
            << outcome;
      }
      EXPECT_FALSE(absl::StartsWith(outcome.statuses, "2") &&
                   absl::StrContains(outcome.statuses, " 2"))
          << outcome;
    } else if (vector.at("taken_by") >= kMost) {
      ++ok;
      EXPECT_FALSE(outcome.statuses.empty() || IsRefusal(outcome.statuses))
          << outcome;
    }
  }
  std::cout << bad << " to be refused, " << ok << " to be taken\n";
  EXPECT_GT(bad + ok, 0);
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--vectors=")) {
      baton::VectorsPath() = std::string(argument);
    }
  }
  return RUN_ALL_TESTS();
}
