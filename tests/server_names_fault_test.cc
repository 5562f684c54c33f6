// Names that are looked up for a configuration, and what else it depends on,
// may be gone when the server needs that configuration again.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/binary_link.h"
#include "tests/handover_fixture.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::HasSubstr;

constexpr char kFirst[] = "tests/reload_server";
constexpr char kSecond[] = "tests/reload_server_second";

// A file that is there or is not.
class Token {
 public:
  explicit Token(const std::string& kind)
      : path_(absl::StrCat(testing::TempDir(), "/", getpid(), ".", kind)) {}
  ~Token() { unlink(path_.c_str()); }
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;

  void Make() { std::ofstream(path_).flush(); }
  void Remove() { EXPECT_EQ(unlink(path_.c_str()), 0); }
  bool IsThere() const { return access(path_.c_str(), F_OK) == 0; }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

class ServerNamesTest : public HandoverTest {
 protected:
  ServerNamesTest() : HandoverTest(BinaryLink::Path()) {}

  std::string Greeting() {
    TestClient client(server().address());
    EXPECT_TRUE(client.Send("?\n"));
    return client.Receive(4);
  }

  Json Upgrade(const std::string& flags) {
    link_.PointTo(kSecond);
    WriteFlags(flags);
    server().Signal(SIGUSR2);
    return server().WaitFor("upgrade_finished");
  }

  // Whoever dies is replaced, and by one of the old configuration.
  void ExpectHealsAsOld() {
    for (int slot = 0; slot < 2; ++slot) {
      const pid_t victim = WorkerOf(slot);
      EXPECT_EQ(kill(victim, SIGKILL), 0);
      WaitForEventOf(victim, "worker_exited");
      EXPECT_NE(WorkerOf(slot), victim);
    }
    const Json status = Status();
    EXPECT_EQ(status["state"], "running");
    EXPECT_EQ(status["generation"], 1);
    EXPECT_EQ(Greeting(), "old\n");
  }

  BinaryLink link_{kFirst};
};

// --- names of which each may be looked up once (tests/scarce_names.cc)

class ScarceNamesTest : public ServerNamesTest {
 protected:
  static constexpr char kListen[] =
      "--listen=greet://scarce.invalid:0,echo://127.0.0.1:0\n";

  ScarceNamesTest() {
    setenv("SCARCE_NAMES", token_.path().c_str(), 1);
    token_.Make();
    Start(absl::StrCat(kListen, "--greeting=old"), {"--workers=2"});
    EXPECT_FALSE(token_.IsThere()) << "nobody has looked it up";
  }
  ~ScarceNamesTest() override { unsetenv("SCARCE_NAMES"); }

  Token token_{"name"};
};

TEST_F(ScarceNamesTest, AReloadAsksOnceAndNotByTheMaster) {
  WriteFlags(absl::StrCat(kListen, "--greeting=new"));
  const Json finished = Reload();
  EXPECT_EQ(finished.value("outcome", ""), "rejected");
  EXPECT_THAT(finished.value("reason", ""), HasSubstr("scarce.invalid"));
  token_.Make();
  MustReload();
  EXPECT_FALSE(token_.IsThere());
  EXPECT_EQ(Greeting(), "new\n");
}

TEST_F(ScarceNamesTest, AnUpgradeAsksOnceAndNotByTheMaster) {
  token_.Make();
  const Json finished = Upgrade(absl::StrCat(kListen, "--greeting=new"));
  EXPECT_EQ(finished.value("outcome", ""), "ok") << finished;
  EXPECT_EQ(Greeting(), "new\n");
  // The next one asks again.
  link_.PointTo(kFirst);
  server().Signal(SIGUSR2);
  EXPECT_EQ(server().WaitFor("upgrade_finished").value("outcome", ""),
            "rejected");
  EXPECT_EQ(Greeting(), "new\n");
}

TEST_F(ScarceNamesTest, TheWayBackAsksNobody) {
  Talkers talkers(server().address(1), 2);
  // The new configuration needs no name; the old one's nobody knows any more.
  const Json finished = Upgrade(
      "--listen=greet://127.0.0.1:0,echo://127.0.0.1:0\n--greeting=new\n"
      "--worker_1_crashes");
  EXPECT_EQ(finished.value("outcome", ""), "rolled_back");
  EXPECT_EQ(Greeting(), "old\n");
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
  ExpectHealsAsOld();
}

// --- what services look at, which may be a disk that hangs

TEST_F(ServerNamesTest, AMasterThatServesAsksNoServiceAgain) {
  Token looked_by("looked");
  looked_by.Make();
  setenv("LOOKED_BY", looked_by.path().c_str(), 1);
  const std::string flags = "--listen=greet://127.0.0.1:0?root=/\n--greeting=";
  Start(flags + "old", {"--workers=2"});
  const auto looks = [&]() -> std::vector<std::string> {
    return absl::StrSplit(ReadFile(looked_by.path()), '\n', absl::SkipEmpty());
  };
  const auto looks_of_master = [&] {
    const std::vector<std::string> all = looks();
    return std::count(all.begin(), all.end(), absl::StrCat(server().pid()));
  };
  const auto at_start = looks_of_master();
  EXPECT_GT(at_start, 0);
  const size_t before = looks().size();
  MustReload();
  EXPECT_GT(looks().size(), before) << "the probe looks";
  EXPECT_EQ(looks_of_master(), at_start);
  EXPECT_EQ(Upgrade(flags + "new").value("outcome", ""), "ok");
  EXPECT_EQ(Greeting(), "new\n");
  EXPECT_EQ(looks_of_master(), at_start);
  link_.PointTo(kFirst);
  WriteFlags(flags + "bad\n--worker_1_crashes");
  server().Signal(SIGUSR2);
  EXPECT_EQ(server().WaitFor("upgrade_finished").value("outcome", ""),
            "rolled_back");
  EXPECT_EQ(Greeting(), "new\n");
  EXPECT_EQ(looks_of_master(), at_start);
  unsetenv("LOOKED_BY");
}

// --- a configuration that an application's flag no longer allows

class RefusedConfigTest : public ServerNamesTest {
 protected:
  static constexpr char kListen[] =
      "--listen=greet://127.0.0.1:0,echo://127.0.0.1:0\n";

  void StartServer() {
    token_.Make();
    Start(
        absl::StrCat(kListen, "--greeting=old\n--valid_while=", token_.path()),
        {"--workers=2"});
    token_.Remove();
  }

  // Which the new binary finds out before it rolls.
  void UpgradeToAPortInUse() {
    ServerProcess other({"--listen=echo://127.0.0.1:0"});
    other.WaitReady();
    const Json finished =
        Upgrade(absl::StrCat("--listen=greet://127.0.0.1:0,echo://",
                             other.address().ToString(), "\n--greeting=new"));
    EXPECT_EQ(finished.value("outcome", ""), "rolled_back");
    EXPECT_THAT(finished.value("reason", ""), HasSubstr("EADDRINUSE"));
  }
  // Of a slot for which the old configuration is needed.
  Json AwaitForkFailed() {
    return server().WaitFor("fork_failed", [](const Json& fields) {
      return fields.value("reason", "").find("the old configuration: ") == 0;
    });
  }

  Token token_{"valid"};
};

// In mid-roll: a slot has a worker of the new binary, and keeps it.
TEST_F(RefusedConfigTest, TheWayBackWaitsForItAndTheServerLives) {
  StartServer();
  Talkers talkers(server().address(1), 2);
  link_.PointTo(kSecond);
  WriteFlags(absl::StrCat(kListen, "--greeting=new\n--worker_1_crashes"));
  server().Signal(SIGUSR2);
  EXPECT_THAT(AwaitForkFailed().value("reason", ""),
              HasSubstr("--valid_while"));
  talkers.Await(50);
  EXPECT_EQ(Status()["pid"], server().pid());
  token_.Make();
  const Json finished = server().WaitFor("upgrade_finished");
  EXPECT_EQ(finished.value("outcome", ""), "rolled_back");
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
  ExpectHealsAsOld();
}

// Before the roll: all workers are the old ones, and one is wanted later.
TEST_F(RefusedConfigTest, ItIsLoadedWhenAWorkerIsWanted) {
  StartServer();
  UpgradeToAPortInUse();
  Talkers talkers(server().address(1), 2);
  // Neither more workers nor another one, but clients are served.
  server().Signal(SIGTTIN);
  EXPECT_THAT(server().WaitFor("scale_failed").value("reason", ""),
              HasSubstr("--valid_while"));
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
  const pid_t victim = WorkerOf(1);
  EXPECT_EQ(kill(victim, SIGKILL), 0);
  AwaitForkFailed();
  EXPECT_EQ(Greeting(), "old\n");
  token_.Make();
  server().WaitFor("old_configuration_loaded");
  ExpectHealsAsOld();
  server().Signal(SIGTTIN);
  server().WaitFor("scale_finished");
  EXPECT_EQ(Status()["wanted_workers"], 3);
}

// The admin helper needs it too; and a reload needs it no more.
TEST_F(RefusedConfigTest, AHelperWaitsForItAndAReloadHeals) {
  StartServer();
  UpgradeToAPortInUse();
  for (const pid_t child : server().Workers()) {
    if (TitleOf(child) == "baton: admin") EXPECT_EQ(kill(child, SIGKILL), 0);
  }
  EXPECT_THAT(server().WaitFor("helper_failed").value("reason", ""),
              HasSubstr("the old configuration: "));
  token_.Make();
  server().WaitFor("helper_started");
  EXPECT_EQ(Status()["generation"], 1);
  token_.Remove();
  WriteFlags(absl::StrCat(kListen, "--greeting=new"));
  MustReload();
  EXPECT_EQ(Greeting(), "new\n");
}

}  // namespace
}  // namespace baton
