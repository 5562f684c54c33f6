#include "net/socket_options.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <climits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

UniqueFd Socket(int family, int type) {
  UniqueFd fd(socket(family, type | SOCK_CLOEXEC, 0));
  EXPECT_TRUE(fd);
  return fd;
}

int Get(const UniqueFd& fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  EXPECT_EQ(getsockopt(fd.get(), level, option, &value, &size), 0);
  return value;
}

TEST(ParseKeepaliveTest, DefaultOffAndOwnValues) {
  EXPECT_EQ(*ParseKeepalive("60s:5s:3"), KeepaliveOptions());
  EXPECT_FALSE(ParseKeepalive("off")->enabled);
  const KeepaliveOptions options = *ParseKeepalive("2m:1000ms:127");
  EXPECT_EQ(options.idle, absl::Minutes(2));
  EXPECT_EQ(options.interval, absl::Seconds(1));
  EXPECT_EQ(options.count, 127);
}

TEST(ParseKeepaliveTest, ToStringIsReadBackAsTheSame) {
  EXPECT_EQ(KeepaliveToString(KeepaliveOptions()), "1m:5s:3");
  for (const absl::string_view text : {"off", "1s:1s:1", "2m:90s:127"}) {
    EXPECT_EQ(KeepaliveToString(*ParseKeepalive(text)), text);
  }
}

TEST(ParseKeepaliveTest, RefusesWhatTheKernelWould) {
  for (const absl::string_view text :
       {"", "on", "OFF", "60s", "60s:5s", "60s:5s:3:1", "60:5:3", "0s:5s:3",
        "60s:0s:3", "60s:5s:0", "60s:5s:128", "60s:5s:-1", "60s:5s:+3",
        "60s:5s:", "1500ms:5s:3", "60s:500ms:3", "32768s:5s:3", "10h:5s:3",
        "60s:5s:99999999999"}) {
    const auto parsed = ParseKeepalive(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_TRUE(absl::StrContains(parsed.status().message(),
                                  "IDLE:INTERVAL:COUNT such as 60s:5s:3"));
  }
}

TEST(SocketOptionsTest, TheLargestValuesThatParseAreTaken) {
  const UniqueFd fd = Socket(AF_INET, SOCK_STREAM);
  EXPECT_TRUE(
      SetKeepalive(fd.get(), *ParseKeepalive("32767s:32767s:127")).ok());
  EXPECT_TRUE(SetTcpUserTimeout(fd.get(), kMaxTcpUserTimeout).ok());
  EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), INT_MAX);
}

TEST(SocketOptionsTest, KeepaliveIsSetAndUnset) {
  const UniqueFd fd = Socket(AF_INET6, SOCK_STREAM);
  ASSERT_TRUE(SetKeepalive(fd.get(), *ParseKeepalive("7s:8s:9")).ok());
  EXPECT_EQ(Get(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_KEEPIDLE), 7);
  EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_KEEPINTVL), 8);
  EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_KEEPCNT), 9);
  ASSERT_TRUE(SetKeepalive(fd.get(), *ParseKeepalive("off")).ok());
  EXPECT_EQ(Get(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
}

TEST(SocketOptionsTest, UserTimeoutIsInMilliseconds) {
  const UniqueFd fd = Socket(AF_INET, SOCK_STREAM);
  ASSERT_TRUE(SetTcpUserTimeout(fd.get(), absl::Seconds(75)).ok());
  EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 75000);
  ASSERT_TRUE(SetTcpUserTimeout(fd.get(), absl::ZeroDuration()).ok());
  EXPECT_EQ(Get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
  for (const absl::Duration wrong :
       {absl::Milliseconds(-1), kMaxTcpUserTimeout + absl::Milliseconds(1),
        absl::InfiniteDuration()}) {
    EXPECT_TRUE(absl::IsInvalidArgument(SetTcpUserTimeout(fd.get(), wrong)));
  }
}

TEST(SocketOptionsTest, TheRestOfThem) {
  const UniqueFd tcp = Socket(AF_INET6, SOCK_STREAM);
  EXPECT_TRUE(SetTcpNoDelay(tcp.get()).ok());
  EXPECT_EQ(Get(tcp, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_TRUE(SetTcpDeferAccept(tcp.get(), 5).ok());
  EXPECT_GE(Get(tcp, IPPROTO_TCP, TCP_DEFER_ACCEPT), 5);
  EXPECT_TRUE(SetTcpDeferAccept(tcp.get(), 0).ok());
  EXPECT_EQ(Get(tcp, IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
  EXPECT_TRUE(SetReuseAddr(tcp.get()).ok());
  EXPECT_EQ(Get(tcp, SOL_SOCKET, SO_REUSEADDR), 1);
  EXPECT_TRUE(SetReusePort(tcp.get()).ok());
  EXPECT_EQ(Get(tcp, SOL_SOCKET, SO_REUSEPORT), 1);
  EXPECT_TRUE(SetV6Only(tcp.get(), true).ok());
  EXPECT_EQ(Get(tcp, IPPROTO_IPV6, IPV6_V6ONLY), 1);
  EXPECT_TRUE(SetV6Only(tcp.get(), false).ok());
  EXPECT_EQ(Get(tcp, IPPROTO_IPV6, IPV6_V6ONLY), 0);

  const UniqueFd udp4 = Socket(AF_INET, SOCK_DGRAM);
  EXPECT_TRUE(SetReceivePacketInfo(udp4.get(), AF_INET).ok());
  EXPECT_EQ(Get(udp4, IPPROTO_IP, IP_PKTINFO), 1);
  const UniqueFd udp6 = Socket(AF_INET6, SOCK_DGRAM);
  EXPECT_TRUE(SetReceivePacketInfo(udp6.get(), AF_INET6).ok());
  EXPECT_EQ(Get(udp6, IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
}

TEST(SocketOptionsTest, ErrorsNameTheOption) {
  EXPECT_EQ(SetTcpNoDelay(-1).message(),
            "setsockopt TCP_NODELAY: Bad file descriptor (EBADF)");
  EXPECT_EQ(OutputQueueBytes(-1).status().message(),
            "ioctl SIOCOUTQ: Bad file descriptor (EBADF)");
}

TEST(SocketOptionsTest, OutputQueueCountsWhatThePeerHasNotTaken) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd writer(ends[0]), reader(ends[1]);
  EXPECT_EQ(*OutputQueueBytes(writer.get()), 0);
  char bytes[100] = {};
  ASSERT_EQ(send(writer.get(), bytes, sizeof(bytes), 0), 100);
  EXPECT_GT(*OutputQueueBytes(writer.get()), 0);
  ASSERT_EQ(recv(reader.get(), bytes, sizeof(bytes), 0), 100);
  EXPECT_EQ(*OutputQueueBytes(writer.get()), 0);
}

}  // namespace
}  // namespace baton
