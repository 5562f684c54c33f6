#include "worker/crash_line.h"

#include <ctime>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

CrashLine::Origin SomeOrigin() {
  CrashLine::Origin origin;
  origin.unix_seconds = 1732161607;  // 2024-11-21T04:00:07Z
  origin.microseconds = 42;
  origin.utc_offset_seconds = 3600;
  origin.pid = 4242;
  origin.role = "worker 2";
  origin.file = "crash_trace.cc";
  origin.line = 12;
  return origin;
}

// What the log's own formatter makes of the same.
std::string Ordinary(LogFormat format, absl::string_view text,
                     absl::string_view fields) {
  LogRecord record;
  record.severity = google::GLOG_FATAL;
  record.unix_seconds = 1732161607;
  record.microseconds = 42;
  const time_t local = record.unix_seconds + 3600;
  gmtime_r(&local, &record.clock);
  record.pid = 4242;
  record.role = "worker 2";
  record.file = "crash_trace.cc";
  record.line = 12;
  record.message = text;
  record.event = "crashed";
  record.fields = fields;
  return FormatLogLine(format, record, kMinLogLineBytes);
}

TEST(CrashLineTest, IsTheLineThatTheLogWouldHave) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    CrashLine line(format, SomeOrigin(), "crashed");
    line.Field("function", "a\"b\\c");
    line.Field("index", -17);
    line.HexField("address", 0xdeadbeef01234567);
    EXPECT_EQ(std::string(line.Finish()),
              Ordinary(format,
                       R"(crashed function="a\"b\\c" index=-17)"
                       R"( address="0xdeadbeef01234567")",
                       R"("function":"a\"b\\c","index":-17,)"
                       R"("address":"0xdeadbeef01234567")"));
  }
}

TEST(CrashLineTest, WithoutFields) {
  CrashLine line(LogFormat::kJson, SomeOrigin(), "crashed");
  EXPECT_EQ(std::string(line.Finish()),
            Ordinary(LogFormat::kJson, "crashed", ""));
}

TEST(CrashLineTest, WhateverANameHoldsItIsOneLine) {
  CrashLine line(LogFormat::kJson, SomeOrigin(), "crashed");
  line.Field("function", "a\nb\x1b[1m\xff");
  line.HexField("address", 0);
  const std::string text(line.Finish());
  EXPECT_TRUE(absl::StrContains(text, R"("function":"a?b?[1m?")")) << text;
  EXPECT_TRUE(absl::StrContains(text, R"("address":"0x0")")) << text;
}

TEST(CrashLineTest, ALongNameIsCutAndTheLineIsWhole) {
  const std::string quotes(5000, '"');
  for (const std::string& name : {std::string(5000, 'x'), quotes}) {
    CrashLine json(LogFormat::kJson, SomeOrigin(), "crash_frame");
    json.Field("function", name);
    const std::string line(json.Finish());
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
    CrashLine text(LogFormat::kText, SomeOrigin(), "crash_frame");
    text.Field("function", name);
    EXPECT_EQ(text.Finish().back(), '\n');
  }
}

}  // namespace
}  // namespace baton
