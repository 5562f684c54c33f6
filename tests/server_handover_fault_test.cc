// A handover in which somebody dies, is stopped, is full or never gets idle:
// what a living process holds is never lost.

#include <signal.h>
#include <sys/resource.h>

#include <string>
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

class ServerHandoverFaultTest : public HandoverTest {
 protected:
  // Kills it, and returns how many connections it had.
  int KillWorker(pid_t worker) {
    EXPECT_EQ(kill(worker, SIGKILL), 0);
    return WaitForEventOf(worker, "worker_totals").value("connections_left", 0);
  }
  // The new worker, when it has taken over so many in the reload just begun.
  pid_t AwaitReceived(int count) {
    const auto generation =
        server().WaitFor("reload_started").value("generation", 0);
    pid_t successor = 0;
    WaitUntil("some are passed", [&] {
      for (const Json& worker : WorkersIn("ready")) {
        if (worker["generation"] == generation && worker["received"] >= count)
          successor = worker["pid"];
      }
      return successor != 0;
    });
    return successor;
  }
  // A client whose request is not over before the gate is opened.
  TestClient BusyClient(const Gate& gate) {
    // None of the workers that are there ends meanwhile.
    const int64_t before = OfAll("bytes_in");
    TestClient client(server().address());
    EXPECT_TRUE(client.Send(gate.request()));
    AwaitBytesIn(before + static_cast<int64_t>(gate.request().size()));
    return client;
  }
  // What /status says that this worker is pinned by.
  Json PinOf(pid_t worker) {
    Json pin;
    WaitUntil("it is known what pins it", [&] {
      for (const Json& one : WorkersIn("draining")) {
        if (one["pid"] == worker && one.contains("pinned_by"))
          pin = one["pinned_by"];
      }
      return !pin.is_null();
    });
    return pin;
  }
};

std::string AddressOf(const TestClient& client) {
  return Endpoint::LocalOf(client.fd())->ToString();
}

// --- death

// Each has said half of a long line, which goes along: so their handover takes
// a while, and something can be done in the middle of it.
class HalfLines {
 public:
  static constexpr int kCount = 150;

  explicit HalfLines(const Endpoint& server) {
    for (int i = 0; i < kCount; ++i) {
      clients_.emplace_back(server);
      EXPECT_TRUE(clients_.back().Send(half_));
    }
  }
  static int64_t bytes() { return kCount * int64_t{kHalf}; }

  // Who does not get all of the line back, and only that, is lost.
  int CountLost() {
    for (TestClient& client : clients_) (void)client.Send("end\n");
    std::erase_if(clients_, [this](TestClient& client) {
      if (testing::Test::HasFailure()) return false;
      return client.Receive(kHalf + 4) != half_ + "end\n" ||
             !client.Echoes("more\n");
    });
    return kCount - static_cast<int>(clients_.size());
  }

 private:
  static constexpr int kHalf = 40'000;
  const std::string half_ = std::string(kHalf, 'h');
  std::vector<TestClient> clients_;
};

// In the middle of the handover, more or less far.
TEST_F(ServerHandoverFaultTest, ASuccessorThatDiesLosesWhatItHadAtMost) {
  for (const int passed : {1, 20, 70, HalfLines::kCount}) {
    Start("--listen=line://127.0.0.1:0\n--workers=1");
    HalfLines clients(server().address());
    AwaitBytesIn(HalfLines::bytes());
    server().Signal(SIGHUP);
    const pid_t successor = AwaitReceived(passed);
    const int held = KillWorker(successor);
    EXPECT_GE(held, passed);
    AwaitReloaded();
    // Replaced also if the reload was over by then.
    EXPECT_NE(WorkerOf(0), successor);
    const int lost = clients.CountLost();
    EXPECT_LE(lost, held);
    // The last one may have died with it before it could say that it has it.
    EXPECT_GE(lost, passed - 1);
  }
}

TEST_F(ServerHandoverFaultTest, AWorkerThatDiesTakesNothingAlongThatItPassed) {
  for (const int passed : {1, 20, 70}) {
    Start("--listen=line://127.0.0.1:0\n--workers=1");
    const pid_t old = WorkerOf(0);
    HalfLines clients(server().address());
    AwaitBytesIn(HalfLines::bytes());
    server().Signal(SIGHUP);
    AwaitReceived(passed);
    const int held = KillWorker(old);
    AwaitReloaded();
    const int lost = clients.CountLost();
    EXPECT_LE(lost, held);
    EXPECT_LE(lost, HalfLines::kCount - passed);
    EXPECT_EQ(OfReady("connections"), HalfLines::kCount - lost);
  }
}

// What is on its way to it is nobody else's until it is dead.
TEST_F(ServerHandoverFaultTest, ABatchThatADeadSuccessorHasNotReadIsServed) {
  Start("--listen=line://127.0.0.1:0\n--workers=1");
  HalfLines clients(server().address());
  AwaitBytesIn(HalfLines::bytes());
  server().Signal(SIGHUP);
  const pid_t successor = AwaitReceived(1);
  ASSERT_EQ(kill(successor, SIGSTOP), 0);
  WaitForEventOf(successor, "worker_stopped");
  const int held = KillWorker(successor);
  EXPECT_LE(clients.CountLost(), held);
}

TEST_F(ServerHandoverFaultTest, AStoppedSuccessorLosesNothing) {
  Start("--listen=echo://127.0.0.1:0\n--workers=2");
  IdleClients clients(server().address(), 700);
  server().Signal(SIGHUP);
  const pid_t successor =
      server().WaitFor("worker_serving").value("worker_pid", 0);
  ASSERT_EQ(kill(successor, SIGSTOP), 0);
  WaitForEventOf(successor, "worker_stopped");
  for (TestClient& client : clients.all()) ASSERT_TRUE(client.Send("x"));
  // Who comes now does not have to wait for it.
  IdleClients others(server().address(), 20);
  ASSERT_EQ(kill(successor, SIGCONT), 0);
  for (TestClient& client : clients.all()) EXPECT_EQ(client.Receive(1), "x");
  AwaitReloaded();
  clients.ExpectAllEcho();
  others.ExpectAllEcho();
}

// --- nothing left

TEST_F(ServerHandoverFaultTest, ASuccessorThatIsFullTakesTheRestLater) {
  Start("--listen=echo://127.0.0.1:0\n--workers=1");
  IdleClients clients(server().address(), 300);
  // It goes for workers that are yet to be forked.
  const rlimit few{180, 180};
  ASSERT_EQ(prlimit(server().pid(), RLIMIT_NOFILE, &few, nullptr), 0);
  const pid_t old = WorkerOf(0);
  server().Signal(SIGHUP);
  const pid_t successor =
      server().WaitFor("worker_serving").value("worker_pid", 0);
  WaitUntil("the successor is full", [&] {
    const auto ready = WorkersIn("ready");
    return ready.size() == 1 && ready[0]["pid"] == successor &&
           ready[0]["received"] > 60;
  });
  clients.ExpectAllEcho();
  EXPECT_TRUE(IsAlive(old)) << "it serves those that are left";
  clients.Keep(80);
  EXPECT_EQ(WaitForEventOf(old, "worker_drained").value("connections_cut", -1),
            0);
  EXPECT_EQ(OfReady("connections"), 80);
  clients.ExpectAllEcho();
  AwaitReloaded();
  clients.Keep(10);
  IdleClients others(server().address(), 10);
  clients.ExpectAllEcho();
}

// --- no end

TEST_F(ServerHandoverFaultTest, DrainTimeoutCutsWhoIsBusyAndNobodyElse) {
  Start(
      "--listen=slow://127.0.0.1:0,echo://127.0.0.1:0\n--workers=1\n"
      "--drain_timeout=1s");
  const Gate never;
  IdleClients idle(server().address(1), 20);
  TestClient busy = BusyClient(never);
  const pid_t old = WorkerOf(0);
  MustReload();
  const Json drained = WaitForEventOf(old, "worker_drained");
  EXPECT_EQ(drained.value("connections_cut", -1), 1);
  EXPECT_EQ(busy.ReceiveAll(), "");
  idle.ExpectAllEcho();
  EXPECT_EQ(OfReady("received"), 20);
}

TEST_F(ServerHandoverFaultTest, MaxDrainingCutsTheOldestAndSaysWhatPinnedIt) {
  Start(
      "--listen=slow://127.0.0.1:0,echo://127.0.0.1:0\n--workers=1\n"
      "--max_draining=1");
  Gate gate;
  IdleClients idle(server().address(1), 20);
  const pid_t first = WorkerOf(0);
  TestClient cut = BusyClient(gate);
  MustReload();
  const Json pin = PinOf(first);
  EXPECT_EQ(pin["connections"], 1);
  EXPECT_EQ(pin["oldest_peer"], AddressOf(cut));
  EXPECT_EQ(pin["oldest_service"], "slow");
  EXPECT_GE(pin["oldest_age_seconds"], 0);

  const pid_t second = WorkerOf(0);
  TestClient stays = BusyClient(gate);
  server().Signal(SIGHUP);
  const Json event = WaitForEventOf(first, "worker_cut");
  EXPECT_EQ(event.value("reason", ""), "max_draining");
  EXPECT_EQ(event.value("connections", -1), 1);
  EXPECT_EQ(event.value("oldest_peer", ""), AddressOf(cut));
  EXPECT_EQ(event.value("oldest_service", ""), "slow");
  EXPECT_EQ(cut.ReceiveAll(), "");
  EXPECT_EQ(server().WaitFor("reload_finished").value("outcome", ""), "ok");
  EXPECT_TRUE(IsAlive(second));
  gate.Open();
  EXPECT_EQ(stays.Receive(5), "done\n");
  idle.ExpectAllEcho();
  WaitForEventOf(second, "worker_exited");
  ASSERT_TRUE(stays.Send(gate.request()));
  EXPECT_EQ(stays.Receive(5), "done\n");
}

// --- probation

TEST_F(ServerHandoverFaultTest, AWorkerThatDiesOnProbationIsNotNoticed) {
  Start("--listen=echo://127.0.0.1:0\n--workers=2", {"--probation=50s"});
  IdleClients clients(server().address(), 50);
  Talkers talkers(server().address(), 4);
  const std::vector<pid_t> old = {WorkerOf(0), WorkerOf(1)};
  server().Signal(SIGHUP);
  Json canary;
  WaitUntil("there is one on probation", [&] {
    const auto workers = WorkersIn("probation");
    if (!workers.empty()) canary = workers.front();
    return !workers.empty();
  });
  EXPECT_EQ(canary["generation"], 2);
  // It is not depended on: nobody gets to it.
  IdleClients meanwhile(server().address(), 50);
  talkers.Await(50);
  for (const Json& worker : WorkersIn("probation")) {
    EXPECT_EQ(worker["accepted"], 0);
    EXPECT_EQ(worker["received"], 0);
  }
  ASSERT_EQ(kill(canary["pid"], SIGKILL), 0);
  const Json finished = server().WaitFor("reload_finished");
  EXPECT_EQ(finished.value("outcome", ""), "rolled_back");
  EXPECT_NE(finished.value("reason", ""), "");
  talkers.Await(50);
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
  clients.ExpectAllEcho();
  meanwhile.ExpectAllEcho();
  EXPECT_EQ((std::vector<pid_t>{WorkerOf(0), WorkerOf(1)}), old);
  IdleClients afterwards(server().address(), 20);
  EXPECT_EQ(Status()["generation"], 1);
}

TEST_F(ServerHandoverFaultTest, OneIsOnProbationForAllAndThenTheRollGoesOn) {
  Start("--listen=echo://127.0.0.1:0\n--workers=3", {"--probation=300ms"});
  IdleClients clients(server().address(), 50);
  MustReload();
  EXPECT_EQ(OfReady("received"), 50);
  clients.ExpectAllEcho();
}

// --- stop

TEST_F(ServerHandoverFaultTest, AStopDuringAHandoverWaitsForWhoIsBusy) {
  Start("--listen=slow://127.0.0.1:0,echo://127.0.0.1:0\n--workers=1");
  Gate gate;
  IdleClients idle(server().address(1), 20);
  TestClient busy = BusyClient(gate);
  const pid_t old = WorkerOf(0);
  server().Signal(SIGHUP);
  WaitForEventOf(old, "worker_draining");
  server().Signal(SIGTERM);
  server().WaitFor("stop_started");
  // Idle ones are ended by whoever has them now.
  for (TestClient& client : idle.all()) EXPECT_EQ(client.ReceiveAll(), "");
  gate.Open();
  EXPECT_EQ(busy.ReceiveAll(), "done\n");
  EXPECT_EQ(server().Wait().exit_code, 0);
}

}  // namespace
}  // namespace baton
