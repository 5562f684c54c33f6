// A stop comes at any time: whatever the server is at, it ends, the master
// last, and leaves nobody and nothing behind.

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "nlohmann/json.hpp"
#include "tests/handover_fixture.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

constexpr char kGood[] =
    "--listen=greet://127.0.0.1:0,stuck://127.0.0.1:0\n--workers=2";

// What a server is at when it is told to stop.
struct State {
  std::string name;
  // Brings a server there; it stays for as long as it is left alone.
  std::function<void(class ServerStopFaultTest&)> reach;

  friend void PrintTo(const State& state, std::ostream* out) {
    *out << state.name;
  }
};

// How it is told, and how it ends.
struct Stop {
  std::string name;
  std::vector<int> signals;
  bool again = false;  // the last one, until it ends
  bool busy = false;   // a client has a request that will not be answered
  std::string stop_timeout = "1h";
  int exit_code = 0;

  friend void PrintTo(const Stop& stop, std::ostream* out) {
    *out << stop.name;
  }
};

class ServerStopFaultTest
    : public HandoverTest,
      public testing::WithParamInterface<std::tuple<State, Stop>> {
 public:
  ServerStopFaultTest() : HandoverTest("tests/reload_server") {
    // Whoever the server leaves behind is ours: it can't get away.
    EXPECT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  }
  ~ServerStopFaultTest() override { unlink(marker().c_str()); }

  using HandoverTest::server;
  using HandoverTest::WorkersIn;

  void StartUnready(absl::string_view flags) { Launch(flags, Args()); }
  void StartWith(absl::string_view flags, const std::string& arg = "") {
    std::vector<std::string> args = Args();
    if (!arg.empty()) args.push_back(arg);
    Start(flags, args);
  }

  // A file that set-ups look for.
  std::string marker() const { return flag_file() + ".marker"; }
  void Mark() const { std::ofstream(marker()).put('\n'); }

  // By SIGHUP, or by SIGUSR2 to the same binary.
  void StartsToChange(int number, const std::string& flags) {
    WriteFlags(absl::StrCat(kGood, "\n", flags));
    server().Signal(number);
  }
  // A client that keeps a worker.
  TestClient BusyClient() {
    const int64_t before = OfAll("bytes_in");
    TestClient client(server().address(1));
    EXPECT_TRUE(client.Send("?\n"));
    AwaitBytesIn(before + 2);
    return client;
  }
  // Another worker of that slot and generation has been forked.
  void AwaitWorker(int slot, int generation) {
    server().WaitFor("worker_started", [=](const nlohmann::json& fields) {
      return fields.value("slot", -1) == slot &&
             fields.value("generation", -1) == generation;
    });
  }

 private:
  static std::vector<std::string> Args() {
    return {"--stop_timeout=" + std::get<1>(GetParam()).stop_timeout};
  }
};

// --- where a server may be

void InItsStart(ServerStopFaultTest& test) {
  test.StartUnready(absl::StrCat(kGood, "\n--worker_hangs"));
  test.AwaitWorker(0, 1);
  test.AwaitWorker(1, 1);
}

void Serving(ServerStopFaultTest& test) { test.StartWith(kGood); }

void InTheProbe(ServerStopFaultTest& test) {
  test.StartWith(kGood);
  test.StartsToChange(SIGHUP, "--set_up_hangs");
  test.server().WaitFor("probe_started");
}

void OnProbation(ServerStopFaultTest& test) {
  test.StartWith(kGood, "--probation=1h");
  test.StartsToChange(SIGHUP, "--greeting=new");
  WaitUntil("there is one on probation",
            [&] { return !test.WorkersIn("probation").empty(); });
}

// Of a reload, or of an upgrade in the new binary.
template <int number>
void InTheRoll(ServerStopFaultTest& test) {
  test.StartWith(kGood);
  test.StartsToChange(number, "--worker_1_waits_for=" + test.marker());
  test.AwaitWorker(1, 2);
}

// Slot 0 is to be rolled back when slot 1's worker crashes, and there what is
// old does not come up any more. Of an upgrade, that is in the old binary
// again.
template <int number>
void InTheRollBack(ServerStopFaultTest& test) {
  test.StartWith(absl::StrCat(kGood, "\n--worker_hangs_at=", test.marker()));
  test.StartsToChange(
      number,
      absl::StrCat("--worker_1_crashes\n--worker_1_waits_for=", test.marker()));
  test.AwaitWorker(1, 2);
  test.Mark();
  test.AwaitWorker(0, 1);
}

// --- of an upgrade

void InTheCheck(ServerStopFaultTest& test) {
  test.StartWith(kGood);
  const size_t children = test.server().Workers().size();
  test.StartsToChange(SIGUSR2, "--set_up_hangs");
  WaitUntil("the check runs",
            [&] { return test.server().Workers().size() > children; });
}

void WithACanary(ServerStopFaultTest& test) {
  test.StartWith(kGood);
  test.StartsToChange(SIGUSR2, "--worker_hangs");
  WaitUntil("there is a canary", [&] {
    const std::vector<pid_t> children = test.server().Workers();
    return std::any_of(children.begin(), children.end(), [](pid_t child) {
      return TitleOf(child) == "baton: canary (generation 2)";
    });
  });
}

bool PortIsFree(const Endpoint& endpoint) {
  TestClient client(endpoint);
  return !client.ok() && client.connect_errno() == ECONNREFUSED;
}

TEST_P(ServerStopFaultTest, EndsAndLeavesNothingBehind) {
  const auto& [state, stop] = GetParam();
  state.reach(*this);
  const Endpoint address = server().address();
  const std::vector<pid_t> children = server().Workers();
  EXPECT_GE(children.size(), 2u);
  std::optional<TestClient> client;
  if (stop.busy) client = BusyClient();
  for (const int number : stop.signals) server().Signal(number);
  // The same one counts as another only after a while.
  if (stop.again) {
    WaitUntil("it has ended", [&] {
      if (!IsAlive(server().pid())) return true;
      server().Signal(stop.signals.back());
      return false;
    });
  }
  const Finished finished = server().Wait();
  EXPECT_EQ(finished.exit_code, stop.exit_code);
  for (const pid_t child : children) EXPECT_FALSE(IsAlive(child)) << child;
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "it was outlived";
  EXPECT_EQ(errno, ECHILD);
  EXPECT_TRUE(PortIsFree(address));
}

INSTANTIATE_TEST_SUITE_P(
    Stop, ServerStopFaultTest,
    testing::Combine(
        testing::Values(State{"Start", InItsStart}, State{"Serving", Serving},
                        State{"Probe", InTheProbe},
                        State{"Probation", OnProbation},
                        State{"Roll", InTheRoll<SIGHUP>},
                        State{"RollBack", InTheRollBack<SIGHUP>},
                        State{"UpgradeCheck", InTheCheck},
                        State{"UpgradeCanary", WithACanary},
                        State{"UpgradeRoll", InTheRoll<SIGUSR2>},
                        State{"UpgradeRollBack", InTheRollBack<SIGUSR2>}),
        testing::Values(Stop{"Term", {SIGTERM}}, Stop{"Quit", {SIGQUIT}},
                        Stop{"TermAndQuit", {SIGTERM, SIGQUIT}})),
    [](const auto& info) {
      return std::get<0>(info.param).name + std::get<1>(info.param).name;
    });

// With somebody to wait for.
INSTANTIATE_TEST_SUITE_P(
    Busy, ServerStopFaultTest,
    testing::Combine(
        testing::Values(State{"Serving", Serving}, State{"Probe", InTheProbe},
                        State{"Probation", OnProbation},
                        State{"Roll", InTheRoll<SIGHUP>},
                        State{"RollBack", InTheRollBack<SIGHUP>},
                        State{"UpgradeCheck", InTheCheck},
                        State{"UpgradeCanary", WithACanary},
                        State{"UpgradeRoll", InTheRoll<SIGUSR2>},
                        State{"UpgradeRollBack", InTheRollBack<SIGUSR2>}),
        testing::Values(Stop{.name = "Term",
                             .signals = {SIGTERM},
                             .busy = true,
                             .stop_timeout = "300ms",
                             .exit_code = 3},
                        Stop{.name = "TermTwice",
                             .signals = {SIGTERM},
                             .again = true,
                             .busy = true},
                        Stop{.name = "TermAndQuit",
                             .signals = {SIGTERM, SIGQUIT},
                             .busy = true})),
    [](const auto& info) {
      return std::get<0>(info.param).name + std::get<1>(info.param).name;
    });

}  // namespace
}  // namespace baton
