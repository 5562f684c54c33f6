// Upgrades in place: another binary, the same process, and no client that
// notices. The binary is a link that each test swaps between two builds: the
// second has a flag and metrics that the first lacks, before those that both
// have.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/local_http.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"
#include "tests/binary_link.h"
#include "tests/chaos_sockets.h"
#include "tests/handover_fixture.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::HasSubstr;

constexpr char kFirst[] = "tests/reload_server";
constexpr char kSecond[] = "tests/reload_server_second";
constexpr char kGivesBack[] = "tests/reload_server_third";
constexpr char kTakesOlder[] = "tests/reload_server_fourth";

constexpr char kListen[] =
    "--listen=greet://127.0.0.1:0,echo://127.0.0.1:0,stuck://127.0.0.1:0";

class ServerUpgradeTest : public HandoverTest {
 protected:
  ServerUpgradeTest() : HandoverTest(BinaryLink::Path()) {}

  void StartServer(const std::string& flags = "",
                   const std::vector<std::string>& args = {}) {
    std::vector<std::string> all = {"--workers=2"};
    all.insert(all.end(), args.begin(), args.end());
    Start(absl::StrCat(kListen, "\n--greeting=old\n", flags), all);
  }

  // With this in the flag file, to that build; returns upgrade_finished.
  Json Upgrade(const std::string& build, const std::string& flags) {
    link_.PointTo(build);
    WriteFlags(absl::StrCat(kListen, "\n", flags));
    server().Signal(SIGUSR2);
    return server().WaitFor("upgrade_finished");
  }
  void MustUpgrade(const std::string& build, const std::string& flags) {
    const Json finished = Upgrade(build, flags);
    EXPECT_EQ(finished.value("outcome", ""), "ok") << finished;
  }

  std::string Greeting() {
    TestClient client(server().address());
    EXPECT_TRUE(client.Send("?\n"));
    return client.Receive(4);
  }

  // The samples of /metrics whose name ends in _total, or is of a histogram.
  std::map<std::string, double> Counters() {
    std::map<std::string, double> counters;
    for (const absl::string_view line : absl::StrSplit(Metrics(), '\n')) {
      if (absl::StartsWith(line, "#")) continue;
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(line, absl::MaxSplits(' ', 1));
      const bool counts = absl::StrContains(parts.first, "_total") ||
                          absl::StrContains(parts.first, "_bucket") ||
                          absl::StrContains(parts.first, "_sum");
      double value = 0;
      if (counts && absl::SimpleAtod(parts.second, &value)) {
        counters[std::string(parts.first)] = value;
      }
    }
    return counters;
  }

  // Of all slots.
  static double SumOf(const std::map<std::string, double>& counters,
                      absl::string_view name) {
    double sum = 0;
    for (const auto& [sample, value] : counters) {
      if (absl::StartsWith(sample, name)) sum += value;
    }
    return sum;
  }

  Talkers::Exchange Greets() {
    return [](TestClient& client, int) {
      if (!client.Send("?\n")) return false;
      const std::string greeting = client.Receive(4);
      return greeting == "old\n" || greeting == "new\n";
    };
  }

  BinaryLink link_{kFirst};
};

TEST_F(ServerUpgradeTest, GoesToAnotherBuildAndBackWithoutALoss) {
  StartServer();
  const pid_t pid = Status()["pid"];
  Talkers echo(server().address(1), 4);
  Talkers greet(server().address(), 4, Greets());
  std::map<std::string, double> before;
  for (int i = 0; i < 4; ++i) {
    const bool second = i % 2 == 0;
    echo.Await(20);
    greet.Await(20);
    MustUpgrade(second ? kSecond : kFirst,
                second ? "--greeting=new\n--salutation=Sir" : "--greeting=old");
    EXPECT_EQ(Greeting(), second ? "new\n" : "old\n");
    const Json status = Status();
    EXPECT_EQ(status["pid"], pid);
    EXPECT_EQ(status["state"], "running");
    EXPECT_EQ(status["last_reload"]["upgrade"], true);
    const std::map<std::string, double> now = Counters();
    // What only the other one has is there again when it is.
    EXPECT_EQ(SumOf(now, "second_build_lines_total") > 0, second);
    EXPECT_EQ(SumOf(now, "first_build_lines_total") > 0, !second);
    for (const auto& [name, value] : now) {
      const auto earlier = before.find(name);
      if (earlier != before.end()) EXPECT_GE(value, earlier->second) << name;
      before[name] = value;
    }
    EXPECT_GE(SumOf(now, "greetings_total"), 20.0 * (i + 1));
  }
  echo.Stop();
  greet.Stop();
  EXPECT_EQ(echo.broken() + greet.broken(), 0);
  EXPECT_GE(SumOf(Counters(), "greetings_total"), greet.exchanges());
}

TEST_F(ServerUpgradeTest, KeepsWhatWasScaledAndWhoIsPinned) {
  StartServer();
  TestClient busy(server().address(2));
  ASSERT_TRUE(busy.Send("?\n"));
  TestClient half(server().address(1));
  ASSERT_TRUE(half.Send("half a line"));
  EXPECT_EQ(half.Receive(11), "half a line");
  server().Signal(SIGTTIN);
  server().WaitFor("scale_finished");
  MustUpgrade(kSecond, "--greeting=new");
  EXPECT_EQ(Status()["wanted_workers"], 3);
  WaitUntil("one old worker is left", [&] {
    const std::vector<Json> draining = WorkersIn("draining");
    return draining.size() == 1 && draining[0].contains("pinned_by");
  });
  // An old worker is a child of the new master, and is replaced by nobody.
  const pid_t pinned = WorkersIn("draining")[0]["pid"];
  MustUpgrade(kFirst, "--greeting=old");
  EXPECT_EQ(WorkersIn("draining").at(0)["pid"], pinned);
  EXPECT_TRUE(half.Echoes("and the rest\n"));
  EXPECT_EQ(kill(pinned, SIGKILL), 0);
  WaitForEventOf(pinned, "worker_exited");
}

TEST_F(ServerUpgradeTest, ThePidFileAndTheAnswerThatIsWaitedForSurvive) {
  const SocketPath control;
  const std::string pid_file = flag_file() + ".pid";
  StartServer("", {"--control=" + control.get(), "--pid_file=" + pid_file});
  link_.PointTo(kSecond);
  WriteFlags(absl::StrCat(kListen, "\n--greeting=new"));
  const absl::StatusOr<Endpoint> where = Endpoint::Parse(control.get());
  ASSERT_TRUE(where.ok());
  const absl::StatusOr<LocalHttpResponse> answer =
      AskLocally(*where, "POST", "/upgrade", kPatience);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 200);
  EXPECT_THAT(answer->body, HasSubstr(R"("outcome":"ok")"));
  EXPECT_EQ(Greeting(), "new\n");
  EXPECT_EQ(ReadFile(pid_file), absl::StrCat(server().pid(), "\n"));
  EXPECT_EQ(RunServer({"--listen=echo://127.0.0.1:0", "--pid_file=" + pid_file})
                .exit_code,
            1)
      << "it is still locked";
  server().Signal(SIGTERM);
  EXPECT_EQ(server().Wait().exit_code, 0);
  EXPECT_NE(access(pid_file.c_str(), F_OK), 0);
}

TEST_F(ServerUpgradeTest, TheProcessIsNamedLikeItsProgram) {
  StartServer();
  MustUpgrade(kSecond, "--greeting=new");
  const std::string name = link_.path().substr(link_.path().rfind('/') + 1);
  EXPECT_EQ(ReadFile(absl::StrCat("/proc/", server().pid(), "/comm")),
            name.substr(0, 15) + "\n");
  EXPECT_EQ(TitleOf(server().pid()), "baton: master");
  for (int slot = 0; slot < 2; ++slot) {
    EXPECT_EQ(TitleOf(WorkerOf(slot)),
              absl::StrCat("baton: worker ", slot, " (generation 2)"));
  }
}

TEST_F(ServerUpgradeTest, AddsAndRemovesListeners) {
  StartServer();
  Talkers echo(server().address(1), 2);
  link_.PointTo(kSecond);
  WriteFlags("--listen=echo://127.0.0.1:0,discard://127.0.0.1:0");
  server().Signal(SIGUSR2);
  EXPECT_EQ(server().WaitFor("upgrade_finished").value("outcome", ""), "ok");
  Json status = Status();
  EXPECT_EQ(status["listeners"].size(), 2u);
  ASSERT_EQ(status["removed_listeners"].size(), 2u);
  EXPECT_THAT(status["removed_listeners"][0]["url"].get<std::string>(),
              HasSubstr("greet://127.0.0.1:0"));
  EXPECT_EQ(status["binary"], link_.path());
  echo.Await(20);
  echo.Stop();
  EXPECT_EQ(echo.broken(), 0);
}

// --- binaries and configurations that are no good

struct Fault {
  std::string name;
  std::string build;  // a path, or from the top of the workspace
  std::string flags;
  std::string outcome;
  std::string reason;  // a part of it

  friend void PrintTo(const Fault& fault, std::ostream* out) {
    *out << fault.name;
  }
};

class ServerUpgradeFaultTest : public ServerUpgradeTest,
                               public testing::WithParamInterface<Fault> {};

TEST_P(ServerUpgradeFaultTest, IsRefusedOrTakenBackAndNothingIsLost) {
  const Fault& fault = GetParam();
  StartServer("--ready_timeout=3s", {"--probation=500ms"});
  Talkers talkers(server().address(), 4, Greets());
  talkers.Await(20);
  const int descriptors = CountDescriptors(server().pid()).all();
  const Json finished = Upgrade(
      fault.build,
      absl::StrCat("--ready_timeout=3s\n--greeting=new\n", fault.flags));
  EXPECT_EQ(finished.value("outcome", ""), fault.outcome);
  EXPECT_THAT(finished.value("reason", ""), HasSubstr(fault.reason));
  talkers.Await(50);
  const Json status = Status();
  EXPECT_EQ(status["state"], "running");
  EXPECT_EQ(status["generation"], 1);
  EXPECT_EQ(status["last_reload"]["outcome"], fault.outcome);
  for (int slot = 0; slot < 2; ++slot) WorkerOf(slot);
  for (const Json& worker : WorkersIn("ready"))
    EXPECT_EQ(worker["generation"], 1);
  EXPECT_EQ(Greeting(), "old\n");
  // What is given up is closed, sooner or later.
  WaitUntil("the master has as many descriptors as before", [&] {
    return CountDescriptors(server().pid()).all() == descriptors;
  });
  // It was not the server's fault: what is right is taken up.
  MustUpgrade(kSecond, "--greeting=new");
  EXPECT_EQ(Greeting(), "new\n");
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
  std::printf("%s | %s | %d exchanges, %d broken | %s\n", fault.name.c_str(),
              finished.value("outcome", "").c_str(), talkers.exchanges(),
              talkers.broken(), finished.value("reason", "").c_str());
}

INSTANTIATE_TEST_SUITE_P(
    Faults, ServerUpgradeFaultTest,
    testing::Values(
        Fault{"NoFile", "/nowhere/at/all", "", "rejected", "ENOENT"},
        Fault{"NoProgram", "/etc/passwd", "", "rejected", "EACCES"},
        Fault{"AnotherProgram", "/bin/true", "", "rejected", "is it a baton?"},
        Fault{"AProgramThatFails", "/bin/false", "", "rejected", "exit code 1"},
        Fault{"FlagItDoesNotKnow", kFirst, "--salutation=Sir", "rejected",
              "unknown flag"},
        Fault{"SetUpFails", kSecond, "--set_up_fails", "rejected",
              "no database"},
        Fault{"SetUpCrashes", kSecond, "--set_up_crashes", "rejected",
              "SIGTRAP"},
        Fault{"SetUpHangs", kSecond, "--set_up_hangs", "rejected",
              "not done within ready_timeout"},
        Fault{"CanaryFails", kSecond, "--worker_fails", "rolled_back",
              "exit code 1"},
        Fault{"CanaryHangs", kSecond, "--worker_hangs", "rolled_back",
              "not ready within ready_timeout"},
        Fault{"CanaryCrashesLater", kSecond, "--worker_crashes_later",
              "rolled_back", "SIGTRAP"},
        Fault{"TheSecondWorkerCrashes", kSecond, "--worker_1_crashes",
              "rolled_back", "SIGTRAP"}),
    [](const auto& info) { return info.param.name; });

TEST_F(ServerUpgradeTest, AScriptIsRefusedAsOne) {
  StartServer();
  const std::string script = link_.path() + ".sh";
  std::ofstream(script) << "#!/bin/sh\nexec /bin/true\n";
  EXPECT_EQ(chmod(script.c_str(), 0755), 0);
  const Json finished = Upgrade(script, "--greeting=new");
  EXPECT_EQ(finished.value("outcome", ""), "rejected");
  EXPECT_EQ(finished.value("reason", ""),
            link_.path() + ": it is a script (#!), not a program");
  EXPECT_EQ(Greeting(), "old\n");
  EXPECT_EQ(unlink(script.c_str()), 0);
}

TEST_F(ServerUpgradeTest, GoesBackToABinaryThatHasBeenDeleted) {
  const std::string copy = link_.path() + ".copy";
  {
    std::ifstream from(PathOf(kFirst), std::ios::binary);
    std::ofstream(copy, std::ios::binary) << from.rdbuf();
  }
  EXPECT_EQ(chmod(copy.c_str(), 0755), 0);
  link_.PointTo(copy);
  StartServer();
  EXPECT_EQ(unlink(copy.c_str()), 0);
  const Json finished = Upgrade(kSecond, "--greeting=new\n--worker_1_crashes");
  EXPECT_EQ(finished.value("outcome", ""), "rolled_back");
  EXPECT_EQ(Greeting(), "old\n");
  EXPECT_THAT(ReadFile(absl::StrCat("/proc/", server().pid(), "/maps")),
              HasSubstr("(deleted)"));
  MustUpgrade(kSecond, "--greeting=new");
  EXPECT_EQ(Greeting(), "new\n");
}

TEST_F(ServerUpgradeTest, GoesBackWhenTheNewBinaryCannotBind) {
  StartServer();
  // Held by nobody when the binary checks itself: which binds nothing.
  ServerProcess other({"--listen=echo://127.0.0.1:0"});
  other.WaitReady();
  link_.PointTo(kSecond);
  WriteFlags(absl::StrCat(kListen, ",echo://", other.address().ToString(),
                          "\n--greeting=new"));
  server().Signal(SIGUSR2);
  const Json finished = server().WaitFor("upgrade_finished");
  EXPECT_EQ(finished.value("outcome", ""), "rolled_back");
  EXPECT_THAT(finished.value("reason", ""), HasSubstr("EADDRINUSE"));
  EXPECT_EQ(Greeting(), "old\n");
  EXPECT_EQ(Status()["listeners"].size(), 3u);
}

// What /proc says of the master's descriptors, by number.
std::map<int, std::string> DescriptorsOf(pid_t pid) {
  std::map<int, std::string> all;
  const std::string folder = absl::StrCat("/proc/", pid, "/fd");
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    int fd = -1;
    EXPECT_TRUE(absl::SimpleAtoi(entry.path().filename().string(), &fd));
    all[fd] = std::filesystem::read_symlink(entry.path()).string();
  }
  return all;
}

TEST_F(ServerUpgradeTest, WhatABinaryGivesBackTheOneBeforeGoesOnWith) {
  StartServer();
  Talkers talkers(server().address(), 4, Greets());
  talkers.Await(20);
  size_t descriptors = 0;
  for (int i = 0; i < 3; ++i) {
    const Json finished = Upgrade(kGivesBack, "--greeting=new");
    EXPECT_EQ(finished.value("outcome", ""), "rolled_back");
    EXPECT_EQ(finished.value("reason", ""), "this build gives back");
    talkers.Await(20);
    EXPECT_EQ(Greeting(), "old\n");
    EXPECT_EQ(Status()["state"], "running");
    // Nothing of the other binary is left open.
    const size_t now = DescriptorsOf(server().pid()).size();
    if (i > 0) {
      EXPECT_EQ(now, descriptors);
    }
    descriptors = now;
  }
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
  MustUpgrade(kSecond, "--greeting=new");
}

// The access logs too that a worker was given before anybody wrote that down.
TEST_F(ServerUpgradeTest, AnOlderBuildsStateWillDo) {
  const std::string logs = absl::StrCat(
      std::filesystem::canonical(testing::TempDir()).string(), "/", getpid());
  const std::string gone = logs + ".gone", kept = logs + ".kept";
  const std::string old = logs + ".old";
  const auto flags = [&](bool both) {
    return absl::StrCat(kListen, ",http://127.0.0.1:0?access_log=", kept,
                        ",http://127.0.0.1:0?access_log=", both ? gone : "off",
                        "\n--greeting=old");
  };
  const auto reopened = [&] {
    server().Signal(SIGUSR1);
    return server().WaitFor("access_log_reopened").value("path", "");
  };
  Start(flags(true), {"--workers=2"});
  TestClient pins(server().address(2));
  ASSERT_TRUE(pins.Send("?\n"));
  AwaitBytesIn(2);
  link_.PointTo(kTakesOlder);
  server().Signal(SIGUSR2);
  const Json finished = server().WaitFor("upgrade_finished");
  ASSERT_EQ(finished.value("outcome", ""), "ok") << finished;
  EXPECT_EQ(reopened(), gone);
  EXPECT_EQ(server().WaitFor("access_log_reopened").value("path", ""), kept);
  WriteFlags(flags(false));
  MustReload();
  // The others leave as soon as they can.
  WaitUntil("the first worker is the last to drain",
            [&] { return WorkersIn("draining").size() == 1; });
  const std::vector<Json> draining = WorkersIn("draining");
  ASSERT_EQ(draining.at(0)["generation"], 1);
  ASSERT_EQ(rename(gone.c_str(), old.c_str()), 0);
  EXPECT_EQ(reopened(), gone);
  const pid_t first = draining[0]["pid"];
  WaitUntil("the first worker has it", [&] { return HasOpen(first, gone); });
  EXPECT_EQ(server().WaitFor("access_log_reopened").value("path", ""), kept);
  kill(first, SIGKILL);
  WaitUntil("it has ended", [&] { return Status()["workers"].size() == 2; });
  EXPECT_EQ(reopened(), kept);
}

// A worker can write all of its scoreboard, its table of fields too.
TEST_F(ServerUpgradeTest, AScoreboardThatItsWorkerHasSpoiltIsNoObstacle) {
  StartServer();
  const pid_t pid = server().pid();
  int spoilt = 0;
  for (const auto& [fd, file] : DescriptorsOf(pid)) {
    if (!absl::StrContains(file, "baton-scoreboard")) continue;
    const UniqueFd board(
        open(absl::StrCat("/proc/", pid, "/fd/", fd).c_str(), O_RDWR));
    EXPECT_EQ(pwrite(board.get(), "spoilt", 6, 0), 6);
    ++spoilt;
  }
  EXPECT_EQ(spoilt, 2);
  MustUpgrade(kSecond, "--greeting=new");
  EXPECT_EQ(Greeting(), "new\n");
}

// --- what happens meanwhile

TEST_F(ServerUpgradeTest, AWorkerThatIsKilledMeanwhileIsReplaced) {
  StartServer("", {"--probation=500ms"});
  const pid_t victim = WorkerOf(1);
  link_.PointTo(kSecond);
  WriteFlags(absl::StrCat(kListen, "\n--greeting=new"));
  server().Signal(SIGUSR2);
  server().WaitFor("upgrade_started");
  EXPECT_EQ(kill(victim, SIGKILL), 0);
  EXPECT_EQ(server().WaitFor("upgrade_finished").value("outcome", ""), "ok");
  for (int slot = 0; slot < 2; ++slot) WorkerOf(slot);
  EXPECT_EQ(Greeting(), "new\n");
}

TEST_F(ServerUpgradeTest, ReloadsAndUpgradesThatAreAskedForMeanwhileFollow) {
  StartServer("", {"--probation=500ms"});
  link_.PointTo(kSecond);
  WriteFlags(absl::StrCat(kListen, "\n--greeting=new"));
  server().Signal(SIGUSR2);
  server().WaitFor("upgrade_started");
  server().Signal(SIGHUP);
  EXPECT_EQ(server().WaitFor("upgrade_finished").value("outcome", ""), "ok");
  EXPECT_EQ(server().WaitFor("reload_finished").value("outcome", ""), "ok");
  EXPECT_EQ(Status()["generation"], 3);
}

}  // namespace
}  // namespace baton
