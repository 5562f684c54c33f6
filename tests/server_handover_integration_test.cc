// Connections outlive the worker that serves them: reloads, SIGTERM to a
// worker, fewer workers, recycling.

#include <signal.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "nlohmann/json.hpp"
#include "tests/handover_fixture.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

std::string Message(absl::string_view text) {
  return absl::StrCat(std::string(1, static_cast<char>(text.size())), text);
}

// Sends a request and receives this answer.
testing::AssertionResult Answers(TestClient& client, absl::string_view request,
                                 absl::string_view answer) {
  if (!client.Send(request)) return testing::AssertionFailure() << "it is gone";
  const std::string got = client.Receive(answer.size());
  if (got == answer) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "the answer is: " << got;
}

class ServerHandoverTest : public HandoverTest {};

// --- reload

TEST_F(ServerHandoverTest, AReloadPassesAllIdleConnections) {
  Start("--listen=echo://127.0.0.1:0\n--workers=2");
  const pid_t old[] = {WorkerOf(0), WorkerOf(1)};
  // More than a message holds, also of one worker.
  IdleClients clients(server().address(), 600);
  MustReload();
  EXPECT_EQ(OfReady("received"), 600);
  EXPECT_EQ(OfReady("connections"), 600);
  EXPECT_EQ(OfReady("accepted"), 0);
  clients.ExpectAllEcho();
  WaitUntil("the old workers are gone",
            [&] { return !IsAlive(old[0]) && !IsAlive(old[1]); });
  clients.ExpectAllEcho();
  // What the counters of a slot say goes on through a handover.
  EXPECT_EQ(OfReady("requests"), 1200);
}

TEST_F(ServerHandoverTest, TheSuccessorSeesTheSamePeer) {
  Start("--listen=peer://127.0.0.1:0\n--workers=1");
  TestClient client(server().address());
  const std::string address =
      absl::StrCat(Endpoint::LocalOf(client.fd())->ToString(), "\n");
  ASSERT_TRUE(Answers(client, "\n", address));
  MustReload();
  ASSERT_TRUE(Answers(client, "\n", address));
  EXPECT_EQ(OfReady("received"), 1);
}

TEST_F(ServerHandoverTest, WhoTalksMeanwhileNoticesNothing) {
  Start("--listen=echo://127.0.0.1:0,www://127.0.0.1:0\n--workers=2");
  Talkers echo(server().address(0), 6);
  Talkers http(server().address(1), 2, Talkers::Http);
  for (int i = 0; i < 10; ++i) {
    echo.Await(50);
    MustReload();
  }
  echo.Await(50);
  http.Await(10);
  echo.Stop();
  http.Stop();
  EXPECT_EQ(echo.broken() + http.broken(), 0);
}

TEST_F(ServerHandoverTest, HalfARequestIsAnsweredWhenItsOtherHalfComes) {
  Start(
      "--listen=www://127.0.0.1:0,line://127.0.0.1:0,login://127.0.0.1:0\n"
      "--workers=1");
  TestClient http(server().address(0)), line(server().address(1)),
      login(server().address(2));
  const std::string half_head = "GET / HTTP/1.1\r\nHost: te";
  ASSERT_TRUE(http.Send(half_head));
  ASSERT_TRUE(line.Send("half a "));
  // Read, and forgotten by the kernel: the worker alone has them.
  AwaitBytesIn(static_cast<int64_t>(half_head.size()) + 7);
  MustReload();
  EXPECT_EQ(OfReady("received"), 2);
  ASSERT_TRUE(http.Send("st\r\n\r\n"));
  ASSERT_TRUE(line.Send("line\n"));
  EXPECT_EQ(line.Receive(12), "half a line\n");
  EXPECT_EQ(http.Receive(12), "HTTP/1.1 200");

  // A message that is half done belongs to whoever has begun it.
  const int64_t before = OfReady("bytes_in");
  ASSERT_TRUE(login.Send(Message("ann").substr(0, 2)));
  WaitUntil("it is read", [&] { return OfReady("bytes_in") == before + 2; });
  const pid_t old = WorkerOf(0);
  MustReload();
  EXPECT_TRUE(IsAlive(old));
  ASSERT_TRUE(Answers(login, "nn", Message("welcome")));
  EXPECT_EQ(WaitForEventOf(old, "worker_drained").value("connections_cut", -1),
            0);
  ASSERT_TRUE(Answers(login, Message("hi"), Message("ann: hi")));
}

// More than a message of the handover holds.
TEST_F(ServerHandoverTest, ManyUnreadBytesGoAlong) {
  Start("--listen=line://127.0.0.1:0\n--workers=1");
  IdleClients clients(server().address(), 5);
  std::string text;
  for (int i = 0; text.size() < 200'000; ++i) absl::StrAppend(&text, i, " ");
  for (TestClient& client : clients.all()) ASSERT_TRUE(client.Send(text));
  AwaitBytesIn(static_cast<int64_t>(5 * (text.size() + 6)));
  const pid_t old = WorkerOf(0);
  MustReload();
  EXPECT_EQ(OfReady("received"), 5);
  WaitForEventOf(old, "worker_drained");
  for (TestClient& client : clients.all()) {
    ASSERT_TRUE(client.Send("end\n"));
    EXPECT_TRUE(client.Receive(text.size() + 4) == text + "end\n");
  }
}

TEST_F(ServerHandoverTest, ABusyConnectionIsAnsweredThenPassed) {
  Start("--listen=slow://127.0.0.1:0\n--workers=1");
  Gate gate;
  TestClient client(server().address());
  ASSERT_TRUE(client.Send(gate.request()));
  AwaitBytesIn(static_cast<int64_t>(gate.request().size()));
  const pid_t old = WorkerOf(0);
  server().Signal(SIGHUP);
  const Json passed = WaitForEventOf(old, "connections_passed");
  EXPECT_EQ(passed.value("connections_left", -1), 1);
  EXPECT_EQ(server().WaitFor("reload_finished").value("outcome", ""), "ok");
  EXPECT_TRUE(IsAlive(old));
  EXPECT_EQ(OfReady("received"), 0);
  gate.Open();
  EXPECT_EQ(client.Receive(5), "done\n");
  EXPECT_EQ(WaitForEventOf(old, "worker_drained").value("connections_cut", -1),
            0);
  WaitForEventOf(old, "worker_exited");
  ASSERT_TRUE(Answers(client, gate.request(), "done\n"));
  EXPECT_EQ(OfReady("received"), 1);
}

TEST_F(ServerHandoverTest, WhoHasLoggedInStaysLoggedIn) {
  Start("--listen=login://127.0.0.1:0\n--workers=2");
  std::vector<TestClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(server().address());
    ASSERT_TRUE(Answers(clients[i], Message(absl::StrCat("user", i)),
                        Message("welcome")));
  }
  // And one who has said nothing yet.
  TestClient late(server().address());
  for (int reload = 0; reload < 5; ++reload) {
    MustReload();
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(Answers(clients[i], Message("hi"),
                          Message(absl::StrCat("user", i, ": hi"))));
    }
  }
  ASSERT_TRUE(Answers(late, Message("eve"), Message("welcome")));
  EXPECT_EQ(OfReady("connections"), 21);
}

TEST_F(ServerHandoverTest, AUnixListenersConnectionsArePassedToo) {
  const SocketPath path;
  Start(absl::StrCat("--listen=echo+unix://", path.get(), "\n--workers=2"));
  IdleClients clients(server().address(), 30);
  MustReload();
  EXPECT_EQ(OfReady("received"), 30);
  clients.ExpectAllEcho();
}

TEST_F(ServerHandoverTest, ListenersGoAndChangeAndTheirConnectionsStay) {
  constexpr char kStays[] =
      "--workers=2\n--listen=echo://127.0.0.1:0?idle_timeout=";
  Start(absl::StrCat(kStays, "60s,login://127.0.0.2:0,line://127.0.0.3:0"));
  IdleClients changed(server().address(0), 10);
  TestClient removed(server().address(1));
  ASSERT_TRUE(Answers(removed, Message("ann"), Message("welcome")));
  IdleClients moved(server().address(2), 10);
  WriteFlags(absl::StrCat(kStays, "50s,line://[::1]:0"));
  for (int i = 0; i < 2; ++i) {
    MustReload();
    EXPECT_EQ(OfReady("received"), 21);
    changed.ExpectAllEcho();
    ASSERT_TRUE(Answers(removed, Message("hi"), Message("ann: hi")));
    moved.ExpectAllEcho();
  }
}

// What it goes by is the listener as it is now.
TEST_F(ServerHandoverTest, ANewIdleTimeoutHoldsFromTheNextRequest) {
  constexpr char kListen[] =
      "--workers=1\n--listen=echo://127.0.0.1:0?idle_timeout=";
  Start(absl::StrCat(kListen, "0s"));
  IdleClients clients(server().address(), 3);
  WriteFlags(absl::StrCat(kListen, "200ms"));
  MustReload();
  clients.ExpectAllEcho();
  for (TestClient& client : clients.all()) EXPECT_EQ(client.ReceiveAll(), "");
  EXPECT_EQ(OfReady("reaped_idle"), 3);
}

// --- one worker

TEST_F(ServerHandoverTest, AWorkerThatIsAskedToGoPassesItsConnections) {
  Start("--listen=echo://127.0.0.1:0\n--workers=2");
  IdleClients clients(server().address(), 300);
  Talkers talkers(server().address(), 4);
  for (int i = 0; i < 4; ++i) {
    const pid_t old = WorkerOf(i % 2), other = WorkerOf(1 - i % 2);
    kill(old, SIGTERM);
    WaitForEventOf(old, "worker_exited");
    talkers.Await(20);
    EXPECT_EQ(WorkerOf(1 - i % 2), other);
  }
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
  clients.ExpectAllEcho();
}

TEST_F(ServerHandoverTest, FewerWorkersServeAllOfThem) {
  Start("--listen=echo://127.0.0.1:0\n--workers=3");
  IdleClients clients(server().address(), 300);
  Talkers talkers(server().address(), 4);
  const pid_t stays = WorkerOf(0), goes[] = {WorkerOf(1), WorkerOf(2)};
  for (const Json& worker : WorkersIn("ready"))
    EXPECT_GT(worker["connections"], 0);
  for (int workers : {2, 1}) {
    server().Signal(SIGTTOU);
    EXPECT_EQ(server().WaitFor("scale_finished").value("workers", 0), workers);
  }
  WaitUntil("two workers have gone",
            [&] { return !IsAlive(goes[0]) && !IsAlive(goes[1]); });
  talkers.Await(20);
  EXPECT_EQ(WorkerOf(0), stays);
  EXPECT_EQ(OfReady("connections"), 304);
  clients.ExpectAllEcho();
  server().Signal(SIGTTIN);
  WorkerOf(1);
  talkers.Await(20);
  clients.ExpectAllEcho();
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
}

// All who stay get their share.
TEST_F(ServerHandoverTest, AWorkerWithoutSuccessorSharesOut) {
  Start("--listen=echo://127.0.0.1:0\n--workers=3");
  IdleClients clients(server().address(), 300);
  const pid_t goes = WorkerOf(2);
  server().Signal(SIGTTOU);
  WaitForEventOf(goes, "worker_exited");
  for (const Json& worker : WorkersIn("ready"))
    EXPECT_GT(worker["received"], 0);
  EXPECT_EQ(OfReady("connections"), 300);
  clients.ExpectAllEcho();
}

// --- recycling

// From the log: from when a worker's successor is started until the worker has
// passed its connections, nobody else's is.
void ExpectOneAfterTheOther(const std::string& log) {
  std::set<int> begun, recycled;
  int leaving = -1;
  for (absl::string_view line : absl::StrSplit(log, '\n', absl::SkipEmpty())) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    if (!record.is_object() || !record.contains("event")) continue;
    const std::string event = record["event"];
    const int slot =
        record.value("fields", nlohmann::json::object()).value("slot", -1);
    if (event == "stop_started") break;
    if (event == "worker_started" && !begun.insert(slot).second) {
      EXPECT_EQ(leaving, -1) << "when " << slot << " began: " << line;
      leaving = slot;
    }
    if (slot == leaving &&
        (event == "connections_passed" || event == "worker_exited")) {
      recycled.insert(slot);
      leaving = -1;
    }
  }
  EXPECT_GT(recycled.size(), 1u) << "too few to say";
}

TEST_F(ServerHandoverTest, WorkersAreRecycledAfterSoManyRequests) {
  Start("--listen=www://127.0.0.1:0\n--workers=2\n--max_requests=50");
  // So many that both workers have some.
  Talkers talkers(server().address(), 20, Talkers::Http);
  for (int i = 0; i < 6; ++i) {
    const Json asked = server().WaitFor("worker_recycle_requested");
    EXPECT_EQ(asked.value("reason", ""), "max_requests");
  }
  for (int i = 0; i < 2; ++i) server().WaitFor("worker_exited");
  talkers.Await(20);
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
  server().Signal(SIGTERM);
  EXPECT_EQ(server().Wait().exit_code, 0);
  ExpectOneAfterTheOther(server().log());
}

TEST_F(ServerHandoverTest, AWorkerThatLeaksIsRecycled) {
  Start(
      "--listen=leak://127.0.0.1:0,echo://127.0.0.1:0\n--workers=1\n"
      "--max_rss=64MiB");
  const pid_t old = WorkerOf(0);
  IdleClients clients(server().address(1), 20);
  TestClient leak(server().address(0));
  // It is looked at now and then, and what it has at first is no leak.
  int leaked = 0;
  WaitUntil("it is recycled", [&] {
    if (leaked < 300) {
      ++leaked;
      EXPECT_TRUE(Answers(leak, "\n", "lost\n"));
    }
    return !WorkersIn("ready").empty() &&
           WorkersIn("ready").front()["pid"] != old;
  });
  EXPECT_EQ(WaitForEventOf(old, "worker_recycle_requested").value("reason", ""),
            "max_rss");
  WaitForEventOf(old, "worker_exited");
  ASSERT_TRUE(Answers(leak, "\n", "lost\n"));
  clients.ExpectAllEcho();
}

}  // namespace
}  // namespace baton
