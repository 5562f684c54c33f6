#include "net/connect.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "net/connection_table.h"
#include "net/endpoint.h"
#include "net/event_loop.h"
#include "net/scope.h"

namespace baton {
namespace {

class ConnectTest : public ::testing::Test {
 protected:
  ConnectTest() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    PCHECK(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address),
                sizeof(address)) == 0);
  }

  Endpoint address() { return Endpoint::LocalOf(listener_.get()).value(); }

  // Says hello to whoever answers; notes how connecting ended.
  static Task<> Hello(const Connector* connector, Endpoint to,
                      absl::Status* outcome) {
    absl::StatusOr<Connection> connection = co_await connector->Connect(to);
    *outcome = connection.status();
    if (!connection.ok()) co_return;
    const IoError error = co_await connection->Write("hello");
    EXPECT_EQ(error, IoError::kOk);
  }

  void RunToEnd() {
    while (scope_.live() > 0) loop_->Turn(/*wait=*/true);
  }

  std::unique_ptr<EventLoop> loop_ = EventLoop::Create().value();
  ConnectionTable table_{*loop_, {}};
  UniqueFd listener_;
  Scope scope_;
  absl::Status outcome_ = absl::UnknownError("never ended");
};

TEST_F(ConnectTest, ToAListener) {
  ASSERT_EQ(listen(listener_.get(), 1), 0);
  Connector connector;
  scope_.Spawn(Hello(&connector, address(), &outcome_));
  RunToEnd();
  EXPECT_EQ(outcome_, absl::OkStatus());
  UniqueFd peer(accept(listener_.get(), nullptr, nullptr));
  char bytes[16];
  EXPECT_EQ(recv(peer.get(), bytes, sizeof(bytes), MSG_WAITALL), 5);
}

TEST_F(ConnectTest, RefusedNamesTheEndpoint) {
  Connector connector;
  scope_.Spawn(Hello(&connector, address(), &outcome_));
  RunToEnd();
  EXPECT_NE(outcome_.message().find(address().ToString()),
            absl::string_view::npos)
      << outcome_;
  EXPECT_NE(outcome_.message().find("ECONNREFUSED"), absl::string_view::npos)
      << outcome_;
}

// A full accept queue drops SYNs: the handshake gets no answer.
TEST_F(ConnectTest, TimesOut) {
  ASSERT_EQ(listen(listener_.get(), 0), 0);
  const Endpoint to = address();
  std::vector<UniqueFd> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    connect(fillers.back().get(), to.sockaddr(), to.length());
  }
  Connector connector({.timeout = absl::Milliseconds(50)});
  scope_.Spawn(Hello(&connector, to, &outcome_));
  RunToEnd();
  EXPECT_TRUE(absl::IsDeadlineExceeded(outcome_)) << outcome_;
}

// While a connect waits there are no bytes that a peer could fail to take.
TEST_F(ConnectTest, TheWriteTimeoutDoesNotCountYet) {
  ASSERT_EQ(listen(listener_.get(), 0), 0);
  const Endpoint to = address();
  std::vector<UniqueFd> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    connect(fillers.back().get(), to.sockaddr(), to.length());
  }
  Connector connector({.timeout = absl::Milliseconds(200),
                       .write_timeout = absl::Milliseconds(10)});
  scope_.Spawn(Hello(&connector, to, &outcome_));
  RunToEnd();
  EXPECT_TRUE(absl::IsDeadlineExceeded(outcome_)) << outcome_;
}

TEST_F(ConnectTest, EqualConnectorsAreOneKind) {
  const uint16_t before = table_.AddSettings({});
  for (int i = 0; i < 5000; ++i) Connector connector;
  EXPECT_EQ(table_.AddSettings({}), before);
  EXPECT_EQ(table_.AddSettings({.idle_timeout = absl::Hours(1)}), before + 1);
}

TEST_F(ConnectTest, Cancelled) {
  ASSERT_EQ(listen(listener_.get(), 0), 0);
  const Endpoint to = address();
  std::vector<UniqueFd> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    connect(fillers.back().get(), to.sockaddr(), to.length());
  }
  Connector connector;
  scope_.Spawn(Hello(&connector, to, &outcome_));
  scope_.RequestStop();
  RunToEnd();
  EXPECT_TRUE(absl::IsCancelled(outcome_)) << outcome_;
}

}  // namespace
}  // namespace baton
