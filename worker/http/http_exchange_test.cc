// Handlers that take their time, fail or send streams, through the real
// connection code in memory.

#include "worker/http/http_exchange.h"

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
#include "net/buffer_pool.h"
#include "net/sleep.h"
#include "worker/http/http_call.h"
#include "worker/http/http_connection.h"
#include "worker/http/testing/http_fixture.h"
#include "worker/http/testing/http_tester.h"

namespace baton {
namespace {

using testing::HttpAnswer;
using testing::HttpTester;

constexpr absl::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

HttpResponse Root(const HttpRequest&) { return HttpResponse::Text("root"); }
HttpResponse Fails(const HttpRequest&) {
  return absl::InternalError("the disk is on fire");
}
HttpResponse Client(const HttpRequest& request) {
  return HttpResponse::Text(
      absl::StrCat(request.id(), " ", request.query().size()));
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
Task<> Ticks(HttpCall call) {
  IoError error = IoError::kOk;
  while (error == IoError::kOk && !call.leaving()) {
    error = co_await call.SendEvent(
        {.data = "one\ntwo\r\nthree", .type = "tick", .id = "7\n8"});
    if (error == IoError::kOk) error = co_await Sleep(absl::Seconds(1));
  }
}
Task<> EchoParts(HttpCall call) {
  const ReadResult part = co_await call.ReadSome();
  const IoError sent = co_await call.Send(part.bytes());
  EXPECT_EQ(sent, IoError::kOk);
}
Task<> None(HttpCall call) {
  HttpResponse head(call.request().Param("status") == "204" ? 204 : 304);
  IoError sent = co_await call.Begin(std::move(head));
  sent = co_await call.Send("evil");
  EXPECT_EQ(sent, IoError::kEof);
}
Task<> Early(HttpCall call) {
  IoError sent = co_await call.Send("early ");
  const absl::StatusOr<std::string> body = co_await call.ReadBody();
  if (body.ok()) sent = co_await call.Send(*body);
  EXPECT_EQ(sent, IoError::kOk);
}
Task<> BadBegin(HttpCall call) {
  HttpResponse head = absl::InternalError("no");
  IoError sent = co_await call.Begin(std::move(head));
  EXPECT_EQ(sent, IoError::kCancelled);
  sent = co_await call.Send("more");
  EXPECT_EQ(sent, IoError::kCancelled);
}
Task<> Forgets(HttpCall) { co_return; }
Task<> Endless(HttpCall call) {
  const std::string block(10'000, 'y');
  IoError error = IoError::kOk;
  while (error == IoError::kOk) error = co_await call.Send(block);
}

class HttpExchangeTest : public testing::HttpFixture {
 protected:
  HttpExchangeTest() {
    service_.Get("/", Root)
        .Get("/fails", Fails)
        .Get("/client", Client)
        .Get("/waits", Waits)
        .Get("/impatient", Waits, {.timeout = absl::Seconds(1)})
        .Post("/store", Store)
        .Post("/small", Store, {.max_body = 10})
        .Post("/echo", EchoParts)
        .Get("/none/{status}", None)
        .Post("/early", Early)
        .Get("/badbegin", BadBegin)
        .Post("/patience", Store, {.timeout = absl::Seconds(1)})
        .Get("/ticks", Ticks)
        .Get("/forgets", Forgets)
        .Get("/endless", Endless, {.timeout = absl::Seconds(3)});
  }
};

TEST_F(HttpExchangeTest, CoroutinesAndTheirTimeOut) {
  EXPECT_EQ(tester().Exchange("GET /waits HTTP/1.1\r\nHost: h\r\n\r\n"), "");
  pair().Advance(absl::Seconds(6));
  EXPECT_EQ(HttpTester::First(pair().Received()).body, "ok /waits");
  EXPECT_EQ(tester().Exchange("GET /impatient HTTP/1.1\r\nHost: h\r\n\r\n"),
            "");
  pair().Advance(absl::Seconds(2));
  const HttpAnswer late = HttpTester::First(pair().Received());
  EXPECT_EQ(late.status, 503);
  EXPECT_EQ(late.Header("Retry-After"), "1");
  EXPECT_EQ(tester().worker().counters().handler_failures.value(), 1u);
  EXPECT_EQ(tester().Get("/").status, 200) << "the connection goes on";
}

TEST_F(HttpExchangeTest, AHandlerThatFailsIs500AndCounted) {
  const HttpAnswer answer = tester().Get("/fails");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body, "Internal Server Error\n");
  EXPECT_NE(answer.Header("X-Request-Id"), "");
  EXPECT_EQ(tester().Get("/forgets").status, 500);
  EXPECT_EQ(tester().worker().counters().handler_failures.value(), 2u);
  EXPECT_EQ(tester().worker().counters().responses_5xx.value(), 2u);
}

TEST_F(HttpExchangeTest, BodiesOfAllClientsTogetherAreBounded) {
  tester().Get("/");
  const uint64_t refused = pair().table().counters().buffers_refused.value();
  {
    BufferReservation others(pair().table().buffers());
    ASSERT_TRUE(others.GrowTo(BufferPool::kDefaultMaxBytes - 100));
    const HttpAnswer answer = tester().Post("/store", std::string(200, 'x'));
    EXPECT_EQ(answer.status, 503);
    EXPECT_EQ(answer.Header("Retry-After"), "1");
    EXPECT_EQ(answer.Header("Connection"), "close");
    EXPECT_EQ(pair().table().counters().buffers_refused.value(), refused + 1);
  }
  pair().Advance(absl::Seconds(3));  // it lingers
  EXPECT_EQ(tester().Post("/store", std::string(200, 'x')).status, 200);
  EXPECT_EQ(pair().table().buffers().bytes_in_use(), 0u);
}

TEST_F(HttpExchangeTest, ServerSentEvents) {
  pair().Send("GET /ticks HTTP/1.1\r\nHost: h\r\n\r\n");
  pair().Advance(absl::Milliseconds(1500));
  const HttpAnswer answer = HttpTester::First(pair().Received());
  EXPECT_EQ(answer.Header("Content-Type"), "text/event-stream");
  EXPECT_EQ(answer.Header("Cache-Control"), "no-cache");
  const std::string event =
      "id: 7\nevent: tick\ndata: one\ndata: two\ndata: three\n\n";
  EXPECT_EQ(answer.body, event + event);
  pair().Reset();
  pair().Advance(absl::Seconds(1));
  EXPECT_TRUE(pair().closed()) << "at the next event";
}

TEST_F(HttpExchangeTest, AStreamWaitsForItsReaderAndIsCutOpenEnded) {
  pair().SetWindow(50'000);
  pair().Send("GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string bytes = pair().Received();
  EXPECT_EQ(bytes.size(), 50'000u);
  pair().Advance(absl::Seconds(4));
  EXPECT_TRUE(pair().closed());
  EXPECT_FALSE(absl::EndsWith(pair().Received(), "0\r\n\r\n"));
}

// What a stream's first part is borrowed from belongs to others while its head
// waits for room.
TEST_F(HttpExchangeTest, TheFirstPartOfAStreamIsNobodyElses) {
  testing::Pair& victim = pair();
  SimulatedClock& clock = tester().clock();
  StreamSettings settings = tester().settings();
  testing::Pair other(ServeHttp, &clock, settings);
  victim.SetWindow(0);
  victim.Send(absl::StrCat(
      "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n",
      std::string(40, 'A')));
  other.Send(absl::StrCat("GET / HTTP/1.1\r\nHost: h\r\nCookie: ",
                          std::string(300, 's'), "\r\n\r\n"));
  victim.SetWindow(100'000);
  EXPECT_EQ(HttpTester::First(victim.Received()).body, std::string(40, 'A'));
}

TEST_F(HttpExchangeTest, AStreamWithoutABodyWritesNone) {
  for (absl::string_view target : {"/none/204", "/none/304"}) {
    const std::string bytes = tester().Exchange(
        absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: h\r\n\r\n", kGet));
    const std::vector<HttpAnswer> answers = HttpTester::Parse(bytes);
    ASSERT_EQ(answers.size(), 2u) << bytes;
    EXPECT_EQ(answers[1].body, "root") << bytes;
  }
}

TEST_F(HttpExchangeTest, NothingStandsInTheMidstOfAResponse) {
  const std::string bytes = tester().Exchange(
      "POST /early HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
      "Content-Length: 3\r\n\r\nabc");
  EXPECT_FALSE(absl::StrContains(bytes, "100 Continue")) << bytes;
  EXPECT_EQ(HttpTester::First(bytes).body, "early abc");
  // And no upload is invited that will be refused.
  EXPECT_TRUE(absl::StartsWith(
      tester().Exchange("POST /store HTTP/1.1\r\nHost: h\r\n"
                        "Expect: 100-continue\r\nContent-Length: 5000\r\n\r\n"),
      "HTTP/1.1 413 "));
}

TEST_F(HttpExchangeTest, AHandlerThatGivesUpWaitingForABodyAnswers) {
  pair().Send(
      "POST /patience HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n");
  pair().Advance(absl::Seconds(2));
  EXPECT_EQ(HttpTester::First(pair().Received()).status, 503);
  pair().Send("abc");
  EXPECT_EQ(tester().Get("/").body, "root");
}

TEST_F(HttpExchangeTest, ABeginThatFailsIsReported) {
  const HttpAnswer answer = tester().Get("/badbegin");
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body, "Internal Server Error\n");
  EXPECT_EQ(tester().worker().counters().handler_failures.value(), 1u);
}

TEST_F(HttpExchangeTest, RequestsHaveIdsAndQueries) {
  const std::string first = tester().Get("/client?a=1&b=2").body;
  const std::string second =
      tester().Get("/client", "X-Request-Id: mine\r\n").body;
  EXPECT_TRUE(absl::EndsWith(first, " 2"));
  EXPECT_NE(first.substr(0, 20), second.substr(0, 20));
  EXPECT_FALSE(absl::StartsWith(second, "mine")) << "not from anybody";
}

}  // namespace
}  // namespace baton
