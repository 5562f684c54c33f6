#include "tests/access_log_fixture.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/server_process.h"

namespace baton {
namespace {

constexpr absl::string_view kRequest =
    "GET /?%22 HTTP/1.1\r\nHost: h\r\nUser-Agent: test\r\n\r\n";
constexpr absl::string_view kBody = "Hello, World!";

std::string NewFolder() {
  std::string folder = "/tmp/baton_XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return folder;
}

// ADDR - - [22/Nov/2026:03:35:17 +0000] "REQUEST" 200 1 "REFERER" "AGENT"
bool IsCombined(const std::string& line) {
  const std::vector<std::string> parts = absl::StrSplit(line, '"');
  if (parts.size() != 7) return false;
  const std::vector<std::string> start = absl::StrSplit(parts[0], ' ');
  const std::vector<std::string> numbers = absl::StrSplit(parts[2], ' ');
  int status = 0;
  uint64_t bytes = 0;
  return start.size() == 6 && start[3].size() == 21 && start[4] == "+0000]" &&
         numbers.size() == 4 && absl::SimpleAtoi(numbers[1], &status) &&
         absl::SimpleAtoi(numbers[2], &bytes) && parts[4] == " " &&
         parts[6].empty();
}

}  // namespace

AccessLogFixture::AccessLogFixture()
    : HandoverTest("tests/http_server"), folder_(NewFolder()) {}

AccessLogFixture::~AccessLogFixture() { std::filesystem::remove_all(folder_); }

std::string AccessLogFixture::Listen(absl::string_view options,
                                     absl::string_view more) {
  return absl::StrCat("--listen=http://127.0.0.1:0?", options,
                      more.empty() ? "" : ",", more, "\n--workers=2");
}

std::string AccessLogFixture::ListenTo(absl::string_view name,
                                       absl::string_view format) const {
  return Listen(
      absl::StrCat("access_log=", Path(name), "&access_format=", format));
}

std::vector<std::string> AccessLogFixture::LinesOf(absl::string_view text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

std::vector<std::string> AccessLogFixture::Lines(absl::string_view name) const {
  return LinesOf(ReadFile(Path(name)));
}

void AccessLogFixture::AwaitLines(absl::string_view name, size_t count) const {
  WaitUntil(absl::StrCat(count, " lines in ", name),
            [&] { return Lines(name).size() >= count; });
  EXPECT_EQ(Lines(name).size(), count);
}

void AccessLogFixture::ExpectWhole(const std::vector<std::string>& lines,
                                   absl::string_view format) {
  const auto is_whole = [format](const std::string& line) {
    return format == "json" ? nlohmann::json::accept(line) : IsCombined(line);
  };
  for (const std::string& line : lines) ASSERT_TRUE(is_whole(line)) << line;
}

void AccessLogFixture::Get(TestClient& client, int count) {
  if (count == 0) return;
  // All answers are of the same size.
  ASSERT_TRUE(client.Send(kRequest));
  std::string first;
  while (!absl::EndsWith(first, kBody)) {
    const std::string byte = client.Receive(1);
    ASSERT_FALSE(byte.empty()) << first;
    first += byte;
  }
  constexpr int kAtOnce = 100;
  for (int left = count - 1; left > 0; left -= kAtOnce) {
    const int now = std::min(left, kAtOnce);
    std::string requests;
    for (int i = 0; i < now; ++i) absl::StrAppend(&requests, kRequest);
    ASSERT_TRUE(client.Send(requests));
    const std::string answers = client.Receive(first.size() * now);
    ASSERT_EQ(answers.size(), first.size() * now);
    ASSERT_TRUE(absl::EndsWith(answers, kBody));
  }
}

int64_t AccessLogFixture::Metric(absl::string_view outcome) {
  int64_t sum = 0;
  for (const std::string& line : LinesOf(Metrics())) {
    if (!absl::StartsWith(line, "baton_access_log_lines_total{") ||
        !absl::StrContains(line, outcome)) {
      continue;
    }
    int64_t value = 0;
    EXPECT_TRUE(absl::SimpleAtoi(line.substr(line.rfind(' ') + 1), &value))
        << line;
    sum += value;
  }
  return sum;
}

}  // namespace baton
