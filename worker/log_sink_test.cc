#include "worker/log_sink.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "worker/log_event.h"

namespace baton {
namespace {

void Ignore(int signal) {
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(sigaction(signal, &ignore, nullptr), 0);
}

class LogPipe {
 public:
  LogPipe() {
    std::array<int, 2> fds = {-1, -1};
    EXPECT_EQ(pipe2(fds.data(), O_CLOEXEC), 0);
    out_.reset(fds[0]);
    in_.reset(fds[1]);
    EXPECT_EQ(fcntl(out_.get(), F_SETFL, O_NONBLOCK), 0);
  }

  UniqueFd TakeInput() { return std::move(in_); }

  // What has been logged since the last call, line by line.
  std::vector<std::string> Lines() {
    std::string all;
    std::array<char, 65536> chunk;
    for (ssize_t n; (n = read(out_.get(), chunk.data(), chunk.size())) > 0;) {
      all.append(chunk.data(), static_cast<size_t>(n));
    }
    return absl::StrSplit(all, '\n', absl::SkipEmpty());
  }

 private:
  UniqueFd out_;
  UniqueFd in_;
};

class LogSinkTest : public testing::Test {
 protected:
  void SetUp() override { Ignore(SIGPIPE); }

  LogPipe pipe_;
};

TEST_F(LogSinkTest, TextLinesOfPlainLogsAndEvents) {
  LineLogSink sink(pipe_.TakeInput(), LogFormat::kText, "master");
  LOG(WARNING) << "hello";
  LogEvent("worker_ready").Field("slot", 1);
  const std::vector<std::string> lines = pipe_.Lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0][0], 'W');
  EXPECT_TRUE(absl::StrContains(lines[0], absl::StrCat(" ", getpid(), " ")));
  EXPECT_TRUE(absl::StrContains(lines[0], " log_sink_test.cc:"));
  EXPECT_TRUE(absl::EndsWith(lines[0], "] master: hello"));
  EXPECT_TRUE(absl::EndsWith(lines[1], "] master: worker_ready slot=1"));
}

TEST_F(LogSinkTest, JsonLines) {
  LineLogSink sink(pipe_.TakeInput(), LogFormat::kJson, "worker 2");
  const absl::Time before = absl::Now();
  LOG(ERROR) << "a \"b\"\nc";
  LogEvent("worker_ready").Field("slot", 1).Field("why", "a b");
  const std::vector<std::string> lines = pipe_.Lines();
  ASSERT_EQ(lines.size(), 2u);
  const auto plain = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(plain["level"], "error");
  EXPECT_EQ(plain["pid"], getpid());
  EXPECT_EQ(plain["role"], "worker 2");
  EXPECT_EQ(plain["file"], "log_sink_test.cc");
  EXPECT_EQ(plain["message"], "a \"b\"\nc");
  EXPECT_FALSE(plain.contains("event"));
  absl::Time time;
  std::string error;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full,
                              plain["time"].get<std::string>(), &time, &error))
      << error;
  EXPECT_LE(absl::AbsDuration(time - before), absl::Minutes(1));
  const auto event = nlohmann::json::parse(lines[1]);
  EXPECT_EQ(event["event"], "worker_ready");
  EXPECT_EQ(event["fields"]["slot"], 1);
  EXPECT_EQ(event["fields"]["why"], "a b");
}

TEST_F(LogSinkTest, NothingElseOfGlogSpeaks) {
  testing::internal::CaptureStderr();
  {
    LineLogSink sink(pipe_.TakeInput(), LogFormat::kText, "master");
    LOG(INFO) << "info";
    LOG(ERROR) << "error";
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(pipe_.Lines().size(), 2u);
}

TEST_F(LogSinkTest, MinloglevelHolds) {
  LineLogSink sink(pipe_.TakeInput(), LogFormat::kText, "master");
  FLAGS_minloglevel = google::GLOG_WARNING;
  LogEvent("quiet");
  LOG(INFO) << "quiet";
  FLAGS_minloglevel = google::GLOG_INFO;
  EXPECT_TRUE(pipe_.Lines().empty());
}

TEST_F(LogSinkTest, AChildSpeaksForItself) {
  LineLogSink sink(pipe_.TakeInput(), LogFormat::kJson, "master");
  LOG(INFO) << "parent";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    sink.AfterFork("worker 0");
    LOG(INFO) << "child";
    _exit(sink.dropped() == 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const std::vector<std::string> lines = pipe_.Lines();
  ASSERT_EQ(lines.size(), 2u);  // nothing twice
  const auto of_child = nlohmann::json::parse(lines[1]);
  EXPECT_EQ(of_child["pid"], child);
  EXPECT_EQ(of_child["role"], "worker 0");
  EXPECT_EQ(nlohmann::json::parse(lines[0])["pid"], getpid());
}

TEST_F(LogSinkTest, WhatAFullPipeLostIsCountedAndReported) {
  LineLogSink sink(pipe_.TakeInput(), LogFormat::kJson, "master");
  const std::string filler(2000, 'x');
  while (sink.dropped() < 3) LOG(INFO) << filler;
  std::vector<std::string> lines = pipe_.Lines();
  EXPECT_GT(lines.size(), 10u);
  LOG(INFO) << "room again";
  LOG(INFO) << "and again";
  for (const std::string& line : pipe_.Lines()) lines.push_back(line);
  // A report is short: one may have found room in the last page of the pipe.
  int reported = 0;
  for (const std::string& line : lines) {
    const auto json = nlohmann::json::parse(line);
    if (!json.contains("event")) continue;
    EXPECT_EQ(json["event"], "log_lines_dropped");
    EXPECT_EQ(json["level"], "warning");
    reported += json["fields"]["count"].get<int>();
  }
  EXPECT_EQ(reported, 3);
  EXPECT_EQ(sink.dropped(), 3u);
  EXPECT_EQ(nlohmann::json::parse(lines.back())["message"], "and again");
}

TEST_F(LogSinkTest, AfterForkTheCountStartsAnew) {
  LineLogSink sink(pipe_.TakeInput(), LogFormat::kText, "master");
  const std::string filler(2000, 'x');
  while (sink.dropped() == 0) LOG(INFO) << filler;
  (void)pipe_.Lines();
  sink.AfterFork("worker 1");
  EXPECT_EQ(sink.dropped(), 0u);
  LOG(INFO) << "clean";
  EXPECT_EQ(pipe_.Lines().size(), 1u);
}

TEST_F(LogSinkTest, ReopenChangesTheLog) {
  LineLogSink sink(pipe_.TakeInput(), LogFormat::kText, "master");
  LOG(INFO) << "old";
  LogPipe rotated;
  sink.Reopen(rotated.TakeInput(), LogFormat::kJson);
  LOG(INFO) << "new";
  ASSERT_EQ(pipe_.Lines().size(), 1u);
  const std::vector<std::string> lines = rotated.Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(absl::StrContains(lines[0], "\"message\":\"new\"")) << lines[0];
}

TEST_F(LogSinkTest, AHugeMessageIsOneLine) {
  LineLogSink sink(pipe_.TakeInput(), LogFormat::kJson, "master");
  LOG(INFO) << std::string(20000, '\n');
  const std::vector<std::string> lines = pipe_.Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_LE(lines[0].size(), 4096u);
  EXPECT_TRUE(nlohmann::json::accept(lines[0]));
}

TEST_F(LogSinkTest, LinesOfThreadsDoNotMix) {
  LineLogSink sink(pipe_.TakeInput(), LogFormat::kJson, "master");
  constexpr int kThreads = 4;
  constexpr int kLines = 50;
  {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([i] {
        for (int j = 0; j < kLines; ++j) {
          LogEvent("from_thread").Field("thread", i).Field("n", j);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const std::vector<std::string> lines = pipe_.Lines();
  EXPECT_EQ(lines.size() + sink.dropped(), size_t{kThreads * kLines});
  for (const std::string& line : lines) {
    const auto json = nlohmann::json::parse(line);
    EXPECT_EQ(
        json["message"],
        absl::StrCat("from_thread thread=", json["fields"]["thread"].get<int>(),
                     " n=", json["fields"]["n"].get<int>()));
  }
}

using LogSinkDeathTest = LogSinkTest;

TEST_F(LogSinkDeathTest, AFailedCheckIsInTheLog) {
  const UniqueFd input = pipe_.TakeInput();
  EXPECT_DEATH(
      {
        LineLogSink sink(UniqueFd(dup(input.get())), LogFormat::kText,
                         "worker 3");
        CHECK_EQ(1, 2) << "sums";
      },
      "");
  const std::vector<std::string> lines = pipe_.Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0][0], 'F');
  EXPECT_TRUE(
      absl::EndsWith(lines[0], "worker 3: Check failed: 1 == 2 (1 vs. 2) sums"))
      << lines[0];
}

}  // namespace
}  // namespace baton
