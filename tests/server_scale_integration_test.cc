// More and fewer workers, adopted slots, crash loops: with real processes and
// clients that may lose nothing.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

const char kListen[] = "--listen=echo://127.0.0.1:0";

// Clients that come, exchange a few bytes and go, as fast as they can.
class Churn {
 public:
  explicit Churn(const Endpoint& server, int clients = 4) {
    for (int i = 0; i < clients; ++i) {
      threads_.emplace_back([this, server] {
        while (!done_) {
          TestClient client(server);
          ++(client.ok() && client.Echoes("hello") ? exchanges_ : lost_);
        }
      });
    }
  }
  ~Churn() { Stop(); }

  void Stop() {
    done_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  // Waits until so many more exchanges have been made.
  void Await(int more) const {
    const int target = exchanges_ + more;
    WaitUntil("exchanges are made", [&] { return exchanges_ >= target; });
  }
  int lost() const { return lost_; }
  int exchanges() const { return exchanges_; }

 private:
  std::atomic<bool> done_{false};
  std::atomic<int> exchanges_{0}, lost_{0};
  std::vector<std::thread> threads_;
};

void Scale(ServerProcess& server, int signal, int workers) {
  server.Signal(signal);
  EXPECT_EQ(server.WaitFor("scale_finished").value("workers", 0), workers);
}

TEST(ServerScaleTest, GrowingAndShrinkingLosesNoConnection) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  Churn churn(server.address());
  for (int i = 0; i < 5; ++i) {
    Scale(server, SIGTTOU, 1);
    churn.Await(20);
    Scale(server, SIGTTIN, 2);
    churn.Await(20);
  }
  Scale(server, SIGTTIN, 3);
  Scale(server, SIGTTIN, 4);
  churn.Await(50);
  Scale(server, SIGTTOU, 3);
  Scale(server, SIGTTOU, 2);
  churn.Await(50);
  churn.Stop();
  EXPECT_EQ(churn.lost(), 0);
  WaitUntil("two workers are left",
            [&] { return server.Workers().size() == 2; });
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
}

// What has begun in a slot that is left is still served there.
TEST(ServerScaleTest, HalfOpenClientsOfALeftSlotAreServed) {
  ServerProcess server(
      {"--listen=echo://127.0.0.1:0?defer_accept=30", "--workers=2"});
  server.WaitReady();
  // Connected for the client, but with TCP_DEFER_ACCEPT not yet for the
  // server: it waits for bytes.
  std::vector<TestClient> silent;
  for (int i = 0; i < 40; ++i) {
    silent.emplace_back(server.address());
    ASSERT_TRUE(silent.back().ok());
  }
  Scale(server, SIGTTOU, 1);
  for (TestClient& client : silent) EXPECT_TRUE(client.Echoes("late"));
}

TEST(ServerScaleTest, TheNumberOutlivesAReload) {
  ServerProcess server({kListen, "--workers=1"});
  server.WaitReady();
  Scale(server, SIGTTIN, 2);
  server.Signal(SIGHUP);
  EXPECT_EQ(server.WaitFor("reload_finished").value("outcome", ""), "ok");
  WaitUntil("the old ones are gone",
            [&] { return server.Workers().size() == 2; });
}

TEST(ServerScaleTest, DatagramsAreAnsweredWhileWorkersComeAndGo) {
  ServerProcess server({"--listen=echo+udp://127.0.0.1:0", "--workers=2"});
  server.WaitReady();
  std::vector<TestClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(TestClient::Udp(server.address()));
  }
  for (int round = 0; round < 6; ++round) {
    for (TestClient& client : clients) EXPECT_TRUE(client.Echoes("ping"));
    const int workers = round % 2 == 0 ? 1 : 2;
    Scale(server, workers == 1 ? SIGTTOU : SIGTTIN, workers);
  }
}

TEST(ServerScaleTest, KillingWorkersRefusesNobody) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  std::atomic<bool> done{false};
  std::atomic<int> refused{0}, connected{0};
  std::thread client([&] {
    while (!done) {
      TestClient one(server.address());
      ++(one.ok() ? connected : refused);
      (void)one.Echoes("x");  // may die with its worker
    }
  });
  for (int i = 0; i < 20; ++i) {
    const std::vector<pid_t> workers = server.Workers();
    if (!workers.empty()) kill(workers[0], SIGKILL);
    server.WaitFor("worker_serving");
  }
  done = true;
  client.join();
  EXPECT_EQ(refused, 0);
  EXPECT_GT(connected, 20);
}

// Its slot is adopted meanwhile, and nobody is killed for it.
TEST(ServerScaleTest, AStoppedWorkerHoldsUpNobody) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  const std::vector<pid_t> workers = server.Workers();
  ASSERT_EQ(kill(workers[0], SIGSTOP), 0);
  server.WaitFor("slot_adopted");
  for (int i = 0; i < 50; ++i) {
    TestClient client(server.address());
    ASSERT_TRUE(client.Echoes("hello")) << i;
  }
  ASSERT_EQ(kill(workers[0], SIGCONT), 0);
  server.WaitFor("worker_continued");
  for (int i = 0; i < 50; ++i) {
    TestClient client(server.address());
    ASSERT_TRUE(client.Echoes("hello")) << i;
  }
  EXPECT_THAT(server.Workers(), testing::UnorderedElementsAreArray(workers));
}

TEST(ServerScaleTest, AFullWorkersSlotIsServedByTheOther) {
  ServerProcess server({kListen, "--workers=2", "--max_connections=8"});
  server.WaitReady();
  std::vector<TestClient> held;
  for (int i = 0; i < 16; ++i) {
    held.emplace_back(server.address());
    ASSERT_TRUE(held.back().Echoes("hello")) << i;
  }
}

TEST(ServerScaleTest, ACrashLoopEndsTheServer) {
  ServerProcess server({kListen, "--workers=2", "--crash_loop_limit=3"});
  server.WaitReady();
  for (int i = 0; i < 3; ++i) {
    // By a signal that leaves no stack trace in the log.
    kill(server.Workers().at(0), SIGXCPU);
    if (i < 2) server.WaitFor("worker_serving");
  }
  server.WaitFor("crash_loop");
  EXPECT_EQ(server.Wait().exit_code, 4);
}

}  // namespace
}  // namespace baton
