#include "net/reuseport_steering.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "net/listen_socket.h"
#include "net/listen_url.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

UniqueFd OpenShared(const ListenUrl& url) {
  ListenFlags flags;
  flags.reuseport = true;
  return OpenListener(url, flags).value();
}

// A group of sockets on one port of loopback, and senders to it.
class SteeringTest : public ::testing::TestWithParam<const char*> {
 protected:
  void Open(const char* scheme, int count) {
    udp_ = absl::string_view(scheme) == "echo+udp";
    ListenUrl url =
        ParseListenUrl(absl::StrCat(scheme, "://", GetParam(), ":0")).value();
    for (int i = 0; i < count; ++i) {
      sockets_.push_back(OpenShared(url));
      url.endpoint = Endpoint::LocalOf(sockets_.front().get()).value();
    }
    address_ = url.endpoint;
  }

  // A connection, or a datagram from a port of its own.
  void Come(int count) {
    for (int i = 0; i < count; ++i) {
      clients_.emplace_back(
          socket(address_.family(), udp_ ? SOCK_DGRAM : SOCK_STREAM, 0));
      PCHECK(connect(clients_.back().get(), address_.sockaddr(),
                     address_.length()) == 0);
      if (udp_) Send(i);
    }
  }
  void Send(int client) {
    PCHECK(send(clients_[static_cast<size_t>(client)].get(), "x", 1, 0) == 1);
  }

  // How many each socket has got since the last call. Loopback delivers within
  // connect(2) and send(2).
  std::vector<int> Arrived() {
    std::vector<int> counts;
    for (const UniqueFd& socket : sockets_) {
      int count = 0;
      char byte;
      while (udp_
                 ? recv(socket.get(), &byte, 1, MSG_DONTWAIT) >= 0
                 : UniqueFd(accept4(socket.get(), nullptr, nullptr, 0)).get() >=
                       0) {
        ++count;
      }
      counts.push_back(count);
    }
    return counts;
  }

  bool udp_ = false;
  std::vector<UniqueFd> sockets_;
  std::vector<UniqueFd> clients_;
  Endpoint address_;
};

TEST_P(SteeringTest, ConnectionsGoToTheLiveOnesOnly) {
  Open("echo", 3);
  ASSERT_TRUE(SteerReuseport(sockets_[2].get(), SteerBy::kRandom, 1).ok());
  Come(50);
  EXPECT_EQ(Arrived(), (std::vector<int>{50, 0, 0}));
  ASSERT_TRUE(SteerReuseport(sockets_[0].get(), SteerBy::kRandom, 2).ok());
  Come(100);
  const std::vector<int> two = Arrived();
  EXPECT_GT(two[0], 10);  // 1 in 10^16 by chance
  EXPECT_GT(two[1], 10);
  EXPECT_EQ(two[2], 0);
}

TEST_P(SteeringTest, OneThatJoinsGetsNothingUntilItIsLive) {
  Open("echo", 2);
  ASSERT_TRUE(SteerReuseport(sockets_[0].get(), SteerBy::kRandom, 2).ok());
  ListenUrl url =
      ParseListenUrl(absl::StrCat("echo://", GetParam(), ":0")).value();
  url.endpoint = address_;
  sockets_.push_back(OpenShared(url));
  Come(50);
  EXPECT_EQ(Arrived()[2], 0);
  ASSERT_TRUE(SteerReuseport(sockets_[0].get(), SteerBy::kRandom, 3).ok());
  Come(100);
  EXPECT_GT(Arrived()[2], 5);
}

TEST_P(SteeringTest, WithoutAProgramTheKernelChoosesFromAll) {
  Open("echo", 2);
  EXPECT_TRUE(StopSteering(sockets_[0].get()).ok()) << "there is none";
  ASSERT_TRUE(SteerReuseport(sockets_[0].get(), SteerBy::kRandom, 1).ok());
  ASSERT_TRUE(StopSteering(sockets_[1].get()).ok());
  Come(100);
  const std::vector<int> counts = Arrived();
  EXPECT_GT(counts[0], 10);
  EXPECT_GT(counts[1], 10);
}

// What is closed is the tail; the program still names what is there.
TEST_P(SteeringTest, TheTailMayBeClosed) {
  Open("echo", 3);
  ASSERT_TRUE(SteerReuseport(sockets_[0].get(), SteerBy::kRandom, 2).ok());
  sockets_.pop_back();
  Come(60);
  const std::vector<int> counts = Arrived();
  EXPECT_EQ(counts[0] + counts[1], 60);
  EXPECT_GT(counts[0], 5);
  EXPECT_GT(counts[1], 5);
}

TEST_P(SteeringTest, DatagramsGoToTheLiveOnesByTheirSender) {
  Open("echo+udp", 3);
  ASSERT_TRUE(SteerReuseport(sockets_[0].get(), SteerBy::kSourceHash, 2).ok());
  Come(60);
  const std::vector<int> first = Arrived();
  EXPECT_GT(first[0], 5);
  EXPECT_GT(first[1], 5);
  EXPECT_EQ(first[2], 0);
  for (int i = 0; i < 20; ++i) {
    for (int repeat = 0; repeat < 10; ++repeat) Send(i);
    std::vector<int> counts = Arrived();
    std::sort(counts.begin(), counts.end());
    EXPECT_EQ(counts, (std::vector<int>{0, 0, 10})) << "sender " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, SteeringTest,
                         ::testing::Values("127.0.0.1", "[::1]"),
                         [](const auto& info) {
                           return info.index == 0 ? "IPv4" : "IPv6";
                         });

TEST(SteeringErrorTest, ASocketWithoutAGroupIsRefused) {
  const UniqueFd file(dup(0));
  EXPECT_FALSE(SteerReuseport(file.get(), SteerBy::kRandom, 1).ok());
}

}  // namespace
}  // namespace baton
