// Signals to the master and to workers, and how the process ends.

#include <signal.h>
#include <sys/resource.h>
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
  EXPECT_EQ(server.WaitFor("stopped").value("connections_cut", 0), 1);
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

TEST(ServerSignalsTest, ALogThatMayNotGrowEndsNothing) {
  const std::string path =
      absl::StrCat(testing::TempDir(), "/full.", getpid(), ".log");
  const auto size = [&path] {
    struct stat status = {};
    return stat(path.c_str(), &status) == 0 ? status.st_size : 0;
  };
  // Larger than the scoreboard of a worker, which the limit is for as well.
  std::ofstream(path) << std::string(64 * 1024, '.') << '\n';
  ServerProcess server({kListen, "--workers=1", "--log_file=" + path});
  WaitUntil("it is ready", [&] {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {})
               .find("\"ready\"") != std::string::npos;
  });
  const std::vector<pid_t> before = server.Workers();
  rlimit limit = {};
  ASSERT_EQ(prlimit(server.pid(), RLIMIT_FSIZE, nullptr, &limit), 0);
  const off_t full = size();
  limit.rlim_cur = static_cast<rlim_t>(full);
  ASSERT_EQ(prlimit(server.pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  server.Signal(SIGHUP);
  WaitUntil("the worker is replaced", [&] {
    const std::vector<pid_t> now = server.Workers();
    return now.size() == 1 && now != before;
  });
  EXPECT_EQ(size(), full) << "the limit was no limit";
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
  unlink(path.c_str());
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
