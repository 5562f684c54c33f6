// access_log= and access_format= of the whole server: each response has its
// line, whatever happens to workers, files and the configuration.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "master/process.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"
#include "tests/access_log_fixture.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

class ServerAccessLogTest : public AccessLogFixture {
 protected:
  // The end of the server, at which nothing waits any more.
  void Stop() {
    server().Signal(SIGTERM);
    EXPECT_EQ(server().Wait().exit_code, 0);
  }
  bool MasterHasOpen(absl::string_view name) {
    return HasOpen(server().pid(), Path(name));
  }
};

TEST_F(ServerAccessLogTest, EachResponseHasItsLine) {
  constexpr int kClients = 10;
  constexpr int kEach = 2000;
  Start(ListenTo("log"));
  std::vector<TestClient> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(server().address());
  for (TestClient& client : clients) Get(client, kEach);
  Stop();
  const std::vector<std::string> lines = Lines("log");
  EXPECT_EQ(lines.size(), size_t{kClients} * kEach);
  ExpectWhole(lines);
  struct stat status = {};
  ASSERT_EQ(stat(Path("log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777 & ~0640, 0u);
}

TEST_F(ServerAccessLogTest, ALineIsThereWithinASecondOrSo) {
  Start(ListenTo("log", "json"));
  Get(3);
  AwaitLines("log", 3);
  ExpectWhole(Lines("log"), "json");
  EXPECT_EQ(Written(), 3);
}

TEST_F(ServerAccessLogTest, ListenersShareAFileAndStderrIsOne) {
  const std::string log = absl::StrCat("access_log=", Path("log"));
  Start(Listen(log, absl::StrCat("http://127.0.0.1:0?", log,
                                 ",http://127.0.0.1:0?access_log=stderr")));
  for (int i = 0; i < 3; ++i) {
    TestClient client(server().address(i));
    Get(client, 10);
  }
  Stop();
  EXPECT_EQ(Lines("log").size(), 20u);
  int on_stderr = 0;
  for (const std::string& line : LinesOf(server().log())) {
    if (absl::StrContains(line, "] \"GET /?%22 HTTP/1.1\" 200 13 ")) {
      ++on_stderr;
    }
  }
  EXPECT_EQ(on_stderr, 10);
}

TEST_F(ServerAccessLogTest, AReloadAddsChangesAndRemovesIt) {
  Start(Listen("access_log=off"));
  TestClient client(server().address());
  Get(client, 5);
  WriteFlags(ListenTo("one"));
  MustReload();
  Get(client, 7);
  EXPECT_TRUE(MasterHasOpen("one"));
  WriteFlags(ListenTo("two", "json"));
  MustReload();
  EXPECT_FALSE(MasterHasOpen("one"));
  Get(client, 9);
  WriteFlags(Listen("access_log=off"));
  MustReload();
  EXPECT_FALSE(MasterHasOpen("two"));
  Get(client, 11);
  Stop();
  EXPECT_EQ(Lines("one").size(), 7u);
  ExpectWhole(Lines("one"));
  EXPECT_EQ(Lines("two").size(), 9u);
  ExpectWhole(Lines("two"), "json");
}

TEST_F(ServerAccessLogTest, OneThatCanNotBeOpenedRejectsAReload) {
  Start(ListenTo("log"));
  WriteFlags(ListenTo("no/such/log"));
  Json finished = Reload();
  EXPECT_EQ(finished.value("outcome", ""), "rejected");
  EXPECT_TRUE(
      absl::StrContains(finished.value("reason", ""), Path("no/such/log")))
      << finished;
  WriteFlags(Listen(absl::StrCat("access_log=", Path("log")),
                    absl::StrCat("http://127.0.0.1:0?access_format=json&"
                                 "access_log=",
                                 Path("log"))));
  finished = Reload();
  EXPECT_EQ(finished.value("outcome", ""), "rejected");
  EXPECT_TRUE(absl::StrContains(finished.value("reason", ""), "two formats"));
  Get(4);
  WriteFlags(ListenTo("log"));
  MustReload();
  Get(4);
  Stop();
  EXPECT_EQ(Lines("log").size(), 8u);
}

TEST_F(ServerAccessLogTest, CheckCreatesNothing) {
  const std::vector<std::string> args = {
      "--check", ListenTo("log").substr(0, ListenTo("log").find('\n'))};
  EXPECT_EQ(RunServer(args).exit_code, 0);
  EXPECT_NE(access(Path("log").c_str(), F_OK), 0);
  ASSERT_EQ(symlink("/dev/null", Path("log").c_str()), 0);
  const Finished finished = RunServer(args);
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_TRUE(absl::StrContains(finished.err, "it is a symbolic link"));
}

TEST_F(ServerAccessLogTest, CheckSaysWhatAFifoNeedsAndLeavesItsReaderAlone) {
  ASSERT_EQ(mkfifo(Path("log").c_str(), 0600), 0);
  const std::string listen =
      ListenTo("log").substr(0, ListenTo("log").find('\n'));
  const UniqueFd reader(
      open(Path("log").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const Finished checked = RunServer({"--check", listen});
  EXPECT_EQ(checked.exit_code, 0);
  EXPECT_TRUE(absl::StrContains(
      checked.err, "log\" is a FIFO: the server starts only while somebody"))
      << checked.err;
  // A reader learns of each writer that goes.
  pollfd end = {.fd = reader.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&end, 1, 0), 0);
}

TEST_F(ServerAccessLogTest, ReopenedItGoesOnInANewFile) {
  Start(ListenTo("log"));
  TestClient client(server().address());
  Get(client, 50);
  ASSERT_EQ(rename(Path("log").c_str(), Path("old").c_str()), 0);
  server().Signal(SIGUSR1);
  server().WaitFor("access_log_reopened");
  // What was waiting is the old one's, or the new one's: no line is lost.
  AwaitLines("old", 50);
  Get(client, 60);
  Stop();
  EXPECT_EQ(Lines("old").size(), 50u);
  EXPECT_EQ(Lines("log").size(), 60u);
}

TEST_F(ServerAccessLogTest, ItIsOpenedWithTheMastersRights) {
  // Root of a user namespace that has no other user is not enough.
  auto dropped = Process::Fork([] { return setuid(65534); });
  ASSERT_TRUE(dropped.ok());
  if (!dropped->WaitAndReap().clean()) GTEST_SKIP() << "needs root";
  ASSERT_EQ(chmod(Path("").c_str(), 0700), 0);
  Start(ListenTo("log"), {"--user=nobody"});
  Get(5);
  MustReload();
  Get(5);
  ASSERT_EQ(rename(Path("log").c_str(), Path("old").c_str()), 0);
  server().Signal(SIGUSR1);
  server().WaitFor("access_log_reopened");
  AwaitLines("old", 10);
  Get(5);
  Stop();
  EXPECT_EQ(Lines("log").size(), 5u);
}

TEST_F(ServerAccessLogTest, AnUpgradeGoesOnWithIt) {
  Start(ListenTo("log"), {"--probation=0s"});
  TestClient client(server().address());
  Get(client, 5);
  server().Signal(SIGUSR2);
  EXPECT_EQ(server().WaitFor("upgrade_finished").value("outcome", ""), "ok");
  Get(client, 6);
  ASSERT_EQ(rename(Path("log").c_str(), Path("old").c_str()), 0);
  server().Signal(SIGUSR1);
  server().WaitFor("access_log_reopened");
  AwaitLines("old", 11);
  Get(client, 7);
  Stop();
  EXPECT_EQ(Lines("log").size(), 7u);
}

// Its clients' connections live on, and what it said of them holds.
TEST_F(ServerAccessLogTest, AListenerThatIsRemovedIsLoggedToTheEnd) {
  Start(Listen("access_log=off", absl::StrCat("http://127.0.0.1:0?access_log=",
                                              Path("removed"))));
  TestClient client(server().address(1));
  Get(client, 3);
  WriteFlags(Listen("access_log=off"));
  MustReload();
  Get(client, 4);
  // Also by the worker that has it now.
  ASSERT_EQ(rename(Path("removed").c_str(), Path("old").c_str()), 0);
  server().Signal(SIGUSR1);
  server().WaitFor("access_log_reopened");
  AwaitLines("old", 7);
  Get(client, 2);
  Stop();
  EXPECT_EQ(Lines("removed").size(), 2u);
}

// Also those who were forked while it was still in use have it no more.
TEST_F(ServerAccessLogTest, ARemovedOneIsForgottenWithItsLastWorker) {
  const std::string more =
      absl::StrCat("http://127.0.0.1:0?access_log=", Path("kept"));
  Start(Listen(absl::StrCat("access_log=", Path("gone")), more));
  Get(3);
  WriteFlags(Listen("access_log=off", more));
  MustReload();
  WaitUntil("the old workers have gone",
            [&] { return Status()["workers"].size() == 2; });
  ASSERT_EQ(rename(Path("gone").c_str(), Path("old").c_str()), 0);
  server().Signal(SIGUSR1);
  // In the order of their paths.
  EXPECT_EQ(server().WaitFor("access_log_reopened").value("path", ""),
            Path("kept"));
  EXPECT_NE(access(Path("gone").c_str(), F_OK), 0);
  EXPECT_EQ(Lines("old").size(), 3u);
}

// Across an upgrade too, after which their master is one that never opened it.
TEST_F(ServerAccessLogTest, ARemovedOneIsReopenedForWorkersThatDrain) {
  for (const bool upgraded : {false, true}) {
    const std::string name = upgraded ? "upgraded" : "reloaded";
    const std::string old = name + ".1";
    Start(ListenTo(name), {"--probation=0s"});
    // In the middle of a request: it stays where it is.
    TestClient drains(server().address());
    ASSERT_TRUE(drains.Send(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na"));
    AwaitBytesIn(1);
    WriteFlags(Listen("access_log=off"));
    if (upgraded) {
      server().Signal(SIGUSR2);
      EXPECT_EQ(server().WaitFor("upgrade_finished").value("outcome", ""),
                "ok");
    } else {
      MustReload();
    }
    ASSERT_EQ(rename(Path(name).c_str(), Path(old).c_str()), 0);
    server().Signal(SIGUSR1);
    EXPECT_EQ(server().WaitFor("access_log_reopened").value("path", ""),
              Path(name));
    ASSERT_TRUE(drains.Send("b"));
    std::string answer;
    while (!absl::EndsWith(answer, "\r\n\r\nab")) answer += drains.Receive(1);
    WaitUntil("the master has closed it", [&] { return !MasterHasOpen(name); });
    Stop();
    EXPECT_EQ(Lines(name).size(), 1u);
    EXPECT_EQ(Lines(old).size(), 0u);
  }
}

TEST_F(ServerAccessLogTest, AClientIsWhomATrustedProxyNames) {
  Start(ListenTo("log") + "\n--forwarded_from=127.0.0.0/8");
  TestClient client(server().address());
  for (const char* address : {"192.0.2.1", "192.0.2.2"}) {
    ASSERT_TRUE(client.Send(
        absl::StrCat("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: ", address,
                     "\r\n\r\n")));
    while (!absl::EndsWith(client.Receive(1), "!")) {
    }
  }
  Stop();
  const std::vector<std::string> lines = Lines("log");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_TRUE(absl::StartsWith(lines[0], "192.0.2.1 - - ["));
  EXPECT_TRUE(absl::StartsWith(lines[1], "192.0.2.2 - - ["));
}

}  // namespace
}  // namespace baton
