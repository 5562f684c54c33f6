// The built-in services over real sockets.

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

TEST(ServerEchoTest, EchoesOverTcp) {
  ServerProcess server({"--listen=echo://127.0.0.1:0", "--workers=2"});
  server.WaitReady();
  for (int i = 0; i < 20; ++i) {
    TestClient client(server.address());
    ASSERT_TRUE(client.ok());
    EXPECT_TRUE(client.Echoes("hello"));
    EXPECT_TRUE(client.Echoes(std::string(300'000, 'x')));
  }
}

TEST(ServerEchoTest, EchoesOverIpv6) {
  ServerProcess server({"--listen=echo://[::1]:0", "--workers=1"});
  server.WaitReady();
  TestClient client(server.address());
  ASSERT_TRUE(client.ok());
  EXPECT_TRUE(client.Echoes("hello"));
}

TEST(ServerEchoTest, EchoesOverUnix) {
  const SocketPath path;
  ServerProcess server({"--listen=echo+unix://" + path.get(), "--workers=3"});
  server.WaitReady();
  for (int i = 0; i < 20; ++i) {
    TestClient client(server.address());
    ASSERT_TRUE(client.ok());
    EXPECT_TRUE(client.Echoes("hello"));
  }
}

TEST(ServerEchoTest, EchoesDatagrams) {
  ServerProcess server({"--listen=echo+udp://127.0.0.1:0", "--workers=2"});
  server.WaitReady();
  for (int i = 0; i < 20; ++i) {
    TestClient client = TestClient::Udp(server.address());
    EXPECT_TRUE(client.Echoes("hello"));
    EXPECT_TRUE(client.Echoes(std::string(8000, 'y')));
  }
}

TEST(ServerEchoTest, ServesSeveralListenersAndServicesAtOnce) {
  const SocketPath path;
  ServerProcess server(
      {"--listen=echo://127.0.0.1:0,discard://127.0.0.1:0,"
       "echo+udp://127.0.0.1:0,echo+unix://" +
           path.get(),
       "--workers=2"});
  server.WaitReady();
  ASSERT_EQ(server.address_count(), 4u);
  TestClient echo(server.address(0)), discard(server.address(1)),
      unix_echo(server.address(3));
  TestClient udp = TestClient::Udp(server.address(2));
  EXPECT_TRUE(echo.Echoes("tcp"));
  EXPECT_TRUE(udp.Echoes("udp"));
  EXPECT_TRUE(unix_echo.Echoes("unix"));
  EXPECT_TRUE(discard.Send("nothing comes back"));
  shutdown(discard.fd(), SHUT_WR);
  EXPECT_EQ(discard.ReceiveAll(), "");
}

TEST(ServerEchoTest, WhatWasSentBeforeAHalfCloseIsAnswered) {
  ServerProcess server({"--listen=echo://127.0.0.1:0", "--workers=1"});
  server.WaitReady();
  TestClient client(server.address());
  ASSERT_TRUE(client.Send("last words"));
  shutdown(client.fd(), SHUT_WR);
  EXPECT_EQ(client.ReceiveAll(), "last words");
}

TEST(ServerEchoTest, AnIdleConnectionIsReaped) {
  ServerProcess server(
      {"--listen=echo://127.0.0.1:0?idle_timeout=50ms", "--workers=1"});
  server.WaitReady();
  TestClient client(server.address());
  EXPECT_TRUE(client.Echoes("hello"));
  EXPECT_EQ(client.ReceiveAll(), "");
}

}  // namespace
}  // namespace baton
