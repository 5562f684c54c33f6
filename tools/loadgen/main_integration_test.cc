// The program: command line, exit codes, signals.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"
#include "tools/loadgen/fault_server.h"

namespace baton::loadgen {
namespace {

using ::testing::HasSubstr;

constexpr char kProgram[] = "tools/loadgen/loadgen";

struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
  UniqueFd read, write;
};

class Program {
 public:
  explicit Program(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kProgram);
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in_.read.get(), 0);
    ::posix_spawn_file_actions_adddup2(&actions, out_.write.get(), 1);
    ::posix_spawn_file_actions_adddup2(&actions, err_.write.get(), 2);
    EXPECT_EQ(
        ::posix_spawn(&pid_, kProgram, &actions, nullptr, argv.data(), environ),
        0);
    ::posix_spawn_file_actions_destroy(&actions);
    out_.write.reset();
    err_.write.reset();
  }

  pid_t pid() const { return pid_; }
  int input() const { return in_.write.get(); }
  // Reads one of the outputs until it holds `text`.
  void WaitForError(absl::string_view text) {
    while (!absl::StrContains(outcome_.err, text) &&
           Append(err_.read.get(), &outcome_.err)) {
    }
    EXPECT_THAT(outcome_.err, HasSubstr(std::string(text)));
  }

  Outcome Finish() {
    in_.write.reset();
    // Neither output is more than a pipe holds.
    while (Append(out_.read.get(), &outcome_.out)) {
    }
    while (Append(err_.read.get(), &outcome_.err)) {
    }
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    EXPECT_TRUE(WIFEXITED(status)) << status;
    outcome_.exit_code = WEXITSTATUS(status);
    return outcome_;
  }

 private:
  static bool Append(int fd, std::string* text) {
    char buffer[4096];
    const ssize_t got = ::read(fd, buffer, sizeof(buffer));
    if (got > 0) text->append(buffer, got);
    return got > 0;
  }

  Pipe in_, out_, err_;
  pid_t pid_ = -1;
  Outcome outcome_;
};

Outcome RunProgram(std::vector<std::string> arguments) {
  return Program(std::move(arguments)).Finish();
}

std::string Url(const FaultServer& server) {
  return absl::StrCat("echo://", server.target().endpoint.ToString());
}

TEST(MainIntegrationTest, HelpIsOneScreenAndTellsAllFlags) {
  const Outcome help = RunProgram({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  const std::vector<std::string> lines = absl::StrSplit(help.out, '\n');
  EXPECT_LE(lines.size(), 40u);
  for (const std::string& line : lines) EXPECT_LE(line.size(), 80u) << line;
  // What the full help has of this program, the screen has too.
  const Outcome full = RunProgram({"--helpon=main"});
  int flags = 0;
  for (absl::string_view line : absl::StrSplit(full.out, '\n')) {
    if (!absl::ConsumePrefix(&line, "    -")) continue;
    const absl::string_view name = line.substr(0, line.find(' '));
    EXPECT_THAT(help.out, HasSubstr(absl::StrCat("--", name)));
    ++flags;
  }
  EXPECT_GE(flags, 15);
}

TEST(MainIntegrationTest, BadUsageIsExitCode2AndOneLineThatNamesIt) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{}, "URL"},
      {{"echo://127.0.0.1:1", "echo://127.0.0.1:2"}, "URL"},
      {{"--no_such_flag", "echo://127.0.0.1:1"}, "no_such_flag"},
      {{"--connections=many", "echo://127.0.0.1:1"}, "connections"},
      {{"--connections=0", "echo://127.0.0.1:1"}, "--connections"},
      {{"--duration=5", "echo://127.0.0.1:1"}, "--duration"},
      {{"--timeout=1.5s", "echo://127.0.0.1:1"}, "--timeout"},
      {{"--size=1kb", "echo://127.0.0.1:1"}, "--size"},
      {{"--idle", "--rate=5", "echo://127.0.0.1:1"}, "--idle"},
      {{"gopher://127.0.0.1:1"}, "gopher"},
      {{"--connections=2000000000", "echo://127.0.0.1:1"}, "2000000000"},
  };
  for (const auto& [arguments, named] : cases) {
    const Outcome outcome = RunProgram(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << named;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, HasSubstr(named));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1)
        << outcome.err;
  }
}

TEST(MainIntegrationTest, NoErrorIsExitCode0) {
  FaultServer server({});
  const Outcome outcome =
      RunProgram({"--connections=5", "--count=100", "--json", Url(server)});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["exchanges"], 100);
  EXPECT_EQ(json["target"], Url(server));
}

TEST(MainIntegrationTest, AnErrorIsExitCode1) {
  FaultServer server({.answer = [](const Message& message) -> Reply {
    if (message.total == 9) return {"", Reply::Then::kReset};
    return Echo(message);
  }});
  const Outcome outcome = RunProgram({"--count=20", Url(server)});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("errors       1\n"));
  EXPECT_THAT(outcome.out, HasSubstr("exchanges    19,"));
}

TEST(MainIntegrationTest, SigintEndsTheRunWithItsReport) {
  FaultServer server({});
  Program program(
      {"--progress", "--duration=1h", "--think=1ms", "--json", Url(server)});
  program.WaitForError("1 open");
  ASSERT_EQ(::kill(program.pid(), SIGINT), 0);
  const Outcome outcome = program.Finish();
  EXPECT_EQ(outcome.exit_code, 0);
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json["interrupted"], true);
  EXPECT_GT(json["exchanges"], 0);
}

TEST(MainIntegrationTest, InteractiveSendsItsInputAndPrintsTheAnswer) {
  FaultServer server({.message_bytes = 3});
  Program program({"--interactive", Url(server)});
  ASSERT_EQ(::write(program.input(), "hi\n", 3), 3);
  const Outcome outcome = program.Finish();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "hi\n");
}

}  // namespace
}  // namespace baton::loadgen
