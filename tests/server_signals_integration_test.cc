// Signals to the master and to workers, and how the process ends.

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::HasSubstr;
using testing::Not;

const char kListen[] = "--listen=echo://127.0.0.1:0";

bool PortIsFree(const Endpoint& endpoint) {
  TestClient client(endpoint);
  return !client.ok() && client.connect_errno() == ECONNREFUSED;
}

TEST(ServerSignalsTest, TermAndIntEndItGracefully) {
  for (int number : {SIGTERM, SIGINT}) {
    ServerProcess server({kListen, "--workers=2"});
    server.WaitReady();
    const std::vector<pid_t> workers = server.Workers();
    TestClient idle(server.address());
    EXPECT_TRUE(idle.Echoes("hello"));
    server.Signal(number);
    EXPECT_EQ(idle.ReceiveAll(), "");
    const Finished finished = server.Wait();
    EXPECT_EQ(finished.exit_code, 0);
    for (pid_t worker : workers) EXPECT_FALSE(IsAlive(worker));
    EXPECT_TRUE(PortIsFree(server.address()));
  }
}

TEST(ServerSignalsTest, AStopWaitsForARequestInProgress) {
  ServerProcess server({kListen, "--workers=1"});
  server.WaitReady();
  TestClient client(server.address());
  const size_t sent = client.SendUntilStuck();
  server.Signal(SIGTERM);
  server.WaitFor("worker_draining");
  EXPECT_TRUE(PortIsFree(server.address())) << "late clients are refused";
  // Now take what is due: the request completes, and so does the stop.
  shutdown(client.fd(), SHUT_WR);
  EXPECT_EQ(client.ReceiveAll().size(), sent);
  EXPECT_EQ(server.Wait().exit_code, 0);
}

TEST(ServerSignalsTest, ARequestThatOutlastsStopTimeoutIsCutAndCounted) {
  ServerProcess server({kListen, "--workers=1", "--stop_timeout=100ms"});
  server.WaitReady();
  TestClient client(server.address());
  client.SendUntilStuck();
  server.Signal(SIGTERM);
  const nlohmann::json stopped = server.WaitFor("stopped");
  EXPECT_EQ(stopped.value("connections_cut", 0), 1);
  EXPECT_EQ(server.Wait().exit_code, 3);
}

TEST(ServerSignalsTest, QuitEndsItWithinASecondWhateverIsInProgress) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  TestClient client(server.address());
  client.SendUntilStuck();
  const int64_t begin = MonotonicClock::Get()->NowNanos();
  server.Signal(SIGQUIT);
  EXPECT_EQ(server.Wait().exit_code, 0);
  EXPECT_LT(MonotonicClock::Get()->NowNanos() - begin, 1'000'000'000);
}

TEST(ServerSignalsTest, ASecondTermAfterASecondStopsAtOnce) {
  ServerProcess server({kListen, "--workers=1", "--stop_timeout=1h"});
  server.WaitReady();
  TestClient client(server.address());
  client.SendUntilStuck();
  server.Signal(SIGTERM);
  server.WaitFor("worker_draining");
  // Ignored as long as it may be the same keystroke, so it is sent on and on.
  const int64_t begin = MonotonicClock::Get()->NowNanos();
  WaitUntil("it has ended", [&] {
    if (!IsAlive(server.pid())) return true;
    server.Signal(SIGTERM);
    return false;
  });
  EXPECT_GT(MonotonicClock::Get()->NowNanos() - begin, 900'000'000);
  EXPECT_EQ(server.Wait().exit_code, 0);
}

TEST(ServerSignalsTest, DrainDelayServesOnFirst) {
  ServerProcess server({kListen, "--workers=1", "--drain_delay=300ms"});
  server.WaitReady();
  server.Signal(SIGTERM);
  server.WaitFor("stop_started");
  TestClient client(server.address());
  ASSERT_TRUE(client.ok());
  EXPECT_TRUE(client.Echoes("still there"));
  EXPECT_EQ(server.Wait().exit_code, 0);
}

TEST(ServerSignalsTest, ATermForTheWholeGroupDoesNotBypassDrainDelay) {
  ServerProcess server({kListen, "--workers=2", "--drain_delay=300ms"});
  server.WaitReady();
  const std::vector<pid_t> workers = server.Workers();
  server.Signal(SIGTERM);
  for (pid_t worker : workers) ASSERT_EQ(kill(worker, SIGTERM), 0);
  server.WaitFor("stop_started");
  TestClient client(server.address());
  EXPECT_TRUE(client.Echoes("still there"));
  EXPECT_EQ(server.Wait().exit_code, 0);
}

TEST(ServerSignalsTest, SignalsThatMeanNothingDoNothing) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  const std::vector<pid_t> workers = server.Workers();
  for (int number : {SIGWINCH, SIGPIPE}) server.Signal(number);
  for (pid_t worker : workers) {
    for (int number : {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTTIN,
                       SIGTTOU, SIGWINCH, SIGPIPE}) {
      ASSERT_EQ(kill(worker, number), 0);
    }
  }
  TestClient client(server.address());
  EXPECT_TRUE(client.Echoes("hello"));
  EXPECT_EQ(server.Workers(), workers);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
  EXPECT_THAT(server.log(), Not(HasSubstr("reload_started")));
}

TEST(ServerSignalsTest, Usr1ReopensTheLogEverywhere) {
  const std::string path =
      absl::StrCat(testing::TempDir(), "/usr1.", getpid(), ".log");
  const auto contents = [](const std::string& name) {
    std::ifstream file(name);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  ServerProcess server({kListen, "--workers=1", "--log_file=" + path});
  WaitUntil("it is ready", [&] {
    return contents(path).find("\"ready\"") != std::string::npos;
  });
  ASSERT_EQ(rename(path.c_str(), (path + ".1").c_str()), 0);
  server.Signal(SIGUSR1);
  WaitUntil("the new file is there", [&] {
    return contents(path).find("log_reopened") != std::string::npos;
  });
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
  EXPECT_THAT(contents(path), HasSubstr("\"stopped\""));
  EXPECT_THAT(contents(path + ".1"), Not(HasSubstr("\"stopped\"")));
  unlink(path.c_str());
  unlink((path + ".1").c_str());
}

}  // namespace
}  // namespace baton
