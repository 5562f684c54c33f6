// The job pool of a real worker: threads that come and go, a drain that waits
// for what was accepted, a job that does not end.

#include <dirent.h>
#include <signal.h>

#include <list>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::HasSubstr;

constexpr char kServer[] = "tests/job_server";

// How many of a process's threads run jobs.
int JobThreads(pid_t pid) {
  const std::string folder = absl::StrCat("/proc/", pid, "/task");
  DIR* const tasks = opendir(folder.c_str());
  if (tasks == nullptr) return -1;
  int count = 0;
  while (const dirent* task = readdir(tasks)) {
    const std::string name =
        ReadFile(absl::StrCat(folder, "/", task->d_name, "/comm"));
    count += absl::StartsWith(name, "baton-job-");
  }
  closedir(tasks);
  return count;
}

std::string Line(TestClient& client) {
  std::string line;
  while (line.empty() || line.back() != '\n') {
    const std::string byte = client.Receive(1);
    if (byte.empty()) break;
    line += byte;
  }
  return line;
}

// With the real idle_timeout of 20 s.
TEST(ServerJobsTest, ThreadsComeWithJobsAndGoWhenIdle) {
  ServerProcess server(
      {"--workers=1", "--listen=sleep://127.0.0.1:0", "--job_threads=1:8"}, {},
      kServer);
  server.WaitReady();
  const pid_t worker = server.Workers().at(0);
  // A new thread bears its process's name until it runs.
  WaitUntil("there is one thread", [&] { return JobThreads(worker) == 1; });
  std::list<TestClient> clients;
  for (int i = 0; i < 12; ++i) {
    clients.emplace_back(server.address());
    ASSERT_TRUE(clients.back().Send("300\n"));
  }
  WaitUntil("there are eight threads", [&] { return JobThreads(worker) == 8; });
  for (TestClient& client : clients) EXPECT_EQ(Line(client), "done\n");
  EXPECT_EQ(JobThreads(worker), 8) << "nobody has been idle for 20 s";
  WaitUntil("one thread is left", [&] { return JobThreads(worker) == 1; });
}

TEST(ServerJobsTest, AFullQueueIsAnAnswer) {
  ServerProcess server(
      {"--workers=1", "--listen=burn://127.0.0.1:0,sleep://127.0.0.1:0",
       "--job_threads=1:1", "--job_queue=1"},
      {}, kServer);
  server.WaitReady();
  TestClient first(server.address(1)), second(server.address(1)),
      third(server.address(1)), refused(server.address(0));
  ASSERT_TRUE(first.Send("3000\n"));
  ASSERT_TRUE(second.Send("1\n"));
  // That one waits for room; a service that does not is refused.
  ASSERT_TRUE(third.Send("1\n"));
  std::string answer;
  WaitUntil("one is refused", [&] {
    EXPECT_TRUE(refused.Send("\n"));
    answer = Line(refused);
    return answer != "done\n";
  });
  EXPECT_THAT(answer, HasSubstr("full"));
  EXPECT_EQ(Line(first), "done\n");
  EXPECT_EQ(Line(second), "done\n");
  EXPECT_EQ(Line(third), "done\n");
}

TEST(ServerJobsTest, AStopWaitsForAcceptedJobs) {
  ServerProcess server({"--workers=1", "--listen=sleep://127.0.0.1:0"}, {},
                       kServer);
  server.WaitReady();
  TestClient client(server.address());
  ASSERT_TRUE(client.Send("400\n"));
  // Its first line has been read when the second one is answered.
  TestClient other(server.address());
  ASSERT_TRUE(other.Send("1\n"));
  EXPECT_EQ(Line(other), "done\n");
  server.Signal(SIGTERM);
  EXPECT_EQ(Line(client), "done\n");
  EXPECT_EQ(server.Wait().exit_code, 0);
}

TEST(ServerJobsTest, AStopCutsAJobThatOutlastsItAndNamesIt) {
  ServerProcess server(
      {"--workers=1", "--listen=sleep://127.0.0.1:0", "--stop_timeout=300ms"},
      {}, kServer);
  server.WaitReady();
  TestClient client(server.address());
  ASSERT_TRUE(client.Send("60000\n"));
  // It is answered in its turn: the first has been submitted by then.
  TestClient other(server.address());
  ASSERT_TRUE(other.Send("1\n"));
  EXPECT_EQ(Line(other), "done\n");
  server.Signal(SIGTERM);
  EXPECT_EQ(server.WaitFor("job_cut").value("name", ""), "sleep");
  EXPECT_EQ(server.Wait().exit_code, 3);
}

// The loop goes on, and the log says what hangs.
TEST(ServerJobsTest, AJobThatHangsIsNamedAndHoldsUpNobody) {
  ServerProcess server(
      {"--workers=1", "--listen=sleep://127.0.0.1:0,echo://127.0.0.1:0",
       "--stop_timeout=0s"},
      {}, kServer);
  server.WaitReady();
  TestClient hangs(server.address(0));
  ASSERT_TRUE(hangs.Send("60000\n"));
  EXPECT_TRUE(TestClient(server.address(1)).Echoes("still here"));
  const nlohmann::json stalled = server.WaitFor("job_stalled");
  EXPECT_EQ(stalled.value("name", ""), "sleep");
  EXPECT_GE(stalled.value("running_s", 0), 9);
  EXPECT_TRUE(TestClient(server.address(1)).Echoes("still here"));
}

}  // namespace
}  // namespace baton
