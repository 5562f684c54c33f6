#include "worker/log_line.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr size_t kMax = 4095;

LogRecord Record(absl::string_view message) {
  LogRecord record;
  record.severity = google::GLOG_INFO;
  record.unix_seconds = 1732161600;  // 2024-11-21 04:00:00 UTC
  record.microseconds = 42;
  record.clock.tm_year = 124;
  record.clock.tm_mon = 10;
  record.clock.tm_mday = 21;
  record.clock.tm_hour = 5;
  record.clock.tm_min = 0;
  record.clock.tm_sec = 7;
  record.pid = 4242;
  record.role = "worker 2";
  record.file = "shell.cc";
  record.line = 12;
  record.message = message;
  return record;
}

std::string TextOf(absl::string_view message) {
  std::string out;
  AppendTextEscaped(message, kMax, &out);
  return out;
}

std::string JsonOf(absl::string_view message) {
  std::string out;
  AppendJsonEscaped(message, kMax, &out);
  return out;
}

TEST(LogLine, TextIsGlogsLineWithTheRole) {
  EXPECT_EQ(FormatLogLine(LogFormat::kText, Record("hello"), kMax),
            "I20241121 05:00:07.000042 4242 shell.cc:12] worker 2: hello\n");
}

TEST(LogLine, TextWithoutARole) {
  LogRecord record = Record("hello");
  record.role = "";
  record.severity = google::GLOG_FATAL;
  EXPECT_EQ(FormatLogLine(LogFormat::kText, record, kMax),
            "F20241121 05:00:07.000042 4242 shell.cc:12] hello\n");
}

TEST(LogLine, JsonHasStableKeysInOrder) {
  EXPECT_EQ(FormatLogLine(LogFormat::kJson, Record("hello"), kMax),
            R"({"time":"2024-11-21T04:00:00.000042Z","level":"info",)"
            R"("pid":4242,"role":"worker 2","file":"shell.cc","line":12,)"
            R"("message":"hello"})"
            "\n");
}

TEST(LogLine, JsonOfAnEvent) {
  LogRecord record = Record("worker_ready slot=2");
  record.severity = google::GLOG_WARNING;
  record.event = "worker_ready";
  record.fields = R"("slot":2)";
  const auto json =
      nlohmann::json::parse(FormatLogLine(LogFormat::kJson, record, kMax));
  EXPECT_EQ(json["level"], "warning");
  EXPECT_EQ(json["event"], "worker_ready");
  EXPECT_EQ(json["fields"], nlohmann::json({{"slot", 2}}));
  EXPECT_EQ(json["message"], "worker_ready slot=2");
}

TEST(LogLine, ANewlineStartsNoSecondRecord) {
  const std::string forged = "x\nI20241121 05:00:07.000042 1 a.cc:1] forged";
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    const std::string line = FormatLogLine(format, Record(forged), kMax);
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
    EXPECT_EQ(line.back(), '\n');
  }
}

TEST(LogLine, TheRoleAndTheFileAreEscapedToo) {
  LogRecord record = Record("m");
  record.role = "a\"\nb";
  record.file = "c\nd.cc";
  EXPECT_TRUE(absl::StrContains(FormatLogLine(LogFormat::kText, record, kMax),
                                R"(c\nd.cc:12] a"\nb: m)"));
  const auto json =
      nlohmann::json::parse(FormatLogLine(LogFormat::kJson, record, kMax));
  EXPECT_EQ(json["role"], "a\"\nb");
  EXPECT_EQ(json["file"], "c\nd.cc");
}

TEST(LogEscape, TextKeepsWhatIsPrintable) {
  EXPECT_EQ(TextOf(R"(plain "quoted" back\slash ünïcödé 漢 😀)"),
            R"(plain "quoted" back\slash ünïcödé 漢 😀)");
}

TEST(LogEscape, TextEscapesWhatMovesACursor) {
  EXPECT_EQ(TextOf("\n\r\t"), R"(\n\r\t)");
  EXPECT_EQ(TextOf("\x1b[2J\x7f"), R"(\x1b[2J\x7f)");
  EXPECT_EQ(TextOf(absl::string_view("\0", 1)), R"(\x00)");
  EXPECT_EQ(TextOf("\xc2\x9b"), R"(\xc2\x9b)");          // CSI
  EXPECT_EQ(TextOf("\xe2\x80\xae"), R"(\xe2\x80\xae)");  // override
  EXPECT_EQ(TextOf("\xe2\x80\xa8"), R"(\xe2\x80\xa8)");  // separator
  EXPECT_EQ(TextOf("\xe2\x81\xa6"), R"(\xe2\x81\xa6)");  // isolate
}

TEST(LogEscape, BytesThatAreNotUtf8) {
  for (const absl::string_view bad :
       {"\x80", "\xc0", "\xc1", "\xf5", "\xff", "\xc3", "\xe2\x82"}) {
    EXPECT_TRUE(absl::StartsWith(TextOf(bad), "\\x")) << TextOf(bad);
    EXPECT_TRUE(absl::StartsWith(JsonOf(bad), "\\ufffd")) << JsonOf(bad);
  }
  // Over-long '/', a surrogate, beyond Unicode: byte for byte.
  EXPECT_EQ(JsonOf("\xc0\xaf"), R"(\ufffd\ufffd)");
  EXPECT_EQ(JsonOf("\xe0\x80\xaf"), R"(\ufffd\ufffd\ufffd)");
  EXPECT_EQ(JsonOf("\xed\xa0\x80"), R"(\ufffd\ufffd\ufffd)");
  EXPECT_EQ(JsonOf("\xf4\x90\x80\x80"), R"(\ufffd\ufffd\ufffd\ufffd)");
  // What follows is not swallowed.
  EXPECT_EQ(JsonOf("\xe2\"x"), R"(\ufffd\"x)");
}

TEST(LogEscape, Json) {
  EXPECT_EQ(JsonOf("\"\\/\n\r\t"), R"(\"\\/\n\r\t)");
  EXPECT_EQ(JsonOf("\x01\x1f\x7f"), R"(\u0001\u001f\u007f)");
  EXPECT_EQ(JsonOf("ü漢😀"), "ü漢😀");
}

TEST(LogEscape, WhatIsCutSaysSo) {
  std::string out = "before ";
  EXPECT_TRUE(AppendTextEscaped("12345678", 8, &out));
  EXPECT_EQ(out, "before 12345678");
  out.clear();
  EXPECT_FALSE(AppendTextEscaped("123456789", 8, &out));
  EXPECT_EQ(out, "12345...");
  out.clear();
  EXPECT_FALSE(AppendTextEscaped("ab", 1, &out));  // no room for the dots
  EXPECT_EQ(out, "");
}

TEST(LogEscape, ACutSplitsNoEscapeAndNoCharacter) {
  for (size_t max = 3; max < 60; ++max) {
    std::string out;
    AppendJsonEscaped("\n\"ü漢😀\x80\x01\n\"ü漢😀\x80\x01", max, &out);
    EXPECT_LE(out.size(), max);
    EXPECT_TRUE(nlohmann::json::accept(absl::StrCat("\"", out, "\""))) << out;
  }
}

TEST(LogLine, NeverLongerThanAsked) {
  const std::string message(10000, '\x01');  // grows by escaping
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    for (const size_t max : {kMinLogLineBytes, size_t{2000}, kMax}) {
      const std::string line = FormatLogLine(format, Record(message), max);
      EXPECT_LE(line.size(), max);
      EXPECT_GT(line.size(), max - 20);
      EXPECT_EQ(line.back(), '\n');
      EXPECT_TRUE(absl::StrContains(line, "..."));
    }
  }
}

TEST(LogLine, FieldsThatDoNotFitAreLeftOutAndSaidToBe) {
  const std::string fields =
      absl::StrCat("\"x\":\"", std::string(1000, 'x'), "\"");
  LogRecord record = Record("big x=...");
  record.event = "big";
  record.fields = fields;
  const std::string line =
      FormatLogLine(LogFormat::kJson, record, kMinLogLineBytes);
  EXPECT_LE(line.size(), kMinLogLineBytes);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["event"], "big");
  EXPECT_EQ(json["fields_cut"], true);
  EXPECT_FALSE(json.contains("fields"));
  EXPECT_EQ(json["message"], "big x=...");
}

TEST(LogLine, AnyBytesMakeOneLineOfValidJson) {
  std::mt19937 random(20241121);
  for (int round = 0; round < 2000; ++round) {
    std::string message(random() % 200, '\0');
    for (char& c : message) c = static_cast<char>(random());
    const std::string json =
        FormatLogLine(LogFormat::kJson, Record(message), kMinLogLineBytes);
    ASSERT_TRUE(nlohmann::json::accept(json)) << json;
    const std::string text =
        FormatLogLine(LogFormat::kText, Record(message), kMinLogLineBytes);
    for (const std::string& line : {json, text}) {
      ASSERT_LE(line.size(), kMinLogLineBytes);
      ASSERT_EQ(std::count_if(line.begin(), line.end(), absl::ascii_iscntrl), 1)
          << line;
    }
  }
}

}  // namespace
}  // namespace baton
