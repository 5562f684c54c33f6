#include "worker/http/access_line.h"

#include <array>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

// 2026-11-22T03:35:17.042Z
constexpr timespec kNow = {.tv_sec = 1795318517, .tv_nsec = 42'999'999};

AccessRecord Get() {
  AccessRecord record;
  record.client = "192.0.2.7";
  record.method = "GET";
  record.target = "/x?y=1";
  record.host = "example.org";
  record.referer = "https://example.org/";
  record.user_agent = "curl/8.0";
  record.minor_version = 1;
  record.status = 200;
  record.bytes = 1234;
  record.duration_nanos = 57'999;
  record.pid = 4242;
  return record;
}

std::string Line(AccessFormat format, const AccessRecord& record) {
  AccessDate date;
  std::string line(kMaxAccessLineBytes + 1, '#');
  const size_t size = FormatAccessLine(format, record, kNow, date, line.data());
  EXPECT_LE(size, kMaxAccessLineBytes);
  EXPECT_EQ(line.back(), '#');
  line.resize(size);
  EXPECT_EQ(line.find('\n'), size - 1) << line;
  return line;
}
std::string Combined(const AccessRecord& record) {
  return Line(AccessFormat::kCombined, record);
}
nlohmann::json Json(const AccessRecord& record) {
  return nlohmann::json::parse(Line(AccessFormat::kJson, record));
}

// All kinds of bytes, and what is nearly UTF-8.
std::string Hostile() {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  return absl::StrCat(all, "\xc3\xa9\xe2\x80\xae\xf0\x9f\x98\x80\xed\xa0\x80",
                      "\xf4\x90\x80\x80\xc0\xaf\xe2\x82");
}

TEST(AccessLineTest, CombinedIsAsEverybodyReadsIt) {
  EXPECT_EQ(Combined(Get()),
            "192.0.2.7 - - [22/Nov/2026:03:35:17 +0000] \"GET /x?y=1 "
            "HTTP/1.1\" 200 1234 \"https://example.org/\" \"curl/8.0\"\n");
}

TEST(AccessLineTest, JsonHasAllOfIt) {
  AccessRecord record = Get();
  EXPECT_EQ(Line(AccessFormat::kJson, record),
            "{\"time\":\"2026-11-22T03:35:17.042Z\",\"client\":\"192.0.2.7\","
            "\"method\":\"GET\",\"target\":\"/x?y=1\",\"version\":\"1.1\","
            "\"status\":200,\"bytes\":1234,\"duration_us\":57,"
            "\"host\":\"example.org\",\"referer\":\"https://example.org/\","
            "\"user_agent\":\"curl/8.0\",\"pid\":4242}\n");
  record.request_id = "abc-1";
  EXPECT_EQ(Json(record)["request_id"], "abc-1");
}

TEST(AccessLineTest, WhatIsEmptyIsADash) {
  AccessRecord record;
  record.status = 408;
  EXPECT_EQ(Combined(record),
            "- - - [22/Nov/2026:03:35:17 +0000] \"-\" 408 0 \"-\" \"-\"\n");
  const nlohmann::json json = Json(record);
  EXPECT_EQ(json["method"], "");
  EXPECT_EQ(json["version"], "");
  EXPECT_EQ(json["duration_us"], 0);
}

TEST(AccessLineTest, WhatIsNoRequestStandsAsItCame) {
  AccessRecord record;
  record.client = "unix:";
  record.target = "\x16\x03\x01 \"hello\\";
  record.status = 400;
  EXPECT_EQ(Combined(record),
            "unix: - - [22/Nov/2026:03:35:17 +0000] "
            "\"\\x16\\x03\\x01 \\x22hello\\x5C\" 400 0 \"-\" \"-\"\n");
  EXPECT_EQ(Json(record)["target"], std::string(record.target));
}

// At each place in a text, since it is copied in blocks.
TEST(AccessLineTest, NothingEndsAFieldOrALine) {
  for (int before = 0; before < 40; ++before) {
    AccessRecord record = Get();
    const std::string text = std::string(before, 'a') + Hostile();
    record.client = record.method = record.target = text;
    record.referer = record.user_agent = text;
    const std::string line = Combined(record);
    int quotes = 0;
    for (const char c : line.substr(0, line.size() - 1)) {
      ASSERT_TRUE(c >= 0x20 && c <= 0x7e) << int{c};
      quotes += c == '"' ? 1 : 0;
    }
    EXPECT_EQ(quotes, 6) << line;
    EXPECT_TRUE(absl::StrContains(line, "\\x00\\x01")) << line;
    EXPECT_TRUE(absl::StrContains(line, "\\xFE\\xFF\\xC3\\xA9")) << line;
  }
}

TEST(AccessLineTest, JsonIsValidWhateverComes) {
  for (int before = 0; before < 40; ++before) {
    AccessRecord record = Get();
    const std::string text = std::string(before, 'a') + Hostile();
    record.client = record.method = record.target = record.host = text;
    record.referer = record.user_agent = record.request_id = text;
    const nlohmann::json json = Json(record);
    const auto target = json["target"].get<std::string>();
    EXPECT_TRUE(absl::StrContains(target, "\xc3\xa9")) << target;
    EXPECT_TRUE(absl::StrContains(target, "\xf0\x9f\x98\x80")) << target;
    EXPECT_TRUE(absl::StrContains(target, "\xef\xbf\xbd")) << target;
  }
  // What reorders is there, but not as itself.
  AccessRecord record = Get();
  record.target = "/\xe2\x80\xae";
  EXPECT_TRUE(absl::StrContains(Line(AccessFormat::kJson, record), "/\\u202E"));
}

TEST(AccessLineTest, LongTextsAreCut) {
  for (const char byte : {'a', '\x01', '"'}) {
    for (const AccessFormat format :
         {AccessFormat::kCombined, AccessFormat::kJson}) {
      AccessRecord record = Get();
      const std::string text(100'000, byte);
      record.client = record.method = record.target = record.host = text;
      record.referer = record.user_agent = record.request_id = text;
      record.bytes = ~uint64_t{0};
      record.duration_nanos = INT64_MAX;
      record.pid = record.status = INT32_MAX;
      const std::string line = Line(format, record);
      EXPECT_TRUE(absl::StrContains(line, "...\"")) << line;
    }
  }
  AccessRecord record = Get();
  const std::string just_fits(AccessBounds::kTarget - 3, 'a');
  record.target = just_fits;
  EXPECT_EQ(Json(record)["target"], just_fits);
}

TEST(AccessLineTest, TheDateChangesWithTheSecond) {
  AccessDate date;
  EXPECT_EQ(date.Text(AccessFormat::kCombined, 0),
            "01/Jan/1970:00:00:00 +0000");
  EXPECT_EQ(date.Text(AccessFormat::kCombined, 0),
            "01/Jan/1970:00:00:00 +0000");
  EXPECT_EQ(date.Text(AccessFormat::kJson, 951782400), "2000-02-29T00:00:00");
  EXPECT_EQ(date.Text(AccessFormat::kCombined, 951782399),
            "28/Feb/2000:23:59:59 +0000");
}

}  // namespace
}  // namespace baton
