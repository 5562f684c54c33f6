// What the command line says, and how it is answered: exit codes and messages.

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/listen_socket.h"
#include "tests/server_process.h"

namespace baton {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string TempPath(const std::string& name) {
  return absl::StrCat(
      testing::TempDir(), "/",
      testing::UnitTest::GetInstance()->current_test_info()->name(), ".",
      getpid(), ".", name);
}

void ExpectRefused(const std::vector<std::string>& args,
                   const testing::Matcher<const std::string&>& message) {
  const Finished finished = RunServer(args);
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.err, message);
  EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1)
      << finished.err;
  EXPECT_EQ(finished.out, "");
}

TEST(ServerFlagsTest, WithoutAListenerItSaysWhichSchemesThereAre) {
  ExpectRefused({"--listen="}, AllOf(HasSubstr("--listen"),
                                     HasSubstr("discard"), HasSubstr("echo")));
}

TEST(ServerFlagsTest, AnUnknownFlagIsNamed) {
  ExpectRefused({"--listen=echo://127.0.0.1:0", "--wrokers=2"},
                HasSubstr("--wrokers"));
}

TEST(ServerFlagsTest, ABadValueIsNamedWithItsFlag) {
  ExpectRefused({"--listen=echo://127.0.0.1:0", "--stop_timeout=soon"},
                AllOf(HasSubstr("--stop_timeout"), HasSubstr("soon")));
}

// A title for the terminal, and a line of its own.
TEST(ServerFlagsTest, ControlCharactersInAValueDoNotReachTheTerminal) {
  const Finished finished =
      RunServer({"--listen=echo://127.0.0.1:0",
                 "--log_file=/nowhere/\x1b]0;x\x07\nbaton: all is well"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.err,
              HasSubstr("/nowhere/\\x1b]0;x\\x07\\nbaton: all is well"));
  EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1)
      << finished.err;
}

TEST(ServerFlagsTest, AnUnknownSchemeIsNamedWithThoseThereAre) {
  ExpectRefused({"--listen=gopher://127.0.0.1:0"},
                AllOf(HasSubstr("gopher"), HasSubstr("echo")));
}

TEST(ServerFlagsTest, AnUnknownOptionIsNamed) {
  ExpectRefused({"--listen=echo://127.0.0.1:0?colour=red"},
                HasSubstr("colour"));
}

TEST(ServerFlagsTest, HelpAndVersionGoToStdout) {
  const Finished help = RunServer({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("--listen"), HasSubstr("--workers")));
  EXPECT_EQ(help.err, "");
  const Finished version = RunServer({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(version.out, HasSubstr("baton "));
}

TEST(ServerFlagsTest, CheckBindsNothing) {
  const auto taken =
      OpenListener(*ParseListenUrl("echo://127.0.0.1:0"), ListenFlags());
  ASSERT_TRUE(taken.ok());
  const std::string address = Endpoint::LocalOf(taken->get())->ToString();
  const Finished finished =
      RunServer({"--check", absl::StrCat("--listen=echo://", address)});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_EQ(finished.out, "configuration ok\n");
}

TEST(ServerFlagsTest, CheckNamesFileAndLine) {
  const std::string path = TempPath("flags");
  std::ofstream(path) << "# ours\n--listen=echo://127.0.0.1:0\n--workers=few\n";
  ExpectRefused(
      {"--check", "--flagfile=" + path},
      AllOf(HasSubstr(path + ":3"), HasSubstr("--workers"), HasSubstr("few")));
}

TEST(ServerFlagsTest, AnEmptyFlagFileIsRefusedAndOneOfCommentsIsNot) {
  const std::string path = TempPath("flags");
  std::ofstream{path};
  const std::string flag = "--flagfile=" + path;
  const auto names_it = HasSubstr(path + ": empty");
  ExpectRefused({"--check", flag}, names_it);
  ExpectRefused({flag}, names_it);
  std::ofstream(path) << "# all as it comes";
  const Finished finished = RunServer({"--check", flag});
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
}

TEST(ServerFlagsTest, TheCommandLineGoesBeforeTheEnvironmentBeforeTheFile) {
  const std::string path = TempPath("flags");
  std::ofstream(path) << "--listen=echo://127.0.0.1:0\n--workers=1\n";
  const std::string file = "--flagfile=" + path;
  const std::vector<std::string> environment = {"BATON_WORKERS=2"};
  const auto workers = [](ServerProcess& server) {
    return server.WaitFor("ready").value("workers", 0);
  };
  ServerProcess from_file({file});
  EXPECT_EQ(workers(from_file), 1);
  ServerProcess from_environment({file}, environment);
  EXPECT_EQ(workers(from_environment), 2);
  ServerProcess from_command_line({file, "--workers=3"}, environment);
  EXPECT_EQ(workers(from_command_line), 3);
}

TEST(ServerFlagsTest, WhoLetsWorkersRunAsRootIsWarned) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  constexpr char kWarning[] = "workers run as root: --user=NAME";
  const auto check = [](const std::string& flag) {
    return RunServer({"--check", "--listen=echo://127.0.0.1:0", flag}).err;
  };
  EXPECT_THAT(check("--user="), HasSubstr(kWarning));
  EXPECT_THAT(check("--group=root"), HasSubstr(kWarning));
  EXPECT_THAT(check("--user=root"), Not(HasSubstr(kWarning)));
  ServerProcess server({"--listen=echo://127.0.0.1:0", "--workers=1"});
  server.WaitReady();
  EXPECT_THAT(server.log(), HasSubstr(kWarning));
}

// A server that was started so by an older build is to be upgraded.
TEST(ServerFlagsTest, WhatDoesNothingIsWarnedOfAndNotRefused) {
  const std::vector<std::string> args = {"--listen=echo://127.0.0.1:0",
                                         "--workers=1", "--watch_flagfile",
                                         "--max_rss=15MiB"};
  std::vector<std::string> check = args;
  check.emplace_back("--check");
  const auto warns =
      AllOf(HasSubstr("--watch_flagfile: there is nothing to watch without"),
            HasSubstr("--max_rss=15MiB is hardly more than a new worker has"));
  const Finished finished = RunServer(check);
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_THAT(finished.err, warns);
  ServerProcess server(args);
  server.WaitReady();
  EXPECT_THAT(server.log(), warns);
}

// --- what can't be started

TEST(ServerFlagsTest, APortInUseIsNamedEvenIfItsOwnerWouldShareIt) {
  ListenFlags flags;
  flags.reuseport = true;
  const auto taken = OpenListener(*ParseListenUrl("echo://127.0.0.1:0"), flags);
  ASSERT_TRUE(taken.ok());
  const std::string address = Endpoint::LocalOf(taken->get())->ToString();
  const Finished finished =
      RunServer({absl::StrCat("--listen=echo://", address)});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.err, AllOf(HasSubstr("--listen: \"echo://" + address),
                                  HasSubstr("EADDRINUSE")));
}

TEST(ServerFlagsTest, AUnixPathThatAnswersIsInUse) {
  const SocketPath socket_path;
  const std::string& path = socket_path.get();
  ServerProcess first({"--listen=echo+unix://" + path, "--workers=1"});
  first.WaitReady();
  const Finished second = RunServer({"--listen=echo+unix://" + path});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, AllOf(HasSubstr(path), HasSubstr("EADDRINUSE")));
  first.Signal(SIGTERM);
  EXPECT_EQ(first.Wait().exit_code, 0);
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "it is removed at exit";
}

// Its URL is none that anybody wrote.
TEST(ServerFlagsTest, AControlSocketThatCanNotBeBoundIsNamed) {
  const SocketPath socket_path;
  const std::string& path = socket_path.get();
  ServerProcess first({"--listen=echo+unix://" + path, "--workers=1"});
  first.WaitReady();
  const Finished second =
      RunServer({"--listen=echo://127.0.0.1:0", "--control=" + path});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, AllOf(HasSubstr("--control: bind " + path + ": "),
                                HasSubstr("EADDRINUSE")));
}

TEST(ServerFlagsTest, AnAccessLogThatCanNotBeOpenedIsNamedByStartAndCheck) {
  const std::string listen =
      "--listen=http://127.0.0.1:0?access_log=/nonexistent/log";
  const auto names_it = HasSubstr(
      "--listen: access_log=\"/nonexistent/log\": open log /nonexistent/log: ");
  const Finished start = RunServer({listen});
  EXPECT_EQ(start.exit_code, 1);
  EXPECT_THAT(start.err, names_it);
  ExpectRefused({"--check", listen}, names_it);
}

TEST(ServerFlagsTest, ALogThatCanNotBeOpenedIsNamed) {
  const Finished finished = RunServer(
      {"--listen=echo://127.0.0.1:0", "--log_file=/nonexistent/baton.log"});
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.err,
              HasSubstr("--log_file: open log /nonexistent/baton.log"));
}

TEST(ServerFlagsTest, ThePidFileIsWrittenWhenReadyLockedAndRemoved) {
  const std::string path = TempPath("pid");
  const std::vector<std::string> args = {"--listen=echo://127.0.0.1:0",
                                         "--workers=1", "--pid_file=" + path};
  ServerProcess server(args);
  server.WaitReady();
  std::ifstream file(path);
  pid_t written = 0;
  file >> written;
  EXPECT_EQ(written, server.pid());

  const Finished second = RunServer(args);
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, AllOf(HasSubstr("--pid_file: lock " + path),
                                HasSubstr(std::to_string(server.pid()))));
  EXPECT_EQ(access(path.c_str(), F_OK), 0) << "the second removed it";

  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace baton
