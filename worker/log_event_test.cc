#include "worker/log_event.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

// Keeps the last record that glog passed on.
class Capture : public google::LogSink {
 public:
  Capture() { google::AddLogSink(this); }
  ~Capture() override { google::RemoveLogSink(this); }

  void send(google::LogSeverity severity, const char* /*full_filename*/,
            const char* base_filename, int line,
            const google::LogMessageTime& /*time*/, const char* message,
            size_t message_len) override {
    severity_ = severity;
    file_ = base_filename;
    line_ = line;
    message_.assign(message, message_len);
    const LogEvent::Structure* event = LogEvent::Current();
    event_ = event == nullptr ? "none" : std::string(event->name);
    fields_ = event == nullptr ? "" : absl::StrCat("{", event->fields, "}");
  }
  using google::LogSink::send;

  google::LogSeverity severity_ = -1;
  std::string file_;
  int line_ = 0;
  std::string message_;
  std::string event_;
  std::string fields_;
};

TEST(LogEvent, OneStatementMakesTextAndFields) {
  Capture capture;
  LogEvent("worker_ready").Field("slot", 2).Field("address", "[::1]:80");
  EXPECT_EQ(capture.message_, "worker_ready slot=2 address=[::1]:80");
  EXPECT_EQ(capture.event_, "worker_ready");
  EXPECT_EQ(capture.fields_, R"({"slot":2,"address":"[::1]:80"})");
  EXPECT_EQ(capture.severity_, google::GLOG_INFO);
}

TEST(LogEvent, IsLoggedFromWhereItStands) {
  Capture capture;
  LogEvent("here", google::GLOG_WARNING);
  EXPECT_EQ(capture.line_, __LINE__ - 1);
  EXPECT_EQ(capture.file_, "log_event_test.cc");
  EXPECT_EQ(capture.severity_, google::GLOG_WARNING);
  EXPECT_EQ(capture.message_, "here");
  EXPECT_EQ(capture.fields_, "{}");
}

TEST(LogEvent, APlainLogIsNoEvent) {
  Capture capture;
  LogEvent("first").Field("a", 1);
  LOG(INFO) << "second";
  EXPECT_EQ(capture.message_, "second");
  EXPECT_EQ(capture.event_, "none");
}

TEST(LogEvent, TypesOfFields) {
  Capture capture;
  LogEvent("types")
      .Field("min", std::numeric_limits<int64_t>::min())
      .Field("max", std::numeric_limits<uint64_t>::max())
      .Field("yes", true)
      .Field("half", 0.5)
      .Field("nan", std::nan(""))
      .Field("inf", std::numeric_limits<double>::infinity())
      .Field("string", std::string("s"));
  EXPECT_EQ(capture.message_,
            "types min=-9223372036854775808 max=18446744073709551615 yes=true "
            "half=0.5 nan=nan inf=inf string=s");
  EXPECT_EQ(capture.fields_,
            R"({"min":-9223372036854775808,"max":18446744073709551615,)"
            R"("yes":true,"half":0.5,"nan":null,"inf":null,"string":"s"})");
}

TEST(LogEvent, StringsThatAreNoPlainWordAreQuoted) {
  Capture capture;
  LogEvent("e")
      .Field("empty", "")
      .Field("blank", "a b")
      .Field("forged", "x slot=3")
      .Field("sign", "a=b")
      .Field("quote", "a\"b")
      .Field("newline", "a\nb")
      .Field("bytes", "\xff");
  EXPECT_EQ(capture.message_,
            R"(e empty="" blank="a b" forged="x slot=3" sign="a=b" )"
            R"(quote="a\"b" newline="a\nb" bytes="\ufffd")");
  const auto fields = nlohmann::json::parse(capture.fields_);
  EXPECT_EQ(fields["newline"], "a\nb");
  EXPECT_EQ(fields["quote"], "a\"b");
}

TEST(LogEvent, ALongValueIsCut) {
  Capture capture;
  LogEvent("e").Field("long", std::string(10000, 'x'));
  const auto fields = nlohmann::json::parse(capture.fields_);
  EXPECT_EQ(fields["long"].get<std::string>(),
            std::string(LogEvent::kMaxFieldBytes - 3, 'x') + "...");
}

TEST(LogEventDeathTest, NamesAreOurOwnWords) {
  EXPECT_DEATH(LogEvent("Worker ready"), "Worker ready");
  EXPECT_DEATH(LogEvent(""), "IsName");
  EXPECT_DEATH(LogEvent("ok").Field("a=b", 1), "a=b");
}

}  // namespace
}  // namespace baton
