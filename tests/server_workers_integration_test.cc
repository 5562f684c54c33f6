// Worker processes: their names, their deaths, their replacement, reloads.

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/process.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const char kListen[] = "--listen=echo://127.0.0.1:0";

std::vector<std::string> TitlesOfWorkers(const ServerProcess& server) {
  std::vector<std::string> titles;
  for (pid_t worker : server.Workers()) titles.push_back(TitleOf(worker));
  std::sort(titles.begin(), titles.end());
  return titles;
}

class FlagFile {
 public:
  FlagFile()
      : path_(absl::StrCat(
            testing::TempDir(), "/",
            testing::UnitTest::GetInstance()->current_test_info()->name(), ".",
            getpid(), ".flags")) {}
  ~FlagFile() { unlink(path_.c_str()); }

  void Write(const std::string& text) { std::ofstream(path_) << text; }
  std::string flag() const { return "--flagfile=" + path_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// What the first hundred of them are.
std::vector<std::string> DescriptorsOf(pid_t process) {
  std::vector<std::string> targets;
  for (int fd = 0; fd < 100; ++fd) {
    char target[200] = {};
    const std::string link = absl::StrCat("/proc/", process, "/fd/", fd);
    if (readlink(link.c_str(), target, sizeof(target) - 1) > 0)
      targets.emplace_back(target);
  }
  return targets;
}

nlohmann::json Reload(ServerProcess& server) {
  server.Signal(SIGHUP);
  return server.WaitFor("reload_finished");
}

TEST(ServerWorkersTest, TitlesSayWhoIsWho) {
  ServerProcess server({kListen, "--workers=3"});
  server.WaitReady();
  EXPECT_EQ(TitleOf(server.pid()), "baton: master");
  EXPECT_THAT(TitlesOfWorkers(server),
              ElementsAre("baton: worker 0 (generation 1)",
                          "baton: worker 1 (generation 1)",
                          "baton: worker 2 (generation 1)"));
}

TEST(ServerWorkersTest, ADeadWorkerIsReplaced) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  for (int i = 0; i < 10; ++i) {
    const pid_t victim = server.Workers()[0];
    ASSERT_EQ(kill(victim, SIGKILL), 0);
    server.WaitFor("worker_serving");
    const std::vector<pid_t> workers = server.Workers();
    EXPECT_EQ(workers.size(), 2u);
    EXPECT_EQ(std::count(workers.begin(), workers.end(), victim), 0);
    TestClient client(server.address());
    EXPECT_TRUE(client.Echoes("hello"));
  }
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
}

TEST(ServerWorkersTest, AWorkerThatIsAskedToGoIsReplacedFirst) {
  ServerProcess server({kListen, "--workers=1"});
  server.WaitReady();
  const pid_t old = server.Workers()[0];
  ASSERT_EQ(kill(old, SIGTERM), 0);
  const nlohmann::json serving = server.WaitFor("worker_serving");
  EXPECT_NE(serving.value("worker_pid", 0), old);
  EXPECT_EQ(server.WaitFor("worker_exited").value("worker_pid", 0), old);
  EXPECT_THAT(TitlesOfWorkers(server),
              ElementsAre("baton: worker 0 (generation 1)"));
}

TEST(ServerWorkersTest, NothingSurvivesTheMaster) {
  ServerProcess server({kListen, "--workers=3"});
  server.WaitReady();
  const std::vector<pid_t> workers = server.Workers();
  ASSERT_EQ(workers.size(), 3u);
  server.Signal(SIGKILL);
  EXPECT_EQ(server.Wait().signal, SIGKILL);
  WaitUntil("the workers are gone", [&] {
    return std::none_of(workers.begin(), workers.end(), IsAlive);
  });
  WaitUntil("the port is free", [&] {
    return TestClient(server.address()).connect_errno() == ECONNREFUSED;
  });
}

TEST(ServerWorkersTest, AWorkerHasNoDescriptorOfAnotherOne) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  ASSERT_EQ(Reload(server).value("outcome", ""), "ok");
  WaitUntil("the old ones are gone",
            [&] { return server.Workers().size() == 2; });
  for (pid_t worker : server.Workers()) {
    // The channel of a handover goes when its other end has.
    WaitUntil("a worker has its channel and its listener", [worker] {
      const std::vector<std::string> open = DescriptorsOf(worker);
      return std::count_if(open.begin(), open.end(), [](const auto& target) {
               return target.rfind("socket:", 0) == 0;
             }) == 2;
    });
    for (const std::string& target : DescriptorsOf(worker)) {
      EXPECT_THAT(target, testing::Not(HasSubstr("pidfd")));
      EXPECT_THAT(target, testing::Not(HasSubstr("memfd")));
    }
  }
}

TEST(ServerWorkersTest, WorkersRunAsTheUserTheyAreToldTo) {
  // Root of a user namespace that has no other user is not enough.
  auto dropped = Process::Fork([] { return setuid(65534); });
  ASSERT_TRUE(dropped.ok());
  if (!dropped->WaitAndReap().clean()) {
    GTEST_SKIP() << "needs root";
  }
  ServerProcess server({kListen, "--workers=1", "--user=nobody"});
  server.WaitReady();
  ASSERT_EQ(server.Workers().size(), 1u);
  TestClient client(server.address());
  EXPECT_TRUE(client.Echoes("hello"));
  const std::string text =
      ReadFile(absl::StrCat("/proc/", server.Workers()[0], "/status"));
  EXPECT_THAT(text, HasSubstr("Uid:\t65534\t65534\t65534\t65534"));
  // It still dies with its master.
  const pid_t worker = server.Workers()[0];
  server.Signal(SIGKILL);
  server.Wait();
  WaitUntil("the worker is gone", [&] { return !IsAlive(worker); });
}

// --- reload

TEST(ServerReloadTest, HangupReplacesAllWorkers) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  const std::vector<pid_t> old = server.Workers();
  for (int generation = 2; generation <= 5; ++generation) {
    const nlohmann::json finished = Reload(server);
    EXPECT_EQ(finished.value("outcome", ""), "ok");
    EXPECT_EQ(finished.value("generation", 0), generation);
    TestClient client(server.address());
    EXPECT_TRUE(client.Echoes("hello"));
  }
  WaitUntil("the old workers are gone",
            [&] { return server.Workers().size() == 2; });
  EXPECT_THAT(TitlesOfWorkers(server),
              ElementsAre("baton: worker 0 (generation 5)",
                          "baton: worker 1 (generation 5)"));
  for (pid_t worker : old) EXPECT_FALSE(IsAlive(worker));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
}

TEST(ServerReloadTest, NoNewConnectionIsLostMeanwhile) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  std::atomic<bool> done{false};
  std::atomic<int> exchanges{0}, lost{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      while (!done) {
        TestClient client(server.address());
        ++(client.ok() && client.Echoes("hello") ? exchanges : lost);
      }
    });
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Reload(server).value("outcome", ""), "ok");
  }
  done = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(lost, 0);
  EXPECT_GT(exchanges, 100);
}

TEST(ServerReloadTest, ARequestInProgressOutlivesIt) {
  ServerProcess server({kListen, "--workers=1"});
  server.WaitReady();
  TestClient client(server.address());
  const size_t sent = client.SendUntilStuck();
  const pid_t old = server.Workers()[0];
  EXPECT_EQ(Reload(server).value("outcome", ""), "ok");
  EXPECT_TRUE(IsAlive(old)) << "it waits for the client";
  shutdown(client.fd(), SHUT_WR);
  EXPECT_EQ(client.ReceiveAll().size(), sent);
  const nlohmann::json drained = server.WaitFor("worker_drained");
  EXPECT_EQ(drained.value("worker_pid", 0), old);
  EXPECT_EQ(drained.value("connections_cut", -1), 0);
}

TEST(ServerReloadTest, ABadFileLeavesTheOldConfigurationServing) {
  FlagFile file;
  file.Write("--listen=echo://127.0.0.1:0\n--workers=2\n");
  ServerProcess server({file.flag()});
  server.WaitReady();
  const std::vector<pid_t> workers = server.Workers();
  for (const std::string bad :
       {"--listen=echo://127.0.0.1:0\n--no_such_flag=1\n",
        "--listen=gopher://127.0.0.1:0\n", "--listen=\n--workers=2\n",
        "garbage\n"}) {
    file.Write(bad);
    const nlohmann::json finished = Reload(server);
    EXPECT_EQ(finished.value("outcome", ""), "rejected") << bad;
    EXPECT_EQ(finished.value("generation", 0), 2);
    EXPECT_NE(finished.value("reason", ""), "");
  }
  unlink(file.path().c_str());
  EXPECT_THAT(Reload(server).value("reason", ""), HasSubstr(file.path()));
  EXPECT_EQ(server.Workers(), workers);
  TestClient client(server.address());
  EXPECT_TRUE(client.Echoes("hello"));

  file.Write("--listen=echo://127.0.0.1:0\n--workers=2\n");
  EXPECT_EQ(Reload(server).value("outcome", ""), "ok");
}

TEST(ServerReloadTest, ListenersComeAndGoAndStay) {
  FlagFile file;
  file.Write(
      "--listen=echo://127.0.0.1:0,echo://127.0.0.2:0?defer_accept=30\n"
      "--workers=2\n");
  ServerProcess server({file.flag()});
  server.WaitReady();
  ASSERT_EQ(server.address_count(), 2u);
  // Connected in their own view, not yet in the server's.
  std::vector<TestClient> half_open;
  for (int i = 0; i < 8; ++i) half_open.emplace_back(server.address(1));
  file.Write("--listen=echo://127.0.0.1:0,echo://[::1]:0\n--workers=2\n");
  EXPECT_EQ(Reload(server).value("outcome", ""), "ok");
  ASSERT_EQ(server.address_count(), 3u) << "the new one is announced";
  EXPECT_TRUE(TestClient(server.address(0)).Echoes("stays"));
  EXPECT_TRUE(TestClient(server.address(2)).Echoes("new"));
  // Whoever was on his way to the one that went is served.
  for (TestClient& client : half_open) EXPECT_TRUE(client.Echoes("went"));
  EXPECT_TRUE(TestClient(server.address(1)).Echoes("late"));
  // It comes back where it was, and a killed adopter takes nothing along.
  file.Write("--listen=echo://127.0.0.1:0,echo://127.0.0.2:0\n--workers=2\n");
  EXPECT_EQ(Reload(server).value("outcome", ""), "ok");
  EXPECT_TRUE(TestClient(server.address(1)).Echoes("back"));
  for (const pid_t worker : server.Workers()) kill(worker, SIGKILL);
  EXPECT_TRUE(TestClient(server.address(1)).Echoes("still"));
}

TEST(ServerReloadTest, ARemovedUnixListenersPathIsFree) {
  FlagFile file;
  const SocketPath path;
  file.Write("--listen=echo://127.0.0.1:0,echo+unix://" + path.get() + "\n");
  ServerProcess server({file.flag()});
  server.WaitReady();
  file.Write("--listen=echo://127.0.0.1:0\n");
  EXPECT_EQ(Reload(server).value("outcome", ""), "ok");
  EXPECT_NE(access(path.get().c_str(), F_OK), 0);
  file.Write("--listen=echo://127.0.0.1:0,echo+unix://" + path.get() + "\n");
  EXPECT_EQ(Reload(server).value("outcome", ""), "ok");
  EXPECT_TRUE(TestClient(server.address(2)).Echoes("again"));
}

TEST(ServerReloadTest, ANewListenerThatCanNotBeBoundRejectsIt) {
  FlagFile file;
  file.Write("--listen=echo://127.0.0.1:0\n--workers=1\n");
  ServerProcess server({file.flag()});
  server.WaitReady();
  ServerProcess other({kListen, "--workers=1"});
  other.WaitReady();
  const std::string taken = other.address().ToString();
  file.Write(absl::StrCat("--listen=echo://127.0.0.1:0,echo://", taken,
                          "\n--workers=1\n"));
  const nlohmann::json finished = Reload(server);
  EXPECT_EQ(finished.value("outcome", ""), "rejected");
  EXPECT_THAT(finished.value("reason", ""), HasSubstr(taken));
  EXPECT_TRUE(TestClient(server.address()).Echoes("hello"));
}

TEST(ServerReloadTest, TheNumberOfWorkersFollowsTheFile) {
  FlagFile file;
  ServerProcess server({[&] {
    file.Write("--listen=echo://127.0.0.1:0\n--workers=1\n");
    return file.flag();
  }()});
  server.WaitReady();
  for (int workers : {3, 2, 4, 1}) {
    file.Write(
        absl::StrCat("--listen=echo://127.0.0.1:0\n--workers=", workers, "\n"));
    EXPECT_EQ(Reload(server).value("outcome", ""), "ok");
    WaitUntil("there are as many", [&] {
      return server.Workers().size() == static_cast<size_t>(workers);
    });
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(TestClient(server.address()).Echoes("hello"));
    }
  }
}

TEST(ServerReloadTest, HangupsInAReloadMakeOneMore) {
  ServerProcess server({kListen, "--workers=2"});
  server.WaitReady();
  for (int i = 0; i < 50; ++i) server.Signal(SIGHUP);
  // However they were taken together, at the end a reload is complete that
  // began after the last of them.
  const nlohmann::json first = server.WaitFor("reload_finished");
  EXPECT_EQ(first.value("outcome", ""), "ok");
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
  const std::string log = server.log();
  size_t started = 0;
  for (size_t at = 0; (at = log.find("reload_started", at)) != log.npos; ++at) {
    ++started;
  }
  EXPECT_LT(started, 50u);
}

}  // namespace
}  // namespace baton
