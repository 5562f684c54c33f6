#include "worker/pinned_connections.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/connection.h"
#include "net/endpoint.h"
#include "net/event_loop.h"
#include "net/listen_socket.h"
#include "net/listen_url.h"
#include "net/scope.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

Task<> Idle(Connection conn) {
  while (true) {
    const ReadResult read = co_await conn.ReadSome({.idle = true});
    if (!read) break;
  }
}

Task<> SendZeros(Connection conn) {
  const UniqueFd file(memfd_create("zeros", MFD_CLOEXEC));
  PCHECK(ftruncate(file.get(), 1'000'000) == 0);
  [[maybe_unused]] const IoError error =
      co_await conn.WriteFile(file.get(), 0, 1'000'000, {.movable = true});
}

class PinnedConnectionsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    table_.Abort();
    Settle();
    ASSERT_EQ(scope_.live(), 0u);
  }
  void Settle() {
    do {
      loop_->Turn(/*wait=*/false);
    } while (loop_->HasReady());
  }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    Settle();
  }
  // The worker's end; the other one is closed with the test.
  UniqueFd Socket() {
    int ends[2];
    PCHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                      ends) == 0);
    peers_.emplace_back(ends[1]);
    return UniqueFd(ends[0]);
  }
  internal::ConnectionCore* Serve(UniqueFd fd, const ListenUrl* url,
                                  Task<> (*handler)(Connection) = Idle) {
    int error = 0;
    internal::ConnectionCore* core =
        table_.Add(std::move(fd), SettingsOf(url), &error);
    PCHECK(core != nullptr);
    scope_.SpawnBare(handler(Connection(core)));
    return core;
  }
  uint16_t SettingsOf(const ListenUrl* url) {
    return table_.AddSettings(
        {.url = url, .idle_timeout = absl::InfiniteDuration()});
  }

  const ListenUrl echo_ = ParseListenUrl("echo://127.0.0.1:0").value();
  const ListenUrl chat_ = ParseListenUrl("chat+unix:///run/chat").value();
  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  ConnectionTable table_{*loop_, {}};
  Scope scope_;
  std::vector<UniqueFd> peers_;
};

TEST_F(PinnedConnectionsTest, TheOldestIsNamed) {
  const UniqueFd listener = OpenListener(echo_, {}).value();
  const Endpoint address = Endpoint::LocalOf(listener.get()).value();
  const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  PCHECK(connect(client.get(), address.sockaddr(), address.length()) == 0);
  Serve(Socket(), &chat_);  // which leaves its place to a younger one
  const internal::ConnectionCore* oldest =
      Serve(UniqueFd(accept4(listener.get(), nullptr, nullptr,
                             SOCK_NONBLOCK | SOCK_CLOEXEC)),
            &echo_);
  peers_[0].reset();
  Advance(absl::Minutes(3));
  Serve(Socket(), &chat_);
  Advance(absl::Minutes(2));
  const PinnedConnections pinned = FindPinned(table_);
  EXPECT_EQ(pinned.connections, 2u);
  EXPECT_EQ(pinned.oldest_id, ConnectionTable::IdOf(*oldest));
  EXPECT_EQ(pinned.service, "echo");
  EXPECT_EQ(pinned.peer, Endpoint::LocalOf(client.get())->ToString());
  EXPECT_GT(pinned.oldest_age, absl::Seconds(299));
  EXPECT_LT(pinned.oldest_age, absl::Seconds(301));
}

TEST_F(PinnedConnectionsTest, WhatIsNoClientOrOnItsWayDoesNotCount) {
  EXPECT_EQ(FindPinned(table_).connections, 0u);
  EXPECT_EQ(FindPinned(table_).service, "");
  int error = 0;
  internal::ConnectionCore* outbound = table_.AddOutbound(
      Socket(), SettingsOf(nullptr), /*connected=*/true, &error);
  ASSERT_NE(outbound, nullptr);
  scope_.SpawnBare(Idle(Connection(outbound)));
  internal::ConnectionCore* moving = Serve(Socket(), &echo_);
  Advance(absl::Seconds(1));
  Serve(Socket(), &chat_);
  EXPECT_EQ(FindPinned(table_).connections, 2u);
  EXPECT_EQ(FindPinned(table_).service, "echo");
  table_.Detach(*moving);
  EXPECT_EQ(FindPinned(table_).connections, 1u);
  EXPECT_EQ(FindPinned(table_).service, "chat");
  ASSERT_EQ(table_.Reattach(*moving), 0);
  EXPECT_EQ(FindPinned(table_).connections, 2u);
  table_.Detach(*moving);
  table_.GiveAway(*moving);
  EXPECT_EQ(FindPinned(table_).connections, 1u)
      << "one that is gone, though its handler has not heard yet";
}

// As one that is idle: it counts while it is here, and it is not for long.
TEST_F(PinnedConnectionsTest, AFileInMidSendCountsUntilItGoes) {
  internal::ConnectionCore* sending = Serve(Socket(), &echo_, SendZeros);
  Settle();
  ASSERT_TRUE(ConnectionTable::CanDetach(*sending));
  EXPECT_EQ(FindPinned(table_).connections, 1u);
  table_.Detach(*sending);
  EXPECT_EQ(FindPinned(table_).connections, 0u);
  table_.NoteRefusal(*sending);
  ASSERT_EQ(table_.Reattach(*sending), 0);
  EXPECT_EQ(FindPinned(table_).connections, 1u);
  EXPECT_EQ(FindPinned(table_).oldest_id, ConnectionTable::IdOf(*sending));
}

TEST_F(PinnedConnectionsTest, TimeAloneIsNoNews) {
  Serve(Socket(), &echo_);
  const PinnedConnections before = FindPinned(table_);
  Advance(absl::Minutes(1));
  PinnedConnections now = FindPinned(table_);
  EXPECT_NE(now.oldest_age, before.oldest_age);
  EXPECT_TRUE(now.SameAs(before));
  Serve(Socket(), &echo_);
  EXPECT_FALSE(FindPinned(table_).SameAs(before)) << "one more";
  now.oldest_id += 1;
  EXPECT_FALSE(now.SameAs(before)) << "another one is the oldest";
}

}  // namespace
}  // namespace baton
