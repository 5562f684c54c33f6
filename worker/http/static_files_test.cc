// What is answered with the files of a site, byte by byte.

#include "worker/http/static_files.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "worker/files/testing/test_folder.h"
#include "worker/http/http_service.h"
#include "worker/http/testing/http_tester.h"
#include "worker/http/testing/watched_files.h"

namespace baton {
namespace {

using testing::HttpAnswer;
using testing::HttpTester;
using testing::TestFolder;

constexpr int64_t kModified = 1'700'000'000;
constexpr absl::string_view kDate = "Tue, 14 Nov 2023 22:13:20 GMT";
constexpr absl::string_view kBefore = "Tue, 14 Nov 2023 22:13:19 GMT";

std::string Pattern(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>('a' + i % 25 + i / 25 % 2);
  return text;
}

class StaticFilesTest : public ::testing::Test {
 protected:
  StaticFilesTest() : large_(Pattern(50'000)) {
    folder_.Write("a.txt", "0123456789");
    folder_.Write("large.txt", large_);
    folder_.Write("empty.txt", "");
    folder_.Write("404.html", "<p>not here");
    folder_.Write("docs/index.html", "docs");
    for (const char* name : {"a.txt", "large.txt", "empty.txt"}) {
      folder_.SetModified(name, kModified);
    }
  }

  HttpTester& Serve(FileSiteOptions options = {}) {
    options.root = folder_.path();
    HttpListener listener;
    listener.files = testing::WatchedFiles(std::move(options));
    tester_.emplace(service_, listener);
    return *tester_;
  }
  HttpAnswer Get(absl::string_view target, absl::string_view fields = "") {
    if (!tester_.has_value()) Serve();
    return tester_->Get(target, fields);
  }
  HttpAnswer Request(absl::string_view method, absl::string_view target,
                     absl::string_view fields = "") {
    if (!tester_.has_value()) Serve();
    return tester_->Request(method, target, fields, "");
  }
  std::string EtagOf(absl::string_view target) {
    return Get(target).Header("ETag");
  }

  const std::string large_;
  TestFolder folder_;
  HttpService service_;
  std::optional<HttpTester> tester_;
};

TEST_F(StaticFilesTest, AFileWithItsFields) {
  // The second time it comes from the cache, and has to be the same.
  for (int i = 0; i < 2; ++i) {
    const HttpAnswer answer = Get("/a.txt");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "0123456789");
    std::vector<std::string> names;
    for (const auto& [name, value] : answer.headers) names.push_back(name);
    EXPECT_EQ(names, (std::vector<std::string>{
                         "Date", "Server", "Content-Type", "Last-Modified",
                         "ETag", "Accept-Ranges", "Content-Length"}));
    EXPECT_EQ(answer.Header("Content-Type"), "text/plain; charset=utf-8");
    EXPECT_EQ(answer.Header("Last-Modified"), kDate);
    EXPECT_EQ(answer.Header("Accept-Ranges"), "bytes");
    const HttpAnswer large = Get("/large.txt");
    EXPECT_TRUE(large.body == large_);
    EXPECT_EQ(large.headers.size(), 7u);
  }
  EXPECT_EQ(Get("/empty.txt").Header("Content-Length"), "0");
  EXPECT_EQ(Get("/empty.txt").status, 200);
}

TEST_F(StaticFilesTest, HeadIsGetWithoutTheBody) {
  for (const char* target :
       {"/a.txt", "/large.txt", "/empty.txt", "/none", "/docs", "/docs/"}) {
    for (int i = 0; i < 2; ++i) {
      const HttpAnswer get = Get(target);
      const std::string bytes = tester_->Exchange(
          absl::StrCat("HEAD ", target, " HTTP/1.1\r\nHost: h\r\n\r\n"));
      EXPECT_TRUE(absl::EndsWith(bytes, "\r\n\r\n")) << bytes;
      const std::vector<HttpAnswer> head = HttpTester::Parse(bytes, true);
      ASSERT_EQ(head.size(), 1u);
      EXPECT_EQ(head[0].status, get.status) << target;
      EXPECT_EQ(head[0].headers.size(), get.headers.size()) << target;
      EXPECT_EQ(head[0].Header("Content-Length"),
                absl::StrCat(get.body.size()));
    }
  }
  EXPECT_EQ(Request("HEAD", "/a.txt", "Range: bytes=0-1\r\n").status, 200)
      << "Range is for GET";
}

TEST_F(StaticFilesTest, OtherMethods) {
  const HttpAnswer options = Request("OPTIONS", "/a.txt");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.Header("Allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(Request("OPTIONS", "*").status, 204);
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "TRACE"}) {
    const HttpAnswer answer = Request(method, "/a.txt");
    EXPECT_EQ(answer.status, 405) << method;
    EXPECT_EQ(answer.Header("Allow"), "GET, HEAD, OPTIONS");
  }
  EXPECT_EQ(tester_->Post("/a.txt", "body").status, 405);
  EXPECT_EQ(Get("/a.txt").status, 200) << "and the connection goes on";
}

TEST_F(StaticFilesTest, ConditionsThatAreMet) {
  const std::string etag = EtagOf("/a.txt");
  for (const std::string& fields :
       {absl::StrCat("If-None-Match: ", etag, "\r\n"),
        absl::StrCat("If-None-Match: \"x\", W/", etag, "\r\n"),
        std::string("If-None-Match: *\r\n"),
        absl::StrCat("If-Modified-Since: ", kDate, "\r\n")}) {
    const HttpAnswer answer = Get("/a.txt", fields);
    EXPECT_EQ(answer.status, 304) << fields;
    EXPECT_EQ(answer.Header("ETag"), etag);
    EXPECT_EQ(answer.Header("Last-Modified"), kDate);
    for (const char* none : {"Content-Type", "Content-Length"}) {
      EXPECT_EQ(answer.Header(none), "") << none;
    }
    EXPECT_EQ(Request("HEAD", "/a.txt", fields).status, 304);
  }
  for (const std::string& fields :
       {absl::StrCat("If-Match: ", etag, "\r\n"),
        std::string("If-None-Match: \"x\"\r\n"),
        absl::StrCat("If-Modified-Since: ", kBefore, "\r\n"),
        absl::StrCat("If-Unmodified-Since: ", kDate, "\r\n")}) {
    EXPECT_EQ(Get("/a.txt", fields).status, 200) << fields;
  }
  EXPECT_EQ(Get("/none", "If-None-Match: *\r\n").status, 404);
}

TEST_F(StaticFilesTest, ConditionsThatFail) {
  for (const std::string& fields :
       {std::string("If-Match: \"x\"\r\n"),
        absl::StrCat("If-Match: W/", EtagOf("/a.txt"), "\r\n"),
        absl::StrCat("If-Unmodified-Since: ", kBefore, "\r\n")}) {
    const HttpAnswer answer = Get("/a.txt", fields);
    EXPECT_EQ(answer.status, 412) << fields;
    EXPECT_EQ(answer.Header("Content-Type"), "text/html; charset=utf-8");
  }
}

TEST_F(StaticFilesTest, OneRange) {
  for (absl::string_view target : {"/a.txt", "/large.txt"}) {
    const std::string content = Get(target).body;
    const size_t size = content.size();
    const struct {
      std::string range;
      size_t first, last;
    } cases[] = {{"0-0", 0, 0},
                 {"0-", 0, size - 1},
                 {"3-5", 3, 5},
                 {"-4", size - 4, size - 1},
                 {"5-99999999999999999999", 5, size - 1},
                 {"-99999999", 0, size - 1},
                 {"1-2,3-4", 1, 4}};
    for (const auto& [range, first, last] : cases) {
      const HttpAnswer answer =
          Get(target, absl::StrCat("Range: bytes=", range, "\r\n"));
      EXPECT_EQ(answer.status, 206) << range;
      EXPECT_TRUE(answer.body == content.substr(first, last - first + 1))
          << target << " " << range;
      EXPECT_EQ(answer.Header("Content-Range"),
                absl::StrCat("bytes ", first, "-", last, "/", size));
      EXPECT_EQ(answer.Header("Content-Type"), "text/plain; charset=utf-8");
      EXPECT_EQ(answer.Header("Last-Modified"), kDate);
      EXPECT_NE(answer.Header("ETag"), "");
    }
  }
}

TEST_F(StaticFilesTest, SeveralRanges) {
  for (absl::string_view target : {"/a.txt", "/large.txt"}) {
    const std::string content = Get(target).body;
    const HttpAnswer answer = Get(target, "Range: bytes=5-6, 0-1,-1\r\n");
    EXPECT_EQ(answer.status, 206);
    EXPECT_EQ(answer.Header("Content-Range"), "");
    absl::string_view boundary = answer.headers[2].second;
    ASSERT_EQ(answer.headers[2].first, "Content-Type");
    ASSERT_TRUE(
        absl::ConsumePrefix(&boundary, "multipart/byteranges; boundary="));
    std::string expected;
    for (const auto& [first, last] : std::vector<std::pair<size_t, size_t>>{
             {5, 6}, {0, 1}, {content.size() - 1, content.size() - 1}}) {
      absl::StrAppend(&expected, expected.empty() ? "" : "\r\n", "--", boundary,
                      "\r\nContent-Type: text/plain; charset=utf-8",
                      "\r\nContent-Range: bytes ", first, "-", last, "/",
                      content.size(), "\r\n\r\n",
                      content.substr(first, last - first + 1));
    }
    absl::StrAppend(&expected, "\r\n--", boundary, "--\r\n");
    EXPECT_EQ(answer.body, expected);
    EXPECT_NE(Get(target, "Range: bytes=5-6, 0-1\r\n").headers[2].second,
              answer.headers[2].second)
        << "nobody foresees it";
  }
}

TEST_F(StaticFilesTest, RangesThatAreNone) {
  for (const char* range : {"bytes=10-", "bytes=99-100", "bytes=-0"}) {
    const HttpAnswer answer =
        Get("/a.txt", absl::StrCat("Range: ", range, "\r\n"));
    EXPECT_EQ(answer.status, 416) << range;
    EXPECT_EQ(answer.Header("Content-Range"), "bytes */10");
  }
  for (const char* range : {"bytes=5-4", "lines=1-2", "bytes=x", "bytes="}) {
    EXPECT_EQ(Get("/a.txt", absl::StrCat("Range: ", range, "\r\n")).status, 200)
        << range;
  }
  EXPECT_EQ(Get("/empty.txt", "Range: bytes=0-\r\n").status, 416);
  EXPECT_EQ(Get("/empty.txt", "Range: bytes=-5\r\n").status, 200);
}

TEST_F(StaticFilesTest, IfRange) {
  const std::string etag = EtagOf("/a.txt");
  const auto status = [this](const std::string& if_range) {
    return Get("/a.txt",
               absl::StrCat("Range: bytes=0-1\r\nIf-Range: ", if_range, "\r\n"))
        .status;
  };
  EXPECT_EQ(status(etag), 206);
  EXPECT_EQ(status(std::string(kDate)), 206);
  EXPECT_EQ(status("\"x\""), 200);
  EXPECT_EQ(status(absl::StrCat("W/", etag)), 200);
  EXPECT_EQ(status(std::string(kBefore)), 200);
  EXPECT_EQ(status("nonsense"), 200);
  // A precondition goes before the range.
  EXPECT_EQ(Get("/a.txt", "Range: bytes=0-1\r\nIf-Match: \"x\"\r\n").status,
            412);
  EXPECT_EQ(
      Get("/a.txt",
          absl::StrCat("Range: bytes=99-\r\nIf-None-Match: ", etag, "\r\n"))
          .status,
      304);
}

TEST_F(StaticFilesTest, Encodings) {
  folder_.Write("a.txt.gz", "zipped");
  folder_.Write("a.txt.br", "brotli");
  const auto get = [this](const char* accept) {
    return Get("/a.txt", absl::StrCat("Accept-Encoding: ", accept, "\r\n"));
  };
  for (int i = 0; i < 2; ++i) {
    const HttpAnswer gzip = get("gzip");
    EXPECT_EQ(gzip.body, "zipped");
    EXPECT_EQ(gzip.Header("Content-Encoding"), "gzip");
    EXPECT_EQ(gzip.Header("Content-Type"), "text/plain; charset=utf-8");
    EXPECT_EQ(gzip.Header("Vary"), "Accept-Encoding");
    EXPECT_EQ(get("gzip, br").Header("Content-Encoding"), "br");
    const HttpAnswer plain = get("zstd");
    EXPECT_EQ(plain.body, "0123456789");
    EXPECT_EQ(plain.Header("Content-Encoding"), "");
    EXPECT_EQ(plain.Header("Vary"), "Accept-Encoding");
    EXPECT_EQ(Get("/a.txt").Header("Vary"), "Accept-Encoding");
    EXPECT_NE(plain.Header("ETag"), gzip.Header("ETag"));
    const HttpAnswer same =
        Get("/a.txt", absl::StrCat("Accept-Encoding: gzip\r\nIf-None-Match: ",
                                   gzip.Header("ETag"), "\r\n"));
    EXPECT_EQ(same.status, 304);
    EXPECT_EQ(same.Header("Vary"), "Accept-Encoding");
    EXPECT_EQ(same.Header("Content-Encoding"), "");
    EXPECT_EQ(Get("/a.txt",
                  absl::StrCat("If-None-Match: ", gzip.Header("ETag"), "\r\n"))
                  .status,
              200)
        << "that is of another form";
    const HttpAnswer range =
        Get("/a.txt", "Accept-Encoding: gzip\r\nRange: bytes=1-2\r\n");
    EXPECT_EQ(range.body, "ip");
    EXPECT_EQ(range.Header("Content-Encoding"), "gzip");
    EXPECT_EQ(range.Header("Content-Range"), "bytes 1-2/6");
  }
}

TEST_F(StaticFilesTest, DirectoriesAreRedirectedTo) {
  Serve({.fields = "X-Site: 1\r\n"});
  const HttpAnswer answer = Get("/docs?a=b");
  EXPECT_EQ(answer.status, 301);
  EXPECT_EQ(answer.Header("Location"), "/docs/?a=b");
  EXPECT_EQ(answer.Header("X-Site"), "1");
  EXPECT_EQ(Get("//docs").Header("Location"), "/docs/");
  EXPECT_EQ(Get("/docs/").body, "docs");
}

TEST_F(StaticFilesTest, FieldsOfTheSiteAreInEachAnswer) {
  FileSiteOptions options = {.fields = "X-Site: 1\r\n"};
  options.error_pages[404] = "/404.html";
  Serve(std::move(options));
  const std::string etag = EtagOf("/a.txt");
  for (const HttpAnswer& answer :
       {Get("/a.txt"), Get("/a.txt"), Get("/large.txt"),
        Get("/a.txt", "Range: bytes=0-1\r\n"),
        Get("/a.txt", "Range: bytes=0-1,5-6\r\n"),
        Get("/a.txt", "Range: bytes=77-\r\n"),
        Get("/a.txt", absl::StrCat("If-None-Match: ", etag, "\r\n")),
        Get("/a.txt", "If-Match: \"x\"\r\n"), Get("/none"),
        Request("OPTIONS", "/"), Request("DELETE", "/")}) {
    int count = 0;
    for (const auto& [name, value] : answer.headers) count += name == "X-Site";
    EXPECT_EQ(count, 1) << answer.status;
  }
}

TEST_F(StaticFilesTest, PagesOfErrors) {
  const HttpAnswer own = Get("/none");
  EXPECT_EQ(own.status, 404);
  EXPECT_TRUE(absl::StrContains(own.body, "Not Found"));
  FileSiteOptions options;
  options.error_pages[404] = "/404.html";
  options.error_pages[416] = "/large.txt";
  Serve(std::move(options));
  for (int i = 0; i < 2; ++i) {
    const HttpAnswer answer = Get("/none");
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.body, "<p>not here");
    for (const char* none : {"ETag", "Last-Modified", "Accept-Ranges"}) {
      EXPECT_EQ(answer.Header(none), "") << none;
    }
    const HttpAnswer large = Get("/a.txt", "Range: bytes=77-\r\n");
    EXPECT_EQ(large.status, 416);
    EXPECT_TRUE(large.body == large_);
  }
}

TEST_F(StaticFilesTest, AFallbackIsAnAnswer) {
  Serve({.fallback = "/docs/index.html"});
  for (int i = 0; i < 2; ++i) {
    const HttpAnswer answer = Get("/some/view");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, "docs");
  }
}

TEST_F(StaticFilesTest, AChangeIsSeenByTheNextRequest) {
  EXPECT_EQ(Get("/a.txt").body, "0123456789");
  EXPECT_EQ(Get("/a.txt").body, "0123456789");
  folder_.Replace("a.txt", "new");
  tester_->pair().Advance(absl::Milliseconds(5));
  EXPECT_EQ(Get("/a.txt").body, "new");
  folder_.Remove("a.txt");
  tester_->pair().Advance(absl::Milliseconds(5));
  EXPECT_EQ(Get("/a.txt").status, 404);
}

}  // namespace
}  // namespace baton
