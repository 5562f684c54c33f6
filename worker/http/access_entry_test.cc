#include "worker/http/access_entry.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/event_loop.h"
#include "net/listen_url.h"
#include "net/sleep.h"
#include "net/testing/pair.h"
#include "worker/http/access_log.h"
#include "worker/http/http_call.h"
#include "worker/http/http_connection.h"
#include "worker/http/testing/http_tester.h"
#include "worker/log_writer.h"

namespace baton {
namespace {

HttpResponse Hello(const HttpRequest& /*request*/) {
  return HttpResponse::Text("hello");
}
HttpResponse Large(const HttpRequest& /*request*/) {
  return HttpResponse::Text(std::string(100'000, 'x'));
}
HttpResponse Tagged(const HttpRequest& request) {
  return HttpResponse::Text(request.id());
}
Task<HttpResponse> Slow(HttpCall /*call*/) {
  const IoError slept = co_await Sleep(absl::Seconds(2));
  if (slept != IoError::kOk) co_return HttpResponse(503);
  co_return HttpResponse::Text("slow");
}
Task<HttpResponse> Store(HttpCall call) {
  absl::StatusOr<std::string> body = co_await call.ReadBody();
  if (!body.ok()) co_return body.status();
  co_return HttpResponse(204);
}
Task<> Parts(HttpCall call) {
  IoError error = co_await call.Send("12345");
  if (error == IoError::kOk) error = co_await Sleep(absl::Seconds(1));
  if (error == IoError::kOk) error = co_await call.Send("678");
}

// One connection whose listener has a log.
class AccessEntryTest : public ::testing::Test {
 protected:
  AccessEntryTest() {
    service_.Get("/", Hello)
        .Get("/large", Large)
        .Get("/slow", Slow)
        .Get("/id", Tagged)
        .Post("/store", Store)
        .Get("/parts", Parts);
    dir_ = absl::StrCat(::testing::TempDir(), "/access_entry_XXXXXX");
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    tester_.emplace(service_);
    logs_.emplace(EventLoop::Current(), tester_->worker().counters());
    logs_->Get("/log").Open(OpenLog(Path()).value());
    tester_->worker().SetAccessLogs(&*logs_);
    Open("combined");
  }

  std::string Path() const { return dir_ + "/log"; }
  void Open(absl::string_view format) {
    const ListenUrl url =
        ParseListenUrl(
            absl::StrCat("http://127.0.0.1:0?access_log=/log&access_format=",
                         format))
            .value();
    listener_ = MakeHttpListener(service_, url).value();
    pair_.emplace(ServeHttp, &tester_->clock(),
                  StreamSettings{.service_data = listener_});
  }
  baton::testing::Pair& pair() { return *pair_; }
  // All lines so far.
  std::vector<std::string> Lines() {
    logs_->Flush();
    std::ifstream file(Path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return absl::StrSplit(text, '\n', absl::SkipEmpty());
  }
  // The only one, from its request on.
  std::string Line() {
    const std::vector<std::string> lines = Lines();
    EXPECT_EQ(lines.size(), 1u);
    if (lines.empty()) return "";
    return lines.front().substr(lines.front().find(']') + 2);
  }

  std::string dir_;
  HttpService service_;
  std::optional<baton::testing::HttpTester> tester_;
  std::optional<AccessLogs> logs_;
  std::shared_ptr<const HttpListener> listener_;
  std::optional<baton::testing::Pair> pair_;
};

TEST_F(AccessEntryTest, ALineForEachOfABatch) {
  pair().Send(
      "GET /?a=1 HTTP/1.1\r\nHost: h\r\nuser-agent: me\r\n"
      "Referer: there\r\n\r\n"
      "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
      "GET /no HTTP/1.0\r\n\r\n");
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(absl::StartsWith(lines[0], "unknown - - ["));
  EXPECT_TRUE(absl::EndsWith(
      lines[0], "] \"GET /?a=1 HTTP/1.1\" 200 5 \"there\" \"me\""));
  EXPECT_TRUE(
      absl::EndsWith(lines[1], "] \"HEAD / HTTP/1.1\" 200 0 \"-\" \"-\""));
  EXPECT_TRUE(absl::StrContains(lines[2], "] \"GET /no HTTP/1.0\" 404 "));
}

TEST_F(AccessEntryTest, ALargeResponseIsLoggedWhenItIsSent) {
  pair().SetWindow(50'000);
  pair().Send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Lines().empty());
  pair().SetWindow(200'000);
  EXPECT_EQ(Line(), "\"GET /large HTTP/1.1\" 200 100000 \"-\" \"-\"");
}

TEST_F(AccessEntryTest, WhatFailsIsLoggedWithWhatWasSent) {
  pair().SetWindow(50'000);
  pair().Send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string answer = pair().Received();
  const size_t head = answer.find("\r\n\r\n") + 4;
  pair().Reset();
  EXPECT_EQ(Line(), absl::StrCat("\"GET /large HTTP/1.1\" 200 ",
                                 answer.size() - head, " \"-\" \"-\""));
}

TEST_F(AccessEntryTest, StreamsAtTheirEnd) {
  pair().Send("GET /parts HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(Lines().empty());
  pair().Advance(absl::Seconds(2));
  // With the coding's own: 3 + 5 + 2, 3 + 3 + 2.
  EXPECT_EQ(Line(), "\"GET /parts HTTP/1.1\" 200 18 \"-\" \"-\"");
}

TEST_F(AccessEntryTest, TheGeneralWay) {
  pair().Send("POST /store HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12");
  EXPECT_TRUE(Lines().empty());
  pair().Send("345");
  EXPECT_EQ(Line(), "\"POST /store HTTP/1.1\" 204 0 \"-\" \"-\"");
}

TEST_F(AccessEntryTest, JsonSaysHowLongItTook) {
  Open("json");
  pair().Send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
  pair().Advance(absl::Seconds(3));
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(absl::StrContains(
      lines[0], R"("version":"1.1","status":200,"bytes":4,"duration_us":2)"))
      << lines[0];
  EXPECT_FALSE(absl::StrContains(lines[0], "request_id"));
}

TEST_F(AccessEntryTest, AnIdThatThereIsStandsThere) {
  Open("json");
  pair().Send("GET /id HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string answer = pair().Received();
  const std::string id = answer.substr(answer.find("\r\n\r\n") + 4);
  EXPECT_TRUE(absl::StrContains(Lines().at(0),
                                absl::StrCat("\"request_id\":\"", id, "\"")));
}

TEST_F(AccessEntryTest, WhatIsRefusedIsLoggedAsItCame) {
  pair().Send("G\"ET / HT\x01TP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(absl::StartsWith(Line(), "\"G\\x22ET / HT\\x01TP/1.1\" 400 "))
      << Line();
}

TEST_F(AccessEntryTest, WhatNeverEndsIsLoggedToo) {
  pair().Send("GET /slow HTT");
  pair().Advance(absl::Minutes(1));
  EXPECT_TRUE(absl::StartsWith(Line(), "\"GET /slow HTT\" 408 ")) << Line();
}

TEST_F(AccessEntryTest, ARecordTravels) {
  OwnedAccessRecord record;
  record.client = "192.0.2.7";
  record.method = "GET";
  record.target = std::string("/\0\xff", 3);
  record.host = "h";
  record.referer = "r";
  record.user_agent = "u";
  record.request_id = "i";
  record.minor_version = 1;
  record.status = 206;
  record.bytes = uint64_t{1} << 40;
  record.since = 123456789012345;
  const std::string blob = record.Encode();
  for (size_t size = 0; size < blob.size(); ++size) {
    EXPECT_FALSE(
        OwnedAccessRecord::Decode(absl::string_view(blob).substr(0, size)));
  }
  // A later build has appended something.
  const std::optional<OwnedAccessRecord> decoded =
      OwnedAccessRecord::Decode(blob + "more");
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->Encode(), blob);
  LogAccess(*listener_, *decoded);
  EXPECT_EQ(Line(),
            "\"GET /\\x00\\xFF HTTP/1.1\" 206 1099511627776 \"r\" "
            "\"u\"");
}

TEST_F(AccessEntryTest, AsManyLinesAsResponses) {
  for (int i = 0; i < 10; ++i) {
    pair().Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    pair().Send("GET /parts HTTP/1.1\r\nHost: h\r\n\r\n");
    pair().Advance(absl::Seconds(2));
  }
  pair().Send("nonsense\r\n\r\n");
  EXPECT_EQ(Lines().size(), 21u);
  EXPECT_EQ(tester_->worker().counters().access_log_lines.value(), 21u);
}

}  // namespace
}  // namespace baton
