#include "tools/loadgen/report.h"

#include <string>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace baton::loadgen {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Report Sample() {
  Report report;
  report.target = "echo://127.0.0.1:7007";
  report.mode = "closed";
  report.connections = 10;
  report.size = 64;
  report.elapsed = absl::Seconds(2);
  report.cpu = absl::Milliseconds(4);
  report.tally.exchanges = 1000;
  report.tally.bytes_sent = 64'000;
  report.tally.bytes_received = 64'000;
  report.tally.connections = 10;
  for (int i = 1; i <= 1000; ++i) report.latency.Record(i * 1000);
  return report;
}

TEST(ReportTest, JsonHasTheNumbers) {
  const auto json = nlohmann::json::parse(ReportJson(Sample()));
  EXPECT_EQ(json["target"], "echo://127.0.0.1:7007");
  EXPECT_EQ(json["mode"], "closed");
  EXPECT_EQ(json["exchanges"], 1000);
  EXPECT_DOUBLE_EQ(json["exchanges_per_second"], 500);
  EXPECT_DOUBLE_EQ(json["seconds"], 2);
  EXPECT_DOUBLE_EQ(json["cpu_us_per_exchange"], 4);
  EXPECT_NEAR(json["latency_us"]["p50"], 500, 5);
  EXPECT_NEAR(json["latency_us"]["p99_9"], 999, 10);
  EXPECT_DOUBLE_EQ(json["latency_us"]["max"], 1000);
  EXPECT_DOUBLE_EQ(json["latency_us"]["mean"], 500.5);
  EXPECT_EQ(json["latency_us"]["count"], 1000);
  EXPECT_EQ(json["errors"]["total"], 0);
}

// Programs depend on these: a key may be added, none may go.
TEST(ReportTest, JsonKeysAreStable) {
  const auto json = nlohmann::json::parse(ReportJson(Report()));
  for (const char* key : {"target",
                          "mode",
                          "connections",
                          "size",
                          "rate",
                          "seconds",
                          "interrupted",
                          "abandoned",
                          "exchanges",
                          "exchanges_per_second",
                          "bytes_sent",
                          "bytes_received",
                          "connections_opened",
                          "told_to_close",
                          "held",
                          "alive",
                          "latency_us",
                          "connect_us",
                          "lag_us",
                          "errors",
                          "cpu_seconds",
                          "cpu_us_per_exchange"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  for (const char* key :
       {"p50", "p90", "p99", "p99_9", "max", "mean", "count"}) {
    EXPECT_TRUE(json["latency_us"].contains(key)) << key;
  }
  for (const char* key :
       {"connect_refused", "connect_timeout", "connect_failed", "reset", "eof",
        "timeout", "mismatch", "status", "local", "unsent"}) {
    EXPECT_EQ(json["errors"][key], 0) << key;
    EXPECT_EQ(json["errors"]["new"][key], 0) << key;
    EXPECT_EQ(json["errors"]["reused"][key], 0) << key;
  }
}

TEST(ReportTest, ErrorsAreToldByKindAndAge) {
  Report report = Sample();
  report.tally.errors(ErrorKind::kReset, Age::kNew) = 2;
  report.tally.errors(ErrorKind::kReset, Age::kReused) = 3;
  report.tally.errors(ErrorKind::kTimeout, Age::kNew) = 4;
  report.tally.first_error = "connection 3, exchange 0: recv: \xff";
  EXPECT_EQ(report.exit_code(), 1);
  const auto json = nlohmann::json::parse(ReportJson(report));
  EXPECT_EQ(json["errors"]["total"], 9);
  EXPECT_EQ(json["errors"]["reset"], 5);
  EXPECT_EQ(json["errors"]["new"]["reset"], 2);
  EXPECT_EQ(json["errors"]["reused"]["reset"], 3);
  EXPECT_EQ(json["errors"]["timeout"], 4);

  const std::string text = ReportText(report);
  EXPECT_THAT(text, HasSubstr("errors       9"));
  EXPECT_THAT(text, HasSubstr("5 (new 2, reused 3)"));
  EXPECT_THAT(text, HasSubstr("the first: connection 3, exchange 0"));
  EXPECT_THAT(text, Not(HasSubstr("eof")));
}

TEST(ReportTest, TextSaysWhatWasMeasured) {
  Report report = Sample();
  EXPECT_THAT(ReportText(report), HasSubstr("exchanges    1000, 500/s"));
  EXPECT_THAT(ReportText(report), HasSubstr("errors       none"));
  EXPECT_THAT(ReportText(report), Not(HasSubstr("sent late")));
  EXPECT_THAT(ReportText(report), Not(HasSubstr("interrupted")));
  EXPECT_THAT(ReportText(report), Not(HasSubstr("told to close")));
  EXPECT_THAT(ReportText(report), Not(HasSubstr("still alive")));
  report.lag.Record(5000);
  report.interrupted = true;
  report.tally.told_to_close = 7;
  report.mode = "idle";
  report.held = 10;
  report.alive = 9;
  EXPECT_THAT(ReportText(report), HasSubstr("sent late by"));
  EXPECT_THAT(ReportText(report), HasSubstr("interrupted"));
  EXPECT_THAT(ReportText(report), HasSubstr("7 told to close"));
  EXPECT_THAT(ReportText(report), HasSubstr("held         10, still alive 9"));
}

}  // namespace
}  // namespace baton::loadgen
