// Reloads of which nothing comes: each has an outcome and a reason, the old
// configuration serves on, and no client notices.

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/process.h"
#include "net/clock.h"
#include "net/endpoint.h"
#include "nlohmann/json.hpp"
#include "tests/handover_fixture.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::HasSubstr;

struct Fault {
  std::string name;
  std::string flags;  // in the new flag file
  std::string outcome;
  std::string reason;  // a part of it
  // Of the server, besides.
  std::vector<std::string> args = {};

  friend void PrintTo(const Fault& fault, std::ostream* out) {
    *out << fault.name;
  }
};

constexpr char kListen[] = "--listen=greet://127.0.0.1:0\n";
constexpr char kOld[] = "--listen=greet://127.0.0.1:0\n--greeting=old\n";

class ReloadFixture : public HandoverTest {
 protected:
  ReloadFixture() : HandoverTest("tests/reload_server") {}

  void StartServer(const std::vector<std::string>& args = {}) {
    std::vector<std::string> all = {"--workers=3"};
    all.insert(all.end(), args.begin(), args.end());
    Start(kOld, all);
  }

  // What a client is greeted with that comes now.
  std::string Greeting() {
    TestClient client(server().address());
    EXPECT_TRUE(client.Send("?\n"));
    return client.Receive(4);
  }

  // The reload that it is about: under load, of which nothing is lost.
  void ExpectFailedReload(const Fault& fault) {
    // In the middle of a roll that fails, some are served by new workers.
    Talkers talkers(server().address(), 4, [](TestClient& client, int) {
      if (!client.Send("?\n")) return false;
      const std::string greeting = client.Receive(4);
      return greeting == "old\n" || greeting == "new\n";
    });
    talkers.Await(20);
    const int64_t begin = MonotonicClock::Get()->NowNanos();
    const Json finished = Reload();
    const int64_t nanos = MonotonicClock::Get()->NowNanos() - begin;
    EXPECT_EQ(finished.value("outcome", ""), fault.outcome);
    EXPECT_THAT(finished.value("reason", ""), HasSubstr(fault.reason));
    talkers.Await(100);
    ExpectOldServes(fault);
    talkers.Stop();
    EXPECT_EQ(talkers.broken(), 0);
    std::printf("%s | %s | %.1f ms | %d exchanges, %d broken | %s\n",
                fault.name.c_str(), finished.value("outcome", "").c_str(),
                static_cast<double>(nanos) / 1e6, talkers.exchanges(),
                talkers.broken(), finished.value("reason", "").c_str());
  }

  void ExpectOldServes(const Fault& fault) {
    const Json status = Status();
    EXPECT_EQ(status["state"], "running");
    EXPECT_EQ(status["generation"], 1);
    const Json& last = status["last_reload"];
    EXPECT_EQ(last["outcome"], fault.outcome);
    EXPECT_THAT(last["reason"].get<std::string>(), HasSubstr(fault.reason));
    for (int slot = 0; slot < 3; ++slot) WorkerOf(slot);
    for (const Json& worker : WorkersIn("ready"))
      EXPECT_EQ(worker["generation"], 1);
    EXPECT_EQ(status["listeners"].size(), 1u);
    EXPECT_EQ(Greeting(), "old\n");
  }

  // It was not the server's fault: what is right is taken up.
  void ExpectGoodReload() {
    WriteFlags(absl::StrCat(kListen, "--greeting=new"));
    MustReload();
    EXPECT_EQ(Greeting(), "new\n");
  }
};

class ServerReloadFaultTest : public ReloadFixture,
                              public testing::WithParamInterface<Fault> {};

TEST_P(ServerReloadFaultTest, TheOldConfigurationServesAndNobodyNotices) {
  const Fault& fault = GetParam();
  StartServer(fault.args);
  // Each flag once.
  WriteFlags(absl::StrCat(
      absl::StrContains(fault.flags, "--listen=") ? "" : kListen,
      absl::StrContains(fault.flags, "--greeting=") ? "" : "--greeting=new\n",
      fault.flags));
  ExpectFailedReload(fault);
  ExpectGoodReload();
}

// Nothing that the file says can be taken up.
INSTANTIATE_TEST_SUITE_P(
    BadFile, ServerReloadFaultTest,
    testing::Values(
        Fault{"UnknownFlag", "--wrokers=3", "rejected", "--wrokers"},
        Fault{"BadValue", "--stop_timeout=soon", "rejected",
              "--stop_timeout: bad duration \"soon\""},
        Fault{"UnknownScheme", "--listen=gopher://127.0.0.1:0", "rejected",
              "gopher"},
        Fault{"UnknownOption", "--listen=greet://127.0.0.1:0?colour=red",
              "rejected", "colour"},
        Fault{"GarbageLine", "here be dragons", "rejected", "dragons"},
        Fault{"FlagThatStandsTwice", "--workers=1\n--workers=2", "rejected",
              "stands in line 3 already"},
        Fault{"ControlCharacters", "--greeting=\x1b[2J", "rejected",
              "control character"},
        Fault{"FlagsThatContradict",
              "--listen=greet://127.0.0.1:4,echo://127.0.0.1:4", "rejected",
              "overlap"},
        Fault{"ApplicationFlagsThatContradict", "--greeting=rude", "rejected",
              "--greeting=rude contradicts --polite"}),
    [](const auto& info) { return info.param.name; });

// The services do not come up with it: the probe finds out.
INSTANTIATE_TEST_SUITE_P(
    Probe, ServerReloadFaultTest,
    testing::Values(
        Fault{"RootThatIsNotThere",
              "--listen=greet://127.0.0.1:0?root=/nowhere/to/be/found",
              "rejected", "root=\"/nowhere/to/be/found\""},
        Fault{"SetUpFails", "--set_up_fails", "rejected", "no database"},
        Fault{"SetUpCrashes", "--set_up_crashes", "rejected",
              "the probe of the new configuration was killed by signal "
              "SIGTRAP"},
        Fault{"SetUpHangs",
              "--set_up_hangs",
              "rejected",
              "the probe of the new configuration was not done within "
              "ready_timeout (3s)",
              {"--ready_timeout=3s"}},
        Fault{"LogThatCanNotBeOpened", "--log_file=/nowhere/log", "rejected",
              "--log_file: open log /nowhere/log"},
        Fault{"PidFileThatCanNotBeMade", "--pid_file=/nowhere/pid", "rejected",
              "--pid_file: open /nowhere/pid"}),
    [](const auto& info) { return info.param.name; });

// Its workers do not come up, or do not last.
INSTANTIATE_TEST_SUITE_P(Worker, ServerReloadFaultTest,
                         testing::Values(Fault{"FailsInSetUp", "--worker_fails",
                                               "rolled_back", "exit code 1"},
                                         Fault{"CrashesOnProbation",
                                               "--worker_crashes_later",
                                               "rolled_back",
                                               "SIGTRAP",
                                               {"--probation=3s"}},
                                         Fault{"CrashesInTheMiddleOfTheRoll",
                                               "--worker_1_crashes",
                                               "rolled_back", "SIGTRAP"},
                                         Fault{"IsNeverReady",
                                               "--worker_hangs",
                                               "rolled_back",
                                               "not ready within ready_timeout",
                                               {"--ready_timeout=3s"}}),
                         [](const auto& info) { return info.param.name; });

// --- what a line of a file can't make

TEST_F(ReloadFixture, AFileThatIsGone) {
  StartServer();
  ASSERT_EQ(unlink(flag_file().c_str()), 0);
  ExpectFailedReload({"FileMissing", "", "rejected", flag_file()});
  ExpectGoodReload();
}

TEST_F(ReloadFixture, AFileThatCanNotBeRead) {
  StartServer();
  // A folder is what root can't read either.
  ASSERT_EQ(unlink(flag_file().c_str()), 0);
  ASSERT_EQ(mkdir(flag_file().c_str(), 0700), 0);
  ExpectFailedReload(
      {"FileUnreadable", "", "rejected", flag_file() + ": not a regular file"});
  ASSERT_EQ(rmdir(flag_file().c_str()), 0);
  ExpectGoodReload();
}

TEST_F(ReloadFixture, AFileThatIsEmpty) {
  StartServer();
  std::ofstream{flag_file()};
  ExpectFailedReload(
      {"FileEmpty", "", "rejected", flag_file() + ": empty; if each flag"});
  ExpectGoodReload();
}

TEST_F(ReloadFixture, APortThatIsTaken) {
  StartServer();
  ServerProcess other({"--listen=echo://127.0.0.1:0", "--workers=1"});
  other.WaitReady();
  const std::string taken = other.address().ToString();
  WriteFlags(absl::StrCat("--listen=greet://127.0.0.1:0,echo://", taken,
                          "\n--greeting=new"));
  ExpectFailedReload({"PortInUse", "", "rejected",
                      absl::StrCat("--listen: \"echo://", taken, "\": ")});
  ExpectGoodReload();
}

// The master can, but it is not the master that will serve it.
TEST_F(ReloadFixture, AFolderThatTheNewUserCanNotRead) {
  // Root of a user namespace that has no other user is not enough.
  auto dropped = Process::Fork([] { return setuid(65534); });
  ASSERT_TRUE(dropped.ok());
  if (!dropped->WaitAndReap().clean()) GTEST_SKIP() << "needs root";
  StartServer();
  const std::string folder = flag_file() + ".root";
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  WriteFlags(absl::StrCat("--greeting=new\n--user=nobody\n",
                          "--listen=greet://127.0.0.1:0?root=", folder));
  ExpectFailedReload(
      {"UnreadableRoot", "", "rejected",
       absl::StrCat("root=\"", folder, "\": not a folder that can be read")});
  EXPECT_EQ(rmdir(folder.c_str()), 0);
  ExpectGoodReload();
}

// The probe is nobody's worker: it must not be there when it is over, nor
// before anybody asks for it.
TEST_F(ReloadFixture, NoProbeStays) {
  StartServer();
  const size_t children = server().Workers().size();
  WriteFlags(absl::StrCat(kListen, "--set_up_hangs"));
  server().Signal(SIGHUP);
  const pid_t probe = server().WaitFor("probe_started").value("probe_pid", 0);
  WaitUntil("it has a name", [&] { return TitleOf(probe) == "baton: probe"; });
  EXPECT_EQ(server().Workers().size(), children + 1);
  ASSERT_EQ(kill(probe, SIGKILL), 0);
  const Json finished = server().WaitFor("reload_finished");
  EXPECT_EQ(finished.value("outcome", ""), "rejected");
  EXPECT_EQ(finished.value("reason", ""),
            "the probe of the new configuration was killed by signal SIGKILL");
  EXPECT_FALSE(IsAlive(probe));
  EXPECT_EQ(server().Workers().size(), children);
}

// However long one takes, one more that was asked for meanwhile sees the
// latest file.
TEST_F(ReloadFixture, AHangupDuringTheProbeMakesOneMore) {
  StartServer();
  WriteFlags(absl::StrCat(kListen, "--set_up_hangs"));
  server().Signal(SIGHUP);
  const pid_t probe = server().WaitFor("probe_started").value("probe_pid", 0);
  WriteFlags(absl::StrCat(kListen, "--greeting=new"));
  server().Signal(SIGHUP);
  ASSERT_EQ(kill(probe, SIGKILL), 0);
  EXPECT_EQ(server().WaitFor("reload_finished").value("outcome", ""),
            "rejected");
  EXPECT_EQ(server().WaitFor("reload_finished").value("outcome", ""), "ok");
  EXPECT_EQ(Greeting(), "new\n");
}

}  // namespace
}  // namespace baton
