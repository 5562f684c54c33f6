// A folder as clients meet it: what is in it, parts of that, and pages where
// there is none.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/files_fixture.h"
#include "tests/http_answer.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

// More than a worker keeps in memory.
constexpr size_t kLarge = 100'000;

class ServerFilesTest : public FilesFixture {};

// --- whole files

TEST_F(ServerFilesTest, AFileHasItsTypeAndADirectoryItsIndex) {
  Write("index.html", "<p>top</p>");
  Write("docs/home.htm", "<p>docs</p>");
  Write("a.css", "a {}");
  Write("a b%.png", "picture");
  Write("none", "?");
  Write("empty.txt", "");
  Serve("index=index.html;home.htm");
  const HttpAnswer top = Get("/");
  EXPECT_EQ(top.status, 200);
  EXPECT_EQ(top.body, "<p>top</p>");
  EXPECT_EQ(top.Field("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(Get("/docs/").body, "<p>docs</p>");
  EXPECT_EQ(Get("/a.css").Field("Content-Type"), "text/css; charset=utf-8");
  const HttpAnswer picture = Get("/a%20b%25.png");
  EXPECT_EQ(picture.body, "picture");
  EXPECT_EQ(picture.Field("Content-Type"), "image/png");
  EXPECT_EQ(Get("/none").Field("Content-Type"), "application/octet-stream");
  const HttpAnswer empty = Get("/empty.txt");
  EXPECT_EQ(empty.status, 200);
  EXPECT_EQ(empty.Field("Content-Length"), "0");
}

TEST_F(ServerFilesTest, ALargeFileComesWhole) {
  Write("large", BytesOfFile(5'000'000));
  Serve();
  for (int i = 0; i < 3; ++i) {
    // No diff of megabytes.
    EXPECT_TRUE(Get("/large").body == BytesOfFile(5'000'000));
  }
}

TEST_F(ServerFilesTest, AHeadSaysWhatAGetWould) {
  Write("small", "small");
  Write("large", BytesOfFile(kLarge));
  Serve();
  for (const char* path : {"/small", "/large", "/none"}) {
    EXPECT_EQ(Head(path).head, Get(path).head) << path;
  }
}

TEST_F(ServerFilesTest, AnOldClientGetsOneAnswerUnlessItAsksForMore) {
  Write("small", "small");
  Write("large", BytesOfFile(kLarge));
  Serve();
  for (const char* path : {"/small", "/large"}) {
    TestClient once(server().address());
    EXPECT_TRUE(once.Send(absl::StrCat("GET ", path, " HTTP/1.0\r\n\r\n")));
    EXPECT_EQ(ReceiveAnswer(once).Field("Connection"), "close");
    EXPECT_EQ(once.ReceiveAll(), "");
    TestClient twice(server().address());
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(twice.Send(absl::StrCat(
          "GET ", path, " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")));
      EXPECT_EQ(ReceiveAnswer(twice).Field("Connection"), "keep-alive");
    }
  }
}

TEST_F(ServerFilesTest, FilesCanBeReadAndNothingElse) {
  Write("a", "text");
  Serve("header=X-Env:test");
  for (const char* path : {"/a", "/none", "*"}) {
    const HttpAnswer options = Get(path, "", "OPTIONS");
    EXPECT_EQ(options.status, 204) << path;
    EXPECT_EQ(options.Field("Allow"), "GET, HEAD, OPTIONS") << path;
  }
  for (const char* method : {"PUT", "DELETE", "PATCH"}) {
    const HttpAnswer refused = Get("/a", "", method);
    EXPECT_EQ(refused.status, 405);
    EXPECT_EQ(refused.Field("Allow"), "GET, HEAD, OPTIONS");
    EXPECT_EQ(refused.Field("X-Env"), "test");
  }
  // The connection goes on behind a body that nobody wants.
  TestClient client(server().address());
  EXPECT_TRUE(client.Send(
      absl::StrCat(HttpRequestTo("/a", "Content-Length: 4\r\n", "POST"), "body",
                   HttpRequestTo("/a", "Content-Length: 4\r\n"), "body",
                   HttpRequestTo("/a"))));
  EXPECT_EQ(ReceiveAnswer(client).status, 405);
  EXPECT_EQ(ReceiveAnswer(client).body, "text");
  EXPECT_EQ(ReceiveAnswer(client).body, "text");
}

// --- conditions and ranges

TEST_F(ServerFilesTest, WhoHasItAlreadyIsToldSo) {
  Write("a.txt", "text");
  Serve("header=X-Env:test");
  const HttpAnswer first = Get("/a.txt");
  const std::string etag = first.Field("ETag");
  const std::string modified = first.Field("Last-Modified");
  EXPECT_THAT(etag, MatchesRegex("\"[0-9a-f]+-[0-9a-f]+\""));
  EXPECT_THAT(modified, MatchesRegex("[A-Z][a-z]+, .* GMT"));
  const std::string same = absl::StrCat("If-None-Match: \"x\", ", etag, "\r\n");
  for (const std::string& condition :
       {same, absl::StrCat("If-Modified-Since: ", modified, "\r\n")}) {
    const HttpAnswer answer = Get("/a.txt", condition);
    EXPECT_EQ(answer.status, 304) << condition;
    EXPECT_EQ(answer.Field("ETag"), etag);
    EXPECT_EQ(answer.Field("X-Env"), "test");
  }
  EXPECT_EQ(Get("/a.txt", "If-None-Match: \"x\"\r\n").body, "text");
  EXPECT_EQ(Get("/a.txt", "If-Match: \"x\"\r\n").status, 412);
  EXPECT_EQ(Get("/a.txt", "If-Match: *\r\n").status, 200);
  EXPECT_EQ(
      Get("/a.txt", "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT\r\n")
          .status,
      412);
}

class ServerFilesRangeTest : public ServerFilesTest,
                             public testing::WithParamInterface<size_t> {};

TEST_P(ServerFilesRangeTest, PartsOfAFile) {
  const std::string all = BytesOfFile(GetParam());
  const std::string size = absl::StrCat(all.size());
  Write("file", all);
  Serve();
  const HttpAnswer first = Get("/file", "Range: bytes=0-9\r\n");
  EXPECT_EQ(first.status, 206);
  EXPECT_EQ(first.body, all.substr(0, 10));
  EXPECT_EQ(first.Field("Content-Range"), "bytes 0-9/" + size);
  EXPECT_EQ(Get("/file", "Range: bytes=-5\r\n").body,
            all.substr(all.size() - 5));
  EXPECT_EQ(Get("/file", "Range: bytes=500-\r\n").body, all.substr(500));
  const HttpAnswer joined = Get("/file", "Range: bytes=0-9,5-19\r\n");
  EXPECT_EQ(joined.Field("Content-Range"), "bytes 0-19/" + size);
  const HttpAnswer none = Get("/file", "Range: bytes=9999999-\r\n");
  EXPECT_EQ(none.status, 416);
  EXPECT_EQ(none.Field("Content-Range"), "bytes */" + size);
  const std::string etag = first.Field("ETag");
  EXPECT_EQ(
      Get("/file", absl::StrCat("Range: bytes=0-9\r\nIf-Range: ", etag, "\r\n"))
          .status,
      206);
  EXPECT_EQ(Get("/file", "Range: bytes=0-9\r\nIf-Range: \"x\"\r\n").status,
            200);
  EXPECT_EQ(Head("/file", "Range: bytes=0-9\r\n").status, 200);
}

TEST_P(ServerFilesRangeTest, SeveralParts) {
  const std::string all = BytesOfFile(GetParam());
  Write("file", all);
  Serve();
  const HttpAnswer answer = Get("/file", "Range: bytes=100-199,0-9,-1\r\n");
  EXPECT_EQ(answer.status, 206);
  const std::string type = answer.Field("Content-Type");
  const std::string prefix = "multipart/byteranges; boundary=";
  ASSERT_THAT(type, StartsWith(prefix));
  const std::string boundary = type.substr(prefix.size());
  const auto part = [&](size_t begin, size_t size) {
    return absl::StrCat("--", boundary,
                        "\r\nContent-Type: application/octet-stream\r\n"
                        "Content-Range: bytes ",
                        begin, "-", begin + size - 1, "/", all.size(),
                        "\r\n\r\n", all.substr(begin, size), "\r\n");
  };
  EXPECT_EQ(answer.body,
            absl::StrCat(part(100, 100), part(0, 10), part(all.size() - 1, 1),
                         "--", boundary, "--\r\n"));
}

INSTANTIATE_TEST_SUITE_P(InMemoryAndNot, ServerFilesRangeTest,
                         testing::Values(1000, kLarge));

TEST_F(ServerFilesTest, ACompressedNeighbourIsSentToWhoTakesIt) {
  Write("a.css", "plain");
  Write("a.css.gz", "zipped");
  Write("a.css.br", "brotli");
  Write("b.css", "alone");
  Serve();
  const HttpAnswer brotli =
      Get("/a.css", "Accept-Encoding: gzip, br;q=0.9, deflate\r\n");
  EXPECT_EQ(brotli.body, "zipped");
  EXPECT_EQ(brotli.Field("Content-Encoding"), "gzip");
  EXPECT_EQ(brotli.Field("Content-Type"), "text/css; charset=utf-8");
  EXPECT_EQ(brotli.Field("Vary"), "Accept-Encoding");
  EXPECT_EQ(Get("/a.css", "Accept-Encoding: gzip, br\r\n").body, "brotli");
  const HttpAnswer plain = Get("/a.css");
  EXPECT_EQ(plain.body, "plain");
  EXPECT_EQ(plain.Field("Vary"), "Accept-Encoding");
  EXPECT_FALSE(plain.HasField("Content-Encoding"));
  EXPECT_NE(plain.Field("ETag"), brotli.Field("ETag"));
  EXPECT_FALSE(Get("/b.css", "Accept-Encoding: gzip, br\r\n").HasField("Vary"));
}

// --- directories and pages

TEST_F(ServerFilesTest, ADirectoryIsWhereItsSlashIs) {
  Write("docs/index.html", "docs");
  Write("a b/c", "");
  Serve();
  const HttpAnswer moved = Get("/docs?x=1&y");
  EXPECT_EQ(moved.status, 301);
  EXPECT_EQ(moved.Field("Location"), "/docs/?x=1&y");
  EXPECT_EQ(Get("//docs").Field("Location"), "/docs/");
  EXPECT_EQ(Get("/a%20b").Field("Location"), "/a%20b/");
  EXPECT_EQ(Get("/a%20b/").status, 403) << "there is no listing";
  EXPECT_EQ(Get("/docs/index.html/").status, 404);
}

TEST_F(ServerFilesTest, ADirectoryIsListed) {
  Write("docs/a<b>.txt", "text");
  Write("docs/deep/c", "");
  Write("docs/.hidden", "");
  Write("home/index.html", "home");
  Serve("autoindex=1&cache_control=no-cache");
  const HttpAnswer page = Get("/docs/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.Field("Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.Field("Cache-Control"), "no-cache");
  EXPECT_THAT(page.body, HasSubstr("<a href=\"./a%3Cb%3E.txt\">"));
  EXPECT_THAT(page.body, HasSubstr("<a href=\"./deep/\">"));
  EXPECT_THAT(page.body, Not(HasSubstr("hidden")));
  EXPECT_EQ(Head("/docs/").head, page.head);
  EXPECT_EQ(Get("/home/").body, "home");
  EXPECT_EQ(Get("/none/").status, 404);
  // A file that comes is in it at once.
  Write("docs/later", "");
  EXPECT_THAT(Get("/docs/").body, HasSubstr("<a href=\"./later\">"));
}

TEST_F(ServerFilesTest, AnApplicationOfOnePageIsEverywhere) {
  Write("index.html", "app");
  Write("a.js", "code");
  Write("folder/x", "");
  Serve("fallback=/index.html");
  for (const char* path : {"/", "/users/7", "/users/7/", "/x%2F..", "/.git"}) {
    const HttpAnswer answer = Get(path);
    EXPECT_EQ(answer.status, 200) << path;
    EXPECT_EQ(answer.body, "app") << path;
    EXPECT_EQ(answer.Field("Content-Type"), "text/html; charset=utf-8");
  }
  EXPECT_EQ(Get("/a.js").body, "code");
  EXPECT_EQ(Get("/folder/").status, 403);
}

TEST_F(ServerFilesTest, ErrorsHaveThePagesOfTheSite) {
  const std::string large = BytesOfFile(kLarge);
  Write("404.html", "<p>not here</p>");
  Write("errors/large.html", large);
  Write("folder/x", "");
  Serve("error_page=404:/404.html&error_page=403:/errors/large.html");
  const HttpAnswer nothing = Get("/none");
  EXPECT_EQ(nothing.status, 404);
  EXPECT_EQ(nothing.body, "<p>not here</p>");
  EXPECT_FALSE(nothing.HasField("ETag"));
  EXPECT_FALSE(nothing.HasField("Last-Modified"));
  EXPECT_EQ(Head("/none").head, nothing.head);
  const HttpAnswer forbidden = Get("/folder/");
  EXPECT_EQ(forbidden.status, 403);
  EXPECT_TRUE(forbidden.body == large);
  // There is one for each status; and by its own name it is a file.
  EXPECT_THAT(Get("/404.html", "Range: bytes=99-\r\n").body, HasSubstr("416"));
  EXPECT_EQ(Get("/404.html").status, 200);
}

TEST_F(ServerFilesTest, EachAnswerHasTheFieldsOfTheSite) {
  Write("a", "text");
  Serve("header=X-One:1&header=X-Two:a:b&cache_control=max-age=3600");
  for (const char* path : {"/a", "/none"}) {
    const HttpAnswer answer = Get(path);
    EXPECT_EQ(answer.Field("X-One"), "1") << path;
    EXPECT_EQ(answer.Field("X-Two"), "a:b") << path;
  }
  EXPECT_EQ(Get("/a").Field("Cache-Control"), "max-age=3600");
  // What is not there may be there soon.
  EXPECT_FALSE(Get("/none").HasField("Cache-Control"));
}

// --- many at once

TEST_F(ServerFilesTest, RequestsInARowAreAnsweredInTheirOrder) {
  const std::string large = BytesOfFile(kLarge);
  Write("small", "small");
  Write("large", large);
  Serve("autoindex=1");
  std::string requests;
  constexpr int kRounds = 40;
  for (int i = 0; i < kRounds; ++i) {
    absl::StrAppend(&requests, HttpRequestTo("/small"), HttpRequestTo("/none"),
                    HttpRequestTo("/large"), HttpRequestTo("/"),
                    HttpRequestTo("/large", "Range: bytes=7-8,1-2\r\n"),
                    HttpRequestTo("/large", "", "HEAD"));
  }
  TestClient client(server().address());
  ASSERT_TRUE(client.Send(requests));
  for (int i = 0; i < kRounds; ++i) {
    EXPECT_EQ(ReceiveAnswer(client).body, "small");
    EXPECT_EQ(ReceiveAnswer(client).status, 404);
    EXPECT_TRUE(ReceiveAnswer(client).body == large);
    EXPECT_THAT(ReceiveAnswer(client).body, HasSubstr("Index of /"));
    EXPECT_THAT(ReceiveAnswer(client).body, EndsWith("--\r\n"));
    ASSERT_EQ(ReceiveAnswer(client, "HEAD").Field("Content-Length"),
              absl::StrCat(kLarge));
  }
}

// What one of them has to wait with is nobody else's.
TEST_F(ServerFilesTest, ManyWhoReadLateGetTheirOwn) {
  constexpr int kClients = 4;
  constexpr int kRounds = 60;
  const std::string bytes = BytesOfFile(kLarge);
  std::vector<TestClient> clients;
  Serve();
  for (int i = 0; i < kClients; ++i) {
    const std::string small = absl::StrCat("/small", i);
    const std::string large = absl::StrCat("/large", i);
    Write(small, absl::StrCat(i, bytes.substr(0, 5000)));
    Write(large, absl::StrCat(i, bytes));
    std::string requests;
    for (int round = 0; round < kRounds; ++round) {
      absl::StrAppend(&requests, HttpRequestTo(small), HttpRequestTo(small),
                      HttpRequestTo(large), HttpRequestTo(large));
    }
    clients.emplace_back(server().address());
    ASSERT_TRUE(clients.back().Send(requests));
  }
  for (int i = 0; i < kClients; ++i) {
    for (int answer = 0; answer < 4 * kRounds; ++answer) {
      ASSERT_TRUE(
          ReceiveAnswer(clients[static_cast<size_t>(i)]).body ==
          absl::StrCat(i, answer % 4 < 2 ? bytes.substr(0, 5000) : bytes))
          << i << ": " << answer;
    }
  }
}

}  // namespace
}  // namespace baton
