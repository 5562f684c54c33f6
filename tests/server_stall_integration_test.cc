// Workers that are stuck: which are ended, what the log then says, and which
// are not to blame.

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/endpoint.h"
#include "nlohmann/json.hpp"
#include "tests/handover_fixture.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using Json = nlohmann::json;

// Workers that serve `service` and echo: two, if the flags say nothing else.
class StallServer {
 public:
  StallServer(const std::string& service, const std::vector<std::string>& flags)
      : server_(Arguments(service, flags), {}, "tests/stall_server") {
    server_.WaitReady();
    workers_ = server_.Workers();
  }

  ServerProcess& process() { return server_; }
  const Endpoint& service() const { return server_.address(0); }
  const Endpoint& echo() const { return server_.address(1); }
  // Those that it began with.
  const std::vector<pid_t>& workers() const { return workers_; }

  pid_t WaitForWorker(const std::string& event) {
    return server_.WaitFor(event).value("worker_pid", 0);
  }
  Json WaitFor(pid_t worker, const std::string& event) {
    return server_.WaitFor(event, [worker](const Json& fields) {
      return fields.value("worker_pid", 0) == worker;
    });
  }
  void WaitForFrame(const std::string& function) {
    server_.WaitFor("crash_frame", [&function](const Json& fields) {
      return absl::StrContains(fields.value("function", ""), function);
    });
  }

  // All slots serve, and nobody has been ended.
  void ExpectNobodyEnded() {
    ExpectServed();
    EXPECT_EQ(server_.Workers(), workers_);
    EXPECT_FALSE(absl::StrContains(server_.log(), "worker_stalled"));
  }
  // The other workers are those of the beginning.
  void ExpectOnlyReplaced(pid_t ended) {
    WaitUntil("there are two workers again", [&] {
      const std::vector<pid_t> now = server_.Workers();
      return now.size() == 2 &&
             std::find(now.begin(), now.end(), ended) == now.end();
    });
    ExpectServed();
    const std::vector<pid_t> now = server_.Workers();
    for (const pid_t worker : workers_) {
      EXPECT_EQ(std::find(now.begin(), now.end(), worker) == now.end(),
                worker == ended);
    }
  }
  void ExpectServed() {
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(TestClient(echo()).Echoes("hi"));
  }

 private:
  static std::vector<std::string> Arguments(
      const std::string& service, const std::vector<std::string>& flags) {
    std::vector<std::string> args = {
        absl::StrCat("--listen=", service, "://127.0.0.1:0,echo://127.0.0.1:0"),
        "--workers=2"};
    args.insert(args.end(), flags.begin(), flags.end());
    return args;
  }

  ServerProcess server_;
  std::vector<pid_t> workers_;
};

// The worker that has a child, and that child; waits until there is one.
struct Waiting {
  pid_t worker = 0;
  pid_t child = 0;
};
Waiting AwaitWaiting(const StallServer& server) {
  Waiting waiting;
  WaitUntil("a worker has a child", [&] {
    for (const pid_t worker : server.workers()) {
      std::istringstream children(ReadFile(
          absl::StrCat("/proc/", worker, "/task/", worker, "/children")));
      if (children >> waiting.child) waiting.worker = worker;
    }
    return waiting.worker != 0;
  });
  return waiting;
}

// --- who is ended

TEST(ServerStallTest, OneThatSpinsIsReplacedAndTheLogNamesTheFunction) {
  StallServer server("spin", {"--stall_timeout=1s"});
  IdleClients others(server.echo(), 20);
  TestClient client(server.service());
  ASSERT_TRUE(client.Send("go"));
  const pid_t stuck = server.WaitForWorker("worker_stalled");
  EXPECT_EQ(server.process().WaitFor("crashed").value("signal", ""), "SIGABRT");
  server.WaitForFrame("SpinForEver()");
  // What it had is lost, and nothing else.
  const int had =
      server.WaitFor(stuck, "worker_totals").value("connections_left", 0);
  EXPECT_EQ(
      server.WaitFor(stuck, "worker_exited").value("status", "").substr(0, 7),
      "SIGABRT");
  EXPECT_EQ(client.ReceiveAll(), "");
  EXPECT_EQ(others.CountLost(), had - 1);
  server.ExpectOnlyReplaced(stuck);
}

TEST(ServerStallTest, SoItDoesAsText) {
  const SocketPath path;
  std::thread client([&path] {
    const auto server = Endpoint::Parse(path.get());
    ASSERT_TRUE(server.ok()) << server.status();
    WaitUntil("the server can be asked to spin", [&server] {
      TestClient one(*server);
      return one.ok() && one.Send("go") && one.ReceiveAll().empty();
    });
  });
  // It ends by itself, since there are no more workers to lose.
  const Finished finished = RunServer(
      {"--listen=spin+unix://" + path.get(), "--workers=1",
       "--stall_timeout=1s", "--crash_loop_limit=1", "--log_format=text"},
      {}, "tests/stall_server");
  client.join();
  EXPECT_EQ(finished.exit_code, 4);
  bool named = false;
  for (const absl::string_view line :
       absl::StrSplit(finished.err, '\n', absl::SkipEmpty())) {
    EXPECT_TRUE(absl::StrContains(line, "] master: ") ||
                absl::StrContains(line, "] worker 0: "))
        << line;
    named = named || absl::StrContains(line, "SpinForEver()");
  }
  EXPECT_TRUE(named) << finished.err;
}

TEST(ServerStallTest, OneThatWaitsInTheKernelIsEndedToo) {
  StallServer server("wait", {"--stall_timeout=1s"});
  TestClient client(server.service());
  ASSERT_TRUE(client.Send("sleep"));
  const pid_t stuck = server.WaitForWorker("worker_stalled");
  server.WaitForFrame("WaitForChild()");
  server.ExpectOnlyReplaced(stuck);
}

TEST(ServerStallTest, UntilThenItsSlotIsServedByAnother) {
  StallServer server("spin", {"--stall_timeout=1h"});
  TestClient client(server.service());
  ASSERT_TRUE(client.Send("go"));
  server.WaitForWorker("worker_stuck");
  server.ExpectNobodyEnded();
}

TEST(ServerStallTest, ACrashNamesItsFunctionToo) {
  StallServer server("crash", {});
  TestClient client(server.service());
  ASSERT_TRUE(client.Send("go"));
  EXPECT_EQ(server.process().WaitFor("crashed").value("signal", ""), "SIGSEGV");
  server.WaitForFrame("WriteToNowhere()");
  server.ExpectOnlyReplaced(server.WaitForWorker("worker_exited"));
}

// Another configuration serves, which would not have it ended, and in the one
// case another binary's master looks.
class OneThatIsToLeave : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(ByReloadAndUpgrade, OneThatIsToLeave,
                         testing::Values(SIGHUP, SIGUSR2));

TEST_P(OneThatIsToLeave, GoesByItsOwnConfiguration) {
  const SocketPath file;
  std::ofstream(file.get()) << "--stall_timeout=4s\n";
  StallServer server("spin", {"--flagfile=" + file.get()});
  TestClient client(server.service());
  ASSERT_TRUE(client.Send("go"));
  const pid_t stuck = server.WaitForWorker("worker_stuck");
  std::ofstream(file.get()) << "--stall_timeout=0s\n";
  server.process().Signal(GetParam());
  EXPECT_EQ(server.WaitForWorker("worker_stalled"), stuck);
  server.WaitForFrame("SpinForEver()");
  server.ExpectServed();
}

// --- who is not

TEST(ServerStallTest, OneThatIsStoppedGoesOnWhereItWas) {
  StallServer server("stop", {"--stall_timeout=1s"});
  TestClient client(server.service());
  ASSERT_TRUE(client.Send("go"));
  const Json spared = server.process().WaitFor("worker_stall_spared");
  EXPECT_EQ(spared.value("reason", ""), "stopped");
  ASSERT_EQ(kill(spared.value("worker_pid", 0), SIGCONT), 0);
  EXPECT_EQ(client.Receive(5), "awake");
  server.ExpectNobodyEnded();
}

TEST(ServerStallTest, OneWhoseDiskDoesNotAnswerIsSpared) {
  StallServer server("wait", {"--stall_timeout=1s"});
  TestClient client(server.service());
  ASSERT_TRUE(client.Send("disk"));
  const Waiting waiting = AwaitWaiting(server);
  EXPECT_EQ(
      server.WaitFor(waiting.worker, "worker_stall_spared").value("reason", ""),
      "uninterruptible_sleep");
  ASSERT_EQ(kill(waiting.child, SIGKILL), 0);
  EXPECT_EQ(client.Receive(5), "awake");
  server.ExpectNobodyEnded();
}

// Held in the system call that writes a line of its log, as by
// strace -e inject=writev:delay_enter=...
TEST(ServerStallTest, OneThatIsHeldInItsLogIsSpared) {
  StallServer server("log", {"--stall_timeout=1s", "--workers=1"});
  const pid_t worker = server.workers().at(0);
  ASSERT_EQ(ptrace(PTRACE_SEIZE, worker, 0, PTRACE_O_TRACESYSGOOD), 0);
  ASSERT_EQ(ptrace(PTRACE_INTERRUPT, worker, 0, 0), 0);
  TestClient client(server.service());
  ASSERT_TRUE(client.Send("go"));
  for (bool writes = false; !writes;) {
    int status = 0;
    ASSERT_EQ(waitpid(worker, &status, __WALL), worker);
    ASSERT_TRUE(WIFSTOPPED(status)) << status;
    __ptrace_syscall_info call = {};
    ASSERT_GE(ptrace(PTRACE_GET_SYSCALL_INFO, worker, sizeof(call), &call), 0);
    writes =
        call.op == PTRACE_SYSCALL_INFO_ENTRY && call.entry.nr == SYS_writev;
    if (!writes) ASSERT_EQ(ptrace(PTRACE_SYSCALL, worker, 0, 0), 0);
  }
  EXPECT_EQ(server.WaitFor(worker, "worker_stall_spared").value("reason", ""),
            "traced");
  ASSERT_EQ(ptrace(PTRACE_DETACH, worker, 0, 0), 0);
  EXPECT_EQ(client.Receive(6), "logged");
  server.ExpectNobodyEnded();
}

// As a freezer does with a container: for longer than the time-out, the master
// too, while a worker is in the middle of something.
TEST(ServerStallTest, AGroupThatWasFrozenLosesNobody) {
  constexpr absl::Duration kTimeout = absl::Seconds(4);
  StallServer server("wait", {"--stall_timeout=4s"});
  TestClient client(server.service());
  ASSERT_TRUE(client.Send("sleep"));
  const Waiting waiting = AwaitWaiting(server);
  std::vector<pid_t> group = {server.process().pid()};
  group.insert(group.end(), server.workers().begin(), server.workers().end());
  for (const pid_t pid : group) ASSERT_EQ(kill(pid, SIGSTOP), 0);
  const auto now = [] {
    return absl::Nanoseconds(MonotonicClock::Get()->NowNanos());
  };
  const absl::Duration end = now() + kTimeout + absl::Seconds(2);
  WaitUntil("they were frozen for long", [&] { return now() > end; });
  // The master first, who finds a worker in the turn of six seconds ago.
  for (const pid_t pid : group) ASSERT_EQ(kill(pid, SIGCONT), 0);
  ASSERT_EQ(kill(waiting.child, SIGKILL), 0);
  EXPECT_EQ(client.Receive(5), "awake");
  server.ExpectNobodyEnded();
}

}  // namespace
}  // namespace baton
