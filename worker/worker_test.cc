#include "worker/worker.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/connect.h"
#include "net/connection.h"
#include "net/endpoint.h"
#include "net/listen_url.h"
#include "net/scope.h"
#include "net/sleep.h"
#include "net/task.h"
#include "net/unique_fd.h"
#include "worker/channel_messages.h"
#include "worker/scoreboard.h"
#include "worker/settings.h"
#include "worker/worker_fixture.h"

namespace baton {
namespace {

// --- what the worker does. Handlers have no state: what a test tells them is
// here, set before the fork.

struct Hooks {
  Endpoint backend;
  int done = -1;  // a byte is written here when a handler ends
  absl::Duration after_close;
};
Hooks hooks;

// Has work left when its connection is gone.
Task<> Afterwards(Connection conn) {
  {
    const Connection closed = std::move(conn);
  }
  const IoError slept = co_await Sleep(hooks.after_close);
  if (slept != IoError::kOk) co_return;
  PCHECK(write(hooks.done, "x", 1) == 1);
}

struct Pool {
  Scope scope;
  Connector connector;
};

Task<> KeepOne(Pool* pool) {
  absl::StatusOr<Connection> backend =
      co_await pool->connector.Connect(hooks.backend);
  CHECK(backend.ok()) << backend.status();
  const ReadResult end =
      co_await backend->ReadSome({.timeout = absl::InfiniteDuration()});
  CHECK(end.error() != IoError::kTimeout);
}

absl::Status StartPool() {
  // It ends with the process, as a pool of a worker does.
  auto* const pool = std::make_unique<Pool>().release();
  pool->scope.Spawn(KeepOne(pool));
  return absl::OkStatus();
}

// One connection of the worker's own, to a backend that is this test.
class WorkerWithPoolTest : public WorkerTest {
 protected:
  WorkerWithPoolTest()
      : backend_listener_(
            Listen(ParseListenUrl("echo://127.0.0.1:0").value())) {
    hooks.backend = Endpoint::LocalOf(backend_listener_.get()).value();
    services_.Stream("echo", Echo);
    services_.OnWorkerStart(StartPool);
  }
  UniqueFd AcceptPooled() {
    PCHECK(IsReadable(backend_listener_.get()));
    return UniqueFd(accept(backend_listener_.get(), nullptr, nullptr));
  }

  UniqueFd backend_listener_;
};

TEST_F(WorkerWithPoolTest, OutboundConnectionsDoNotCountInTheLimits) {
  WorkerSettings settings;
  settings.max_connections = 1;
  Start("echo", settings);
  Serve();
  UniqueFd pooled = AcceptPooled();
  UniqueFd first = Connect();
  EXPECT_TRUE(Echoes(first)) << "the pool's has taken its place";
  pooled.reset();
  // The limit holds on: the second client waits until the first has gone.
  const UniqueFd second = Connect();
  EXPECT_TRUE(Echoes(first));
  first.reset();
  EXPECT_TRUE(Echoes(second));
  EXPECT_EQ(view_->Read().connections, 1u);
}

TEST_F(WorkerWithPoolTest, ADrainDoesNotWaitForOutboundConnections) {
  Start("echo");
  Serve();
  const UniqueFd pooled = AcceptPooled();
  const UniqueFd client = Connect();
  EXPECT_TRUE(Echoes(client));
  Send(DrainMessage{});
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
}

TEST_F(WorkerWithPoolTest, EveryConnectionIsAccountedFor) {
  WorkerSettings settings;
  settings.max_connections_per_ip = 2;
  Start("echo", settings);
  Serve();
  const UniqueFd pooled = AcceptPooled();
  UniqueFd first = Connect();
  const UniqueFd second = Connect();
  EXPECT_TRUE(Echoes(first) && Echoes(second));
  EXPECT_TRUE(IsClosed(Connect()));
  const WorkerSnapshot serving = view_->Read();
  EXPECT_EQ(serving.refused_per_ip, 1u);
  EXPECT_EQ(serving.accepted, 2u);
  EXPECT_EQ(serving.connections, 2u);
  EXPECT_EQ(serving.outbound, 1u);
  EXPECT_EQ(serving.outbound_open, 1u);
  first.reset();
  Send(DrainMessage{});
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
  const WorkerSnapshot end = view_->Read();
  EXPECT_EQ(end.accepted, 2u);
  EXPECT_EQ(end.connections, 0u);
  EXPECT_EQ(end.closed, 2u);
  EXPECT_EQ(end.handed_over, 0u);
}

// The pool's is in no idle read, and no client.
TEST_F(WorkerWithPoolTest, ACutOutboundConnectionIsNotAClientsLoss) {
  Start("echo");
  Serve();
  const UniqueFd pooled = AcceptPooled();
  const UniqueFd client = Connect();
  EXPECT_TRUE(Echoes(client));
  Send(StopMessage{});
  ASSERT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(last_, ChannelMessage(DrainedMessage{.connections_cut = 0}));
  EXPECT_TRUE(IsClosed(pooled));
  EXPECT_EQ(Exit(), 0);
}

class WorkerWithAfterworkTest : public WorkerTest {
 protected:
  WorkerWithAfterworkTest() {
    int ends[2];
    PCHECK(pipe(ends) == 0);
    done_.reset(ends[0]);
    write_done_.reset(ends[1]);
    hooks.done = ends[1];
    services_.Stream("after", Afterwards);
  }

  UniqueFd done_;
  UniqueFd write_done_;
};

TEST_F(WorkerWithAfterworkTest, ADrainWaitsForHandlersWithoutAConnection) {
  hooks.after_close = absl::Milliseconds(100);
  Start("after");
  Serve();
  EXPECT_TRUE(IsClosed(Connect()));
  Send(DrainMessage{});
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_TRUE(IsReadable(done_.get(), 0)) << "the handler was cut off";
  EXPECT_EQ(Exit(), 0);
}

TEST_F(WorkerWithAfterworkTest, ADrainAfterACutDoesNotProlongIt) {
  hooks.after_close = absl::Hours(1);
  Start("after");
  Serve();
  EXPECT_TRUE(IsClosed(Connect()));
  Send(StopMessage{});
  Send(DrainMessage{});
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
}

TEST_F(WorkerTest, OneThatIsToldToEndBeforeItIsReadyEnds) {
  services_.Stream("echo", Echo);
  Start("echo", {}, {StopAcceptingMessage{}, DrainMessage{}});
  EXPECT_TRUE(Receive<AcceptStoppedMessage>());
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
}

// A socket of another slot, with somebody in its queue already.
TEST_F(WorkerTest, AnAdoptedSlotIsServedAndReleasedWithAnEmptyQueue) {
  services_.Stream("echo", Echo);
  Start("echo");
  Serve();
  UniqueFd other = Listen(url_);
  const Endpoint address = Endpoint::LocalOf(other.get()).value();
  const UniqueFd early = ConnectTo(address);
  const int fd = other.get();
  Send(AdoptMessage{.slot = 5, .first = 0}, {&fd, 1});
  EXPECT_TRUE(Echoes(early));
  EXPECT_TRUE(Echoes(ConnectTo(address)));
  EXPECT_TRUE(Echoes(Connect())) << "its own is served as well";

  // Stopped, so that the order and the last client come in one round.
  int status = 0;
  ASSERT_EQ(kill(pid_, SIGSTOP), 0);
  ASSERT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
  Send(ReleaseMessage{.sockets = 5, .ticket = 99});
  const UniqueFd last = ConnectTo(address);
  ASSERT_EQ(kill(pid_, SIGCONT), 0);
  EXPECT_TRUE(Receive<ReleasedMessage>());
  EXPECT_EQ(std::get<ReleasedMessage>(last_).sockets, 5u);
  EXPECT_TRUE(std::get<ReleasedMessage>(last_).emptied);
  EXPECT_EQ(std::get<ReleasedMessage>(last_).ticket, 99u);
  EXPECT_TRUE(Echoes(last));
  other.reset();
  UniqueFd refused(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_NE(connect(refused.get(), address.sockaddr(), address.length()), 0)
      << "the worker still has it";
}

TEST_F(WorkerTest, ANonsensicalAdoptionIsRefusedAndReleasedAllTheSame) {
  services_.Stream("echo", Echo);
  Start("echo");
  Serve();
  const int fd = listener_.get();
  Send(AdoptMessage{.slot = 1, .first = 1}, {&fd, 1});  // it has one listener
  EXPECT_TRUE(Receive<AdoptFailedMessage>());
  Send(AdoptMessage{.slot = 2, .first = 4'000'000'000}, {&fd, 1});
  EXPECT_TRUE(Receive<AdoptFailedMessage>());
  EXPECT_EQ(std::get<AdoptFailedMessage>(last_).sockets, 2u);
  Send(AdoptRemovedMessage{kFirstRemoved, "gopher://127.0.0.1:0"}, {&fd, 1});
  EXPECT_TRUE(Receive<AdoptFailedMessage>());
  EXPECT_EQ(std::get<AdoptFailedMessage>(last_).sockets, kFirstRemoved);
  Send(AdoptMessage{.slot = 3, .first = 0});
  Send(ReleaseMessage{.sockets = 3, .ticket = 1});
  EXPECT_TRUE(Receive<ReleasedMessage>());
  EXPECT_TRUE(std::get<ReleasedMessage>(last_).emptied) << "there was nothing";
  Send(ReleaseMessage{.sockets = 7, .ticket = 2});
  EXPECT_TRUE(Receive<ReleasedMessage>());
  EXPECT_FALSE(std::get<ReleasedMessage>(last_).emptied) << "it never had it";
  EXPECT_TRUE(Echoes(Connect()));
}

TEST_F(WorkerTest, AnAdoptionForWhichNoDescriptorIsLeftIsReported) {
  services_.Stream("echo", Echo);
  Start("echo");
  Serve();
  const rlimit none = {3, 3};
  ASSERT_EQ(prlimit(pid_, RLIMIT_NOFILE, &none, nullptr), 0);
  const int fd = listener_.get();
  Send(AdoptMessage{.slot = 4, .first = 0}, {&fd, 1});
  EXPECT_TRUE(Receive<AdoptFailedMessage>());
  EXPECT_EQ(std::get<AdoptFailedMessage>(last_).sockets, 4u);
  Send(AdoptRemovedMessage{kFirstRemoved + 1, url_.ToString()}, {&fd, 1});
  EXPECT_TRUE(Receive<AdoptFailedMessage>());
  EXPECT_EQ(std::get<AdoptFailedMessage>(last_).sockets, kFirstRemoved + 1);
}

// With options of its own, and of a service that this worker does not serve.
TEST_F(WorkerTest, ARemovedListenerIsServedAsItsUrlSays) {
  services_.Stream("echo", Echo);
  services_.Stream("after", Afterwards);
  Start("after");
  Serve();
  const std::string url = "echo://127.0.0.1:0?max_connections=1";
  const UniqueFd first = Listen(ParseListenUrl(url).value());
  const UniqueFd second = Listen(ParseListenUrl(url).value());
  const std::array fds = {first.get(), second.get()};
  Send(AdoptRemovedMessage{kFirstRemoved, url}, fds);
  UniqueFd client = ConnectTo(Endpoint::LocalOf(first.get()).value());
  EXPECT_TRUE(Echoes(client));
  const UniqueFd waiting = ConnectTo(Endpoint::LocalOf(second.get()).value());
  EXPECT_TRUE(Receive<FullMessage>());
  // Full, it leaves somebody behind and says so.
  Send(ReleaseMessage{.sockets = kFirstRemoved, .ticket = 5});
  EXPECT_TRUE(Receive<ReleasedMessage>());
  EXPECT_FALSE(std::get<ReleasedMessage>(last_).emptied);
  client.reset();
  Send(AdoptRemovedMessage{kFirstRemoved, url}, fds);
  EXPECT_TRUE(Echoes(waiting));
}

// What was taken up again meanwhile: nothing comes with it.
TEST_F(WorkerTest, ARemovedListenerWithoutSocketsIsReleasedEmpty) {
  services_.Stream("echo", Echo);
  Start("echo");
  Serve();
  Send(AdoptMessage{.slot = kFirstRemoved + 7, .first = 0});
  Send(ReleaseMessage{.sockets = kFirstRemoved + 7, .ticket = 3});
  EXPECT_TRUE(Receive<ReleasedMessage>());
  EXPECT_TRUE(std::get<ReleasedMessage>(last_).emptied);
}

// Adopted sockets have an owner, who may be about to empty them.
TEST_F(WorkerTest, AStopShutsDownAdoptedSocketsOnlyIfTheyAreEmpty) {
  services_.Stream("echo", Echo);
  Start("echo");
  Serve();
  const UniqueFd other = Listen(url_);
  const Endpoint address = Endpoint::LocalOf(other.get()).value();
  const int fd = other.get();
  Send(AdoptMessage{.slot = 6, .first = 0}, {&fd, 1});
  Send(StopAcceptingMessage{.shut_down_listeners = true});
  EXPECT_TRUE(Receive<AcceptStoppedMessage>());
  UniqueFd late(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_NE(connect(late.get(), address.sockaddr(), address.length()), 0);
}

TEST_F(WorkerTest, AStopLeavesAnAdoptedQueueThatItCouldNotEmpty) {
  services_.Stream("echo", Echo);
  WorkerSettings settings;
  settings.max_connections = 1;
  Start("echo", settings);
  Serve();
  const UniqueFd mine = Connect();
  EXPECT_TRUE(Echoes(mine));
  const UniqueFd other = Listen(url_);
  const UniqueFd waiting = ConnectTo(Endpoint::LocalOf(other.get()).value());
  const int fd = other.get();
  Send(AdoptMessage{.slot = 5, .first = 0}, {&fd, 1});
  EXPECT_TRUE(Receive<FullMessage>());
  Send(StopAcceptingMessage{.shut_down_listeners = true});
  EXPECT_TRUE(Receive<AcceptStoppedMessage>());
  EXPECT_TRUE(UniqueFd(accept(other.get(), nullptr, nullptr)));
}

TEST_F(WorkerTest, OneThatIsFullSaysSoAndWhenItNoLongerIs) {
  services_.Stream("echo", Echo);
  WorkerSettings settings;
  settings.max_connections = 1;
  Start("echo", settings);
  Serve();
  UniqueFd first = Connect();
  EXPECT_TRUE(Echoes(first));
  UniqueFd waiting = Connect();
  ASSERT_TRUE(Receive<FullMessage>());
  EXPECT_TRUE(std::get<FullMessage>(last_).full);
  first.reset();
  EXPECT_TRUE(Echoes(waiting));  // and it is full again
  waiting.reset();
  ASSERT_TRUE(Receive<FullMessage>());
  EXPECT_FALSE(std::get<FullMessage>(last_).full);
}

TEST_F(WorkerTest, ACutAcceptsNobody) {
  services_.Stream("echo", Echo);
  Start("echo");
  Serve();
  // While it is stopped: first the order, then clients, in one round of epoll.
  int status = 0;
  ASSERT_EQ(kill(pid_, SIGSTOP), 0);
  ASSERT_EQ(waitpid(pid_, &status, WUNTRACED), pid_);
  Send(StopMessage{});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Connect());
  ASSERT_EQ(kill(pid_, SIGCONT), 0);
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
  EXPECT_EQ(view_->Read().accepted, 0u);
}

}  // namespace
}  // namespace baton
