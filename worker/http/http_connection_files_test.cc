// Files among other responses of a connection.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/listen_url.h"
#include "worker/files/served_file.h"
#include "worker/files/testing/test_folder.h"
#include "worker/http/http_call.h"
#include "worker/http/http_connection.h"
#include "worker/http/testing/http_fixture.h"
#include "worker/http/testing/http_tester.h"
#include "worker/http/testing/watched_files.h"

namespace baton {
namespace {

using testing::HttpAnswer;
using testing::HttpTester;
using testing::TestFolder;

constexpr int64_t kMaxInMemory = ServedFile::kMaxInMemory;

HttpResponse Hello(const HttpRequest& request) {
  return HttpResponse::Text(absl::StrCat("hello ", request.Param("name")));
}
Task<HttpResponse> Echo(HttpCall call) {
  absl::StatusOr<std::string> body = co_await call.ReadBody();
  if (!body.ok()) co_return body.status();
  co_return HttpResponse::Text(*std::move(body));
}

class HttpConnectionFilesTest : public testing::HttpFixture {
 protected:
  HttpConnectionFilesTest() : most_(kMaxInMemory, 'm'), large_(200'000, 'l') {
    service_.Get("/hello/{name}", Hello).Post("/echo", Echo);
    folder_.Write("small", "small");
    folder_.Write("most", most_);
    folder_.Write("large", large_);
    Serve({});
  }

  void Serve(FileSiteOptions options) {
    options.root = folder_.path();
    HttpListener listener;
    listener.files = testing::WatchedFiles(std::move(options));
    tester_.emplace(service_, listener);
    for (const char* name : {"/small", "/most", "/large"}) {
      EXPECT_EQ(tester().Get(name).status, 200);  // and it is remembered
    }
  }
  static std::string Requests(const std::vector<absl::string_view>& targets) {
    std::string bytes;
    for (const absl::string_view target : targets) {
      absl::StrAppend(&bytes, "GET ", target, " HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    return bytes;
  }

  const std::string most_;
  const std::string large_;
  TestFolder folder_;
};

TEST_F(HttpConnectionFilesTest, HotFilesAndOthersAreOneWrite) {
  const int writes = pair().writes();
  const std::vector<HttpAnswer> answers = HttpTester::Parse(
      tester().Exchange(Requests({"/hello/1", "/small", "/none", "/small",
                                  "/hello/2", "/most", "/small"})));
  EXPECT_EQ(pair().writes() - writes, 1);
  ASSERT_EQ(answers.size(), 7u);
  EXPECT_EQ(answers[0].body, "hello 1");
  EXPECT_EQ(answers[1].body, "small");
  EXPECT_EQ(answers[2].status, 404);
  EXPECT_EQ(answers[3].body, "small");
  EXPECT_EQ(answers[4].body, "hello 2");
  EXPECT_TRUE(answers[5].body == most_);
  EXPECT_EQ(answers[6].body, "small");
}

TEST_F(HttpConnectionFilesTest, ALargeOneInTheMiddleHoweverSplit) {
  const std::string requests =
      Requests({"/small", "/hello/1", "/large", "/hello/2", "/large", "/large",
                "/none", "/small"});
  const std::string whole = tester().Exchange(requests);
  const std::vector<HttpAnswer> answers = HttpTester::Parse(whole);
  ASSERT_EQ(answers.size(), 8u);
  EXPECT_EQ(answers[0].body, "small");
  EXPECT_EQ(answers[1].body, "hello 1");
  EXPECT_EQ(answers[3].body, "hello 2");
  for (const int i : {2, 4, 5}) EXPECT_TRUE(answers[i].body == large_) << i;
  EXPECT_EQ(answers[6].status, 404);
  EXPECT_EQ(answers[7].body, "small");
  pair().SendSplit(requests);
  EXPECT_EQ(pair().Received().size(), whole.size());
  EXPECT_FALSE(closed());
}

TEST_F(HttpConnectionFilesTest, MoreThanABatchHolds) {
  // The longest fields that a listener's text can give.
  const std::string fields = absl::StrCat(
      "X-Long: ", std::string(kMaxListenUrlBytes - 20, 'x'), "\r\n");
  FileSiteOptions options;
  options.fields = fields;
  Serve(std::move(options));
  const std::vector<HttpAnswer> answers = HttpTester::Parse(tester().Exchange(
      Requests(std::vector<absl::string_view>(100, "/most"))));
  ASSERT_EQ(answers.size(), 100u);
  for (const HttpAnswer& answer : answers) {
    EXPECT_TRUE(answer.body == most_);
    EXPECT_EQ(answer.headers.size(), 8u);
  }
}

TEST_F(HttpConnectionFilesTest, Heads) {
  const std::string bytes = tester().Exchange(
      "HEAD /small HTTP/1.1\r\nHost: h\r\n\r\n"
      "HEAD /large HTTP/1.1\r\nHost: h\r\n\r\n"
      "HEAD /most HTTP/1.1\r\nHost: h\r\n\r\n"
      "HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::vector<HttpAnswer> answers = HttpTester::Parse(bytes, true);
  ASSERT_EQ(answers.size(), 4u);
  EXPECT_EQ(answers[0].Header("Content-Length"), "5");
  EXPECT_EQ(answers[1].Header("Content-Length"), "200000");
  EXPECT_EQ(answers[2].Header("Content-Length"), absl::StrCat(kMaxInMemory));
  EXPECT_EQ(answers[3].status, 404);
}

TEST_F(HttpConnectionFilesTest, CloseMeansClose) {
  for (const char* target : {"/small", "/large", "/none"}) {
    const HttpAnswer answer = tester().Get(target, "Connection: close\r\n");
    EXPECT_EQ(answer.Header("Connection"), "close") << target;
    EXPECT_TRUE(pair().closed()) << target;
    // What comes behind it is not answered, and the answer gets there.
    const std::string bytes = tester().Exchange(absl::StrCat(
        "GET ", target, " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        Requests({"/small"})));
    EXPECT_EQ(HttpTester::Parse(bytes).size(), 1u) << target;
    EXPECT_TRUE(closed()) << target;
    EXPECT_FALSE(pair().closed()) << target << ": it lingers";
    pair().Advance(absl::Seconds(3));
    EXPECT_TRUE(pair().closed());
  }
}

TEST_F(HttpConnectionFilesTest, Http10) {
  for (const auto& [target, content] :
       {std::pair<std::string, std::string>{"/small", "small"},
        {"/large", large_}}) {
    std::string bytes =
        tester().Exchange(absl::StrCat("GET ", target, " HTTP/1.0\r\n\r\n"));
    EXPECT_TRUE(absl::StrContains(bytes, "\r\nConnection: close\r\n\r\n"));
    EXPECT_TRUE(absl::EndsWith(bytes, "\r\n\r\n" + content));
    EXPECT_TRUE(pair().closed());
    bytes = tester().Exchange(absl::StrCat(
        "GET ", target, " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    EXPECT_TRUE(absl::StrContains(bytes, "\r\nConnection: keep-alive\r\n\r\n"));
    EXPECT_TRUE(absl::EndsWith(bytes, "\r\n\r\n" + content));
    EXPECT_FALSE(closed());
  }
}

TEST_F(HttpConnectionFilesTest, BodiesThatNobodyWants) {
  const std::string bytes = tester().Exchange(
      "GET /small HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
      "GET /large HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
      "1\r\nx\r\n0\r\n\r\n"
      "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
      "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
      "GET /small HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::vector<HttpAnswer> answers = HttpTester::Parse(bytes);
  ASSERT_EQ(answers.size(), 5u);
  EXPECT_EQ(answers[0].body, "small");
  EXPECT_TRUE(answers[1].body == large_);
  EXPECT_EQ(answers[2].body, "body");
  EXPECT_EQ(answers[3].status, 405);
  EXPECT_EQ(answers[4].body, "small");
}

TEST_F(HttpConnectionFilesTest, ADrainSaysClose) {
  pair().SetWindow(1000);
  pair().Send(Requests({"/large"}));
  pair().Drain();
  pair().SetWindow(1'000'000);
  const HttpAnswer answer = HttpTester::First(pair().Received());
  EXPECT_TRUE(answer.body == large_) << "what was begun is sent";
  EXPECT_TRUE(pair().closed());
}

TEST_F(HttpConnectionFilesTest, ASlowReaderHoldsTheFileThatItBegan) {
  pair().SetWindow(1000);
  pair().Send(Requests({"/large", "/large"}));
  folder_.Replace("large", "another");
  pair().Advance(absl::Milliseconds(5));
  pair().SetWindow(10'000'000);
  const std::vector<HttpAnswer> answers = HttpTester::Parse(pair().Received());
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_TRUE(answers[0].body == large_);
  EXPECT_EQ(answers[1].body, "another");
}

TEST_F(HttpConnectionFilesTest, EachIsCounted) {
  const uint64_t requests = pair().table().counters().requests.value();
  const HttpCounters& counters = tester().worker().counters();
  const uint64_t good = counters.responses_2xx.value();
  tester().Exchange(Requests({"/small", "/large", "/none"}));
  EXPECT_EQ(pair().table().counters().requests.value() - requests, 3u);
  EXPECT_EQ(counters.responses_2xx.value() - good, 2u);
  EXPECT_EQ(counters.responses_4xx.value(), 1u);
}

}  // namespace
}  // namespace baton
