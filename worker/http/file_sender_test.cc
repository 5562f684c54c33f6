// Responses that another worker goes on with.

#include "worker/http/file_sender.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/connection_image.h"
#include "net/testing/pair.h"
#include "net/unique_fd.h"
#include "net/wire.h"
#include "worker/files/testing/test_folder.h"
#include "worker/http/http_connection.h"
#include "worker/http/http_service.h"
#include "worker/http/testing/http_tester.h"

namespace baton {
namespace {

using testing::HttpAnswer;
using testing::HttpTester;
using testing::Pair;
using testing::TestFolder;

std::string Pattern(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>('a' + i % 25 + i / 25 % 2);
  return text;
}

// An application's body: two stretches, and nothing behind the last one.
HttpResponse TwoParts(const HttpRequest&) {
  UniqueFd fd(memfd_create("parts", MFD_CLOEXEC));
  const std::string content = Pattern(40'000);
  PCHECK(write(fd.get(), content.data(), content.size()) == 40'000);
  FileBody body = {.file = std::make_shared<const UniqueFd>(std::move(fd)),
                   .parts = {},
                   .after = {}};
  body.parts.push_back({.before = "<", .offset = 0, .size = 30'000});
  body.parts.push_back({.before = "|", .offset = 20'000, .size = 20'000});
  return HttpResponse().File(std::move(body));
}

// What differs between two answers to one request: the date and the boundary.
std::string Normal(std::string text) {
  const auto replace = [&text](const std::string& from, const std::string& to) {
    for (size_t at = text.find(from); at != std::string::npos;
         at = text.find(from, at + to.size())) {
      text.replace(at, from.size(), to);
    }
  };
  if (const size_t at = text.find("boundary="); at != std::string::npos) {
    const size_t begin = at + 9;
    replace(text.substr(begin, text.find('\r', begin) - begin), "B");
  }
  if (const size_t at = text.find("Date: "); at != std::string::npos) {
    text.erase(at, text.find('\r', at) - at);
  }
  return text;
}

class FileSenderTest : public ::testing::Test {
 protected:
  FileSenderTest() : large_(Pattern(100'000)) {
    service_.Get("/parts", TwoParts).Get("/", [](const HttpRequest&) {
      return HttpResponse::Text("root");
    });
    folder_.Write("large", large_);
    HttpListener listener;
    listener.files = std::make_shared<StaticFiles>(
        FileSite::Open({.root = folder_.path()}).value());
    tester_.emplace(service_, listener);
  }

  static std::string Get(absl::string_view target,
                         absl::string_view fields = "") {
    return absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: h\r\n", fields,
                        "\r\n");
  }

  // The whole stream, of which a first worker sends `window` bytes and a second
  // one the rest, unless it can't be moved there. `closed`: in the end, for
  // more to be written at least.
  struct Moved {
    std::string bytes;
    bool moved = false;
    bool closed = false;
  };
  Moved SendThenMove(absl::string_view request, size_t window) {
    Pair first(ServeHttp, &tester_->clock(), tester_->settings());
    first.SetWindow(window);
    first.Send(request);
    Moved result{first.Received()};
    const std::optional<ConnectionImage> image = first.Export();
    UniqueFd file = first.ExportFile();
    if (!image.has_value() || !file) return result;
    Pair second(ServeHttp, &tester_->clock(), tester_->settings(), *image,
                std::move(file));
    result.moved = true;
    result.bytes += second.Received();
    result.closed = second.closed() || second.write_closed();
    return result;
  }
  // Wherever it is cut, the client gets the same. How often it was moved.
  int Compare(absl::string_view request, bool closes) {
    Pair whole(ServeHttp, &tester_->clock(), tester_->settings());
    whole.Send(request);
    const std::string bytes = whole.Received();
    const std::string expected = Normal(bytes);
    EXPECT_EQ(whole.closed(), closes);
    int moved = 0;
    for (size_t window = 1; window < bytes.size(); window += 997) {
      const Moved result = SendThenMove(request, window);
      if (!result.moved) continue;
      ++moved;
      EXPECT_TRUE(Normal(result.bytes) == expected) << "cut at " << window;
      EXPECT_EQ(result.closed, closes) << "cut at " << window;
    }
    return moved;
  }

  const std::string large_;
  TestFolder folder_;
  HttpService service_;
  std::optional<HttpTester> tester_;
};

TEST_F(FileSenderTest, AFileMoves) {
  EXPECT_GT(Compare(Get("/large"), false), 90);
  EXPECT_GT(Compare(Get("/large", "Range: bytes=9000-80000\r\n"), false), 60);
}

TEST_F(FileSenderTest, AfterItTheConnectionEndsIfItIsToEnd) {
  EXPECT_GT(Compare(Get("/large", "Connection: close\r\n"), true), 90);
  EXPECT_GT(Compare("GET /large HTTP/1.0\r\n\r\n", true), 90);
}

TEST_F(FileSenderTest, SeveralStretchesMove) {
  EXPECT_GT(
      Compare(Get("/large", "Range: bytes=50000-90000,0-20000,40000-40009\r\n"),
              false),
      50);
}

TEST_F(FileSenderTest, NothingIsSentTwiceInTheLastStretch) {
  EXPECT_GT(Compare(Get("/parts"), false), 40);
}

TEST_F(FileSenderTest, RequestsBehindItAreAnsweredThere) {
  const std::string requests =
      absl::StrCat(Get("/"), Get("/large"), Get("/parts"), Get("/"));
  const Moved moved = SendThenMove(requests, 50'000);
  ASSERT_TRUE(moved.moved);
  const std::vector<HttpAnswer> answers = HttpTester::Parse(moved.bytes);
  ASSERT_EQ(answers.size(), 4u);
  EXPECT_TRUE(answers[1].body == large_);
  EXPECT_EQ(answers[2].body.size(), 50'002u);
  EXPECT_EQ(answers[3].body, "root");
  EXPECT_FALSE(moved.closed);
}

TEST_F(FileSenderTest, ItLingersThereWhenMoreHasCome) {
  Pair first(ServeHttp, &tester_->clock(), tester_->settings());
  first.SetWindow(50'000);
  first.Send(absl::StrCat(Get("/large", "Connection: close\r\n"), Get("/")));
  const std::optional<ConnectionImage> image = first.Export();
  ASSERT_TRUE(image.has_value());
  Pair second(ServeHttp, &tester_->clock(), tester_->settings(), *image,
              first.ExportFile());
  EXPECT_TRUE(absl::EndsWith(second.Received(), large_.substr(90'000)));
  EXPECT_TRUE(second.write_closed());
  EXPECT_FALSE(second.closed());
  second.Advance(absl::Seconds(3));
  EXPECT_TRUE(second.closed());
}

TEST_F(FileSenderTest, AFileThatShrinksEndsTheConnection) {
  Pair pair(ServeHttp, &tester_->clock(), tester_->settings());
  pair.SetWindow(30'000);
  pair.Send(absl::StrCat(Get("/large"), Get("/")));
  ASSERT_EQ(truncate(folder_.Path("large").c_str(), 50'000), 0);
  pair.SetWindow(1'000'000);
  const std::string bytes = pair.Received();
  EXPECT_TRUE(pair.closed()) << "never a wrong length";
  EXPECT_TRUE(absl::EndsWith(bytes, large_.substr(40'000, 10'000)));
}

TEST(HttpRestTest, GoesThroughItsBytes) {
  HttpRest rest;
  rest.close = true;
  rest.parts = {
      {.before = "a", .offset = 5, .size = 6},
      {.before = "", .offset = std::numeric_limits<int64_t>::max(), .size = 0}};
  rest.after = std::string("x\0y", 3);
  rest.access_blob = "line";
  const std::string bytes = rest.Encode();
  const absl::StatusOr<HttpRest> read =
      HttpRest::Decode(HttpRest::kVersion, bytes);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->close);
  EXPECT_EQ(read->parts, rest.parts);
  EXPECT_EQ(read->after, rest.after);
  EXPECT_EQ(read->access_blob, "line");
  EXPECT_EQ(read->Encode(), bytes);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(
        HttpRest::Decode(HttpRest::kVersion, bytes.substr(0, size)).ok())
        << size;
  }
  EXPECT_FALSE(HttpRest::Decode(HttpRest::kVersion + 1, bytes).ok());
  EXPECT_FALSE(HttpRest::Decode(0, bytes).ok());
}

TEST(HttpRestTest, NumbersThatAreNone) {
  const auto decodes = [](uint32_t count, uint64_t offset, uint64_t size) {
    std::string bytes;
    PutInt<uint8_t>(bytes, 0);
    PutInt<uint32_t>(bytes, count);
    PutText(bytes, "");
    PutInt<uint64_t>(bytes, offset);
    PutInt<uint64_t>(bytes, size);
    PutText(bytes, "");
    PutText(bytes, "");
    return HttpRest::Decode(HttpRest::kVersion, bytes).ok();
  };
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_TRUE(decodes(1, 5, 6));
  EXPECT_TRUE(decodes(1, kMost, 0));
  EXPECT_FALSE(decodes(1, kMost, 1)) << "beyond the end of any file";
  EXPECT_FALSE(decodes(1, kMost + 1, 0));
  EXPECT_FALSE(decodes(1, 0, kMost + 1));
  EXPECT_FALSE(decodes(2, 5, 6));
  EXPECT_FALSE(decodes(std::numeric_limits<uint32_t>::max(), 5, 6));
}

TEST_F(FileSenderTest, ARestThatIsNotInTheFileEndsTheConnection) {
  HttpRest rest;
  rest.parts = {{.before = "", .offset = 1'000'000, .size = 5}};
  ConnectionImage image;
  image.state_version = HttpRest::kVersion;
  image.state = rest.Encode();
  image.file = FileRest{.offset = 99'990, .size = 10};
  Pair pair(
      ServeHttp, &tester_->clock(), tester_->settings(), image,
      UniqueFd(open(folder_.Path("large").c_str(), O_RDONLY | O_CLOEXEC)));
  EXPECT_EQ(pair.Received(), large_.substr(99'990));
  EXPECT_TRUE(pair.closed());
}

}  // namespace
}  // namespace baton
