// HTTP through the real connection code, in memory: batches, bodies, limits,
// time-outs, drain, streams.

#include "worker/http/http_connection.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/sleep.h"
#include "worker/http/http_call.h"
#include "worker/http/testing/http_fixture.h"
#include "worker/http/testing/http_tester.h"

namespace baton {
namespace {

using testing::HttpAnswer;
using testing::HttpTester;

constexpr absl::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

HttpResponse Root(const HttpRequest&) { return HttpResponse::Text("root"); }
HttpResponse Hello(const HttpRequest& request) {
  return HttpResponse::Text(absl::StrCat("hello ", request.Param("name")));
}
HttpResponse Length(const HttpRequest& request) {
  return HttpResponse::Text(absl::StrCat(request.body().size()));
}
HttpResponse Large(const HttpRequest&) {
  return HttpResponse::Text(std::string(100'000, 'x'));
}
Task<HttpResponse> Waits(HttpCall call) {
  const IoError slept = co_await Sleep(absl::Seconds(5));
  co_return HttpResponse::Text(
      absl::StrCat(IoErrorName(slept), " ", call.request().path()));
}
Task<HttpResponse> Store(HttpCall call) {
  absl::StatusOr<std::string> body = co_await call.ReadBody();
  if (!body.ok()) co_return body.status();
  co_return HttpResponse::Text(*std::move(body));
}
Task<HttpResponse> NoInterest(HttpCall) { co_return HttpResponse(403); }
Task<> Counts(HttpCall call) {
  for (int i = 0; i < 3; ++i) {
    const std::string text = absl::StrCat("part ", i, ";");
    const IoError sent = co_await call.Send(text);
    if (sent != IoError::kOk) co_return;
  }
}

class HttpConnectionTest : public testing::HttpFixture {
 protected:
  HttpConnectionTest() {
    service_.Get("/", Root)
        .Get("/hello/{name}", Hello)
        .Post("/length", Length)
        .Get("/large", Large)
        .Get("/waits", Waits)
        .Get("/impatient", Waits, {.timeout = absl::Seconds(1)})
        .Post("/store", Store)
        .Post("/small", Store, {.max_body = 10})
        .Post("/no", NoInterest)
        .Post("/patience", Store, {.timeout = absl::Seconds(1)})
        .Get("/counts", Counts);
  }
};

TEST_F(HttpConnectionTest, AnswersAndKeepsTheConnection) {
  const HttpAnswer answer = tester().Get("/hello/a%20b");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "hello a b");
  EXPECT_EQ(answer.Header("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(answer.Header("Server"), "baton");
  EXPECT_EQ(answer.Header("Connection"), "");
  EXPECT_TRUE(absl::EndsWith(answer.Header("Date"), " GMT"));
  EXPECT_EQ(answer.Header("Date").size(), 29u);
  EXPECT_EQ(tester().Get("/nowhere").status, 404);
  const HttpAnswer put = tester().Request("PUT", "/", "", "");
  EXPECT_EQ(put.status, 405);
  EXPECT_EQ(put.Header("Allow"), "GET, HEAD");
  EXPECT_EQ(tester().Request("OPTIONS", "*", "", "").status, 204);
  EXPECT_EQ(tester().Get("/").body, "root");
  EXPECT_FALSE(closed());
}

TEST_F(HttpConnectionTest, HeadHasTheLengthAndNoBody) {
  for (absl::string_view target : {"/", "/large", "/counts"}) {
    const std::string bytes = tester().Exchange(
        absl::StrCat("HEAD ", target, " HTTP/1.1\r\nHost: h\r\n\r\n"));
    EXPECT_TRUE(absl::EndsWith(bytes, "\r\n\r\n")) << bytes;
    EXPECT_EQ(HttpTester::Parse(bytes, true).size(), 1u) << target;
  }
  EXPECT_EQ(tester().Request("HEAD", "/large", "", "").Header("Content-Length"),
            "100000");
}

TEST_F(HttpConnectionTest, ManyAtOnceInOrderHoweverSplit) {
  std::string bytes;
  for (absl::string_view target :
       {"/hello/1", "/large", "/hello/2", "/counts", "/hello/3", "/no", "/"}) {
    absl::StrAppend(&bytes, "GET ", target, " HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  const std::string whole = tester().Exchange(bytes);
  const std::vector<HttpAnswer> answers = HttpTester::Parse(whole);
  ASSERT_EQ(answers.size(), 7u);
  EXPECT_EQ(answers[0].body, "hello 1");
  EXPECT_EQ(answers[1].body, std::string(100'000, 'x'));
  EXPECT_EQ(answers[2].body, "hello 2");
  EXPECT_EQ(answers[3].body, "part 0;part 1;part 2;");
  EXPECT_EQ(answers[4].body, "hello 3");
  EXPECT_EQ(answers[5].status, 405);
  EXPECT_EQ(answers[6].body, "root");
  pair().SendSplit(bytes);
  EXPECT_EQ(pair().Received().size(), whole.size());
}

TEST_F(HttpConnectionTest, OneBatchIsOneWrite) {
  std::string bytes;
  for (int i = 0; i < 16; ++i) absl::StrAppend(&bytes, kGet);
  const uint64_t before = pair().table().counters().requests.value();
  const int writes = pair().writes();
  EXPECT_EQ(HttpTester::Parse(tester().Exchange(bytes)).size(), 16u);
  EXPECT_EQ(pair().writes() - writes, 1);
  EXPECT_EQ(pair().table().counters().requests.value() - before, 16u);
}

TEST_F(HttpConnectionTest, ABatchLargerThanItsBufferIsSentInSeveral) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&bytes, kGet);
  EXPECT_EQ(HttpTester::Parse(tester().Exchange(bytes)).size(), 1000u);
}

TEST_F(HttpConnectionTest, CloseMeansClose) {
  EXPECT_EQ(tester().Get("/", "Connection: close\r\n").Header("Connection"),
            "close");
  EXPECT_TRUE(pair().closed());
  EXPECT_EQ(tester().Get("/waits", "Connection: close\r\n").status, 0);
  pair().Advance(absl::Seconds(6));
  EXPECT_EQ(HttpTester::First(pair().Received()).Header("Connection"), "close");
  EXPECT_TRUE(pair().closed());
}

TEST_F(HttpConnectionTest, Http10) {
  std::string bytes = tester().Exchange("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(absl::StrContains(bytes, "Connection: close\r\n")) << bytes;
  EXPECT_TRUE(pair().closed());
  bytes = tester().Exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(absl::StrContains(bytes, "Connection: keep-alive\r\n")) << bytes;
  EXPECT_FALSE(closed());
  bytes = tester().Exchange(
      "GET /counts HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_TRUE(absl::EndsWith(bytes, "\r\n\r\npart 0;part 1;part 2;")) << bytes;
  EXPECT_FALSE(absl::StrContains(bytes, "chunked"));
  EXPECT_TRUE(pair().closed());
}

TEST_F(HttpConnectionTest, Bodies) {
  EXPECT_EQ(tester().Post("/length", "12345").body, "5");
  EXPECT_EQ(tester().Post("/store", "12345").body, "12345");
  EXPECT_EQ(tester()
                .Request("POST", "/store", "Transfer-Encoding: chunked\r\n",
                         "3\r\nabc\r\n1\r\nd\r\n0\r\nT: x\r\n\r\n")
                .body,
            "abcd");
  // An empty line too many between two requests.
  EXPECT_EQ(
      HttpTester::Parse(tester().Exchange(absl::StrCat("\r\n", kGet))).size(),
      1u);
  pair().SendSplit(absl::StrCat("\r\n", kGet));
  EXPECT_EQ(HttpTester::Parse(pair().Received()).size(), 1u);
  pair().SendSplit(absl::StrCat(
      "POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
      kGet));
  EXPECT_EQ(HttpTester::Parse(pair().Received()).size(), 2u);
}

TEST_F(HttpConnectionTest, ABodyThatNobodyReadsIsSkippedIfItIsSmall) {
  EXPECT_EQ(tester().Post("/no", "12345").status, 403);
  EXPECT_EQ(tester().Get("/").body, "root");
  EXPECT_EQ(tester()
                .Request("POST", "/no", "Transfer-Encoding: chunked\r\n",
                         "1\r\nx\r\n0\r\n\r\n")
                .Header("Connection"),
            "")
      << "it is here as a whole";
  EXPECT_EQ(tester()
                .Request("POST", "/nowhere", "Transfer-Encoding: chunked\r\n",
                         "-1\r\n")
                .status,
            400)
      << "it is here, and wrong";
  pair().CloseWrite();
  const HttpAnswer large =
      tester().Request("POST", "/no", "Content-Length: 100000\r\n", "12345");
  EXPECT_EQ(large.status, 403);
  EXPECT_EQ(large.Header("Connection"), "close");
  EXPECT_TRUE(closed());
}

TEST_F(HttpConnectionTest, LimitsOfBodies) {
  EXPECT_EQ(tester().Post("/store", std::string(1000, 'x')).status, 200);
  const HttpAnswer answer = tester().Post("/store", std::string(1001, 'x'));
  EXPECT_EQ(answer.status, 413);
  EXPECT_EQ(answer.Header("Connection"), "close");
  EXPECT_TRUE(closed());
  pair().CloseWrite();
  EXPECT_EQ(tester().Post("/length", std::string(1001, 'x')).status, 413);
  pair().CloseWrite();
  EXPECT_EQ(tester().Post("/small", std::string(11, 'x')).status, 413);
  EXPECT_EQ(tester().worker().counters().rejected.value(), 3u);
}

TEST_F(HttpConnectionTest, ContinueIsSaidWhenTheBodyIsWanted) {
  std::string bytes = tester().Exchange(
      "POST /store HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
      "Content-Length: 3\r\n\r\n");
  EXPECT_EQ(bytes, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(HttpTester::First(tester().Exchange("abc")).body, "abc");
  // And not when it is not; whether it comes all the same, nobody knows.
  bytes = tester().Exchange(
      "POST /no HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
      "Content-Length: 3\r\n\r\n");
  EXPECT_FALSE(absl::StrContains(bytes, "100 Continue"));
  EXPECT_TRUE(absl::StrContains(bytes, "Connection: close\r\n"));
}

TEST_F(HttpConnectionTest, ABadRequestIsToldAndEndsTheConnection) {
  const std::string bytes =
      tester().Exchange(absl::StrCat(kGet, "GET / HTTP/1.1\r\n\r\n", kGet));
  const std::vector<HttpAnswer> answers = HttpTester::Parse(bytes);
  ASSERT_EQ(answers.size(), 2u) << "nothing behind it is a request";
  EXPECT_EQ(answers[0].status, 200);
  EXPECT_EQ(answers[1].status, 400);
  EXPECT_EQ(answers[1].body, "no Host field\n");
  EXPECT_EQ(answers[1].Header("Connection"), "close");
  EXPECT_TRUE(closed());
  EXPECT_FALSE(pair().closed()) << "it lingers: the answer must get there";
  pair().Advance(absl::Seconds(3));
  EXPECT_TRUE(pair().closed());
}

TEST_F(HttpConnectionTest, WhatCanNotBecomeARequestIsToldBeforeItsEnd) {
  EXPECT_TRUE(absl::StartsWith(tester().Exchange("\x16\x03\x01"),
                               "HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_TRUE(closed());
}

TEST_F(HttpConnectionTest, LimitsOfHeads) {
  const std::string large(HttpHead::kMaxBytes, 'x');
  EXPECT_TRUE(absl::StartsWith(tester().Exchange(absl::StrCat("GET /", large)),
                               "HTTP/1.1 414 "));
  pair().CloseWrite();
  EXPECT_TRUE(absl::StartsWith(
      tester().Exchange(absl::StrCat("GET / HTTP/1.1\r\nA: ", large)),
      "HTTP/1.1 431 "));
  EXPECT_EQ(tester().worker().counters().rejected.value(), 2u);
}

TEST_F(HttpConnectionTest, AHeadThatTakesTooLong) {
  pair().Advance(absl::Seconds(30));
  pair().Send("GET / HT");
  pair().Advance(absl::Seconds(6));
  pair().Send("TP/1.1\r\n");  // that it goes on does not help
  pair().Advance(absl::Seconds(3));
  EXPECT_EQ(pair().Received(), "");
  pair().Advance(absl::Seconds(2));
  EXPECT_TRUE(
      absl::StartsWith(pair().Received(), "HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_EQ(tester().worker().counters().timeouts.value(), 1u);
  pair().Advance(absl::Seconds(3));
  EXPECT_TRUE(pair().closed());
}

TEST_F(HttpConnectionTest, ABodyThatPausesTooLong) {
  pair().Send("POST /store HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
  pair().Advance(absl::Seconds(25));
  EXPECT_EQ(pair().Received(), "");
  pair().Send("x");  // that it trickles does not help
  pair().Advance(absl::Seconds(6));
  EXPECT_TRUE(absl::StartsWith(pair().Received(), "HTTP/1.1 408 "));
}

TEST_F(HttpConnectionTest, ABodyHasTheTimeThatItsSizeTakes) {
  tester_.emplace(service_, HttpListener{.max_body = 1'000'000});
  pair().Send(
      "POST /store HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
  for (int i = 0; i < 10; ++i) {
    pair().Advance(absl::Seconds(25));
    pair().Send(std::string(50'000, 'x'));
  }
  EXPECT_EQ(HttpTester::First(pair().Received()).body.size(), 500'000u);
}

TEST_F(HttpConnectionTest, AnIdleConnectionIsReapedWithoutAWord) {
  EXPECT_EQ(tester().Get("/").status, 200);
  pair().Advance(absl::Seconds(61));
  EXPECT_TRUE(pair().closed());
  EXPECT_EQ(pair().Received(), "");
}

TEST_F(HttpConnectionTest, WhatIsCloseSaysSo) {
  const HttpAnswer answer =
      tester().Request("POST", "/no", "Content-Length: 5000\r\n", "x");
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.Header("Connection"), "close") << "beyond max_body";
  EXPECT_EQ(tester().worker().counters().rejected.value(), 0u);
}

TEST_F(HttpConnectionTest, EmptyLinesKeepNoConnection) {
  EXPECT_EQ(tester().Get("/").status, 200);
  pair().Send("\r\n");
  pair().Advance(absl::Seconds(8));
  pair().Send("\r\n");
  pair().Advance(absl::Seconds(3));
  EXPECT_TRUE(pair().closed());
  EXPECT_EQ(pair().Received(), "");
}

TEST_F(HttpConnectionTest, ADrainAnswersAndSaysClose) {
  pair().Send("GET /waits HTTP/1.1\r\nHost: h\r\n\r\n");
  pair().Drain();
  pair().Advance(absl::Seconds(6));
  EXPECT_EQ(HttpTester::First(pair().Received()).Header("Connection"), "close");
  EXPECT_TRUE(pair().closed());
}

TEST_F(HttpConnectionTest, HalfARequestIsAnsweredInADrain) {
  EXPECT_EQ(tester().Get("/").status, 200);
  pair().Send("GET / HTTP/1.1\r\nHo");
  pair().Drain();
  pair().Send("st: h\r\n\r\n");
  EXPECT_EQ(HttpTester::First(pair().Received()).Header("Connection"), "close");
  EXPECT_TRUE(pair().closed());
}

TEST_F(HttpConnectionTest, AnIdleConnectionEndsAtADrain) {
  EXPECT_EQ(tester().Get("/").status, 200);
  EXPECT_TRUE(pair().Export().has_value()) << "a safe point";
  pair().Drain();
  EXPECT_TRUE(pair().closed());
}

TEST_F(HttpConnectionTest, WithoutRoutesThereIsAWelcome) {
  const HttpService empty;
  tester_.emplace(empty);
  const HttpAnswer answer = tester().Get("/");
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(absl::StrContains(answer.body, "baton is running"));
  EXPECT_EQ(tester().Get("/x").status, 404);
}

}  // namespace
}  // namespace baton
