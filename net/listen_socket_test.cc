#include "net/listen_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace baton {
namespace {

ListenUrl Url(absl::string_view text) {
  auto parsed = ParseListenUrl(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.value_or(ListenUrl());
}

UniqueFd Open(const ListenUrl& url, const ListenFlags& flags = {}) {
  auto fd = OpenListener(url, flags);
  EXPECT_TRUE(fd.ok()) << fd.status();
  return fd.ok() ? *std::move(fd) : UniqueFd();
}

// Opens `text` on any free port and leaves that port in `url`.
UniqueFd OpenAny(absl::string_view text, ListenUrl& url,
                 const ListenFlags& flags = {}) {
  url = Url(text);
  UniqueFd fd = Open(url, flags);
  auto local = Endpoint::LocalOf(fd.get());
  EXPECT_TRUE(local.ok()) << local.status();
  url.endpoint = local.value_or(Endpoint());
  return fd;
}

int Get(int fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  EXPECT_EQ(getsockopt(fd, level, option, &value, &size), 0);
  return value;
}

bool CanConnect(const Endpoint& endpoint) {
  const UniqueFd fd(socket(endpoint.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(fd.get(), endpoint.sockaddr(), endpoint.length()) == 0;
}

void ExpectInUse(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::ErrnoToStatusCode(EADDRINUSE));
  EXPECT_TRUE(absl::StrContains(status.message(), "(EADDRINUSE)")) << status;
}

constexpr ListenFlags kShared = {.reuseport = true,
                                 .tcp_keepalive = {},
                                 .tcp_user_timeout = absl::Seconds(75)};

class TempFolder {
 public:
  TempFolder() { EXPECT_NE(mkdtemp(path_), nullptr); }
  ~TempFolder() {
    unlink(File().c_str());
    rmdir(path_);
  }
  std::string File() const { return absl::StrCat(path_, "/s"); }

 private:
  char path_[24] = "/tmp/baton_test_XXXXXX";
};

TEST(OpenListenerTest, TcpListenerHasItsOptionsAndQueuesConnections) {
  ListenUrl url;
  const UniqueFd fd = OpenAny("echo://127.0.0.1:0?defer_accept=2", url);
  EXPECT_EQ(Get(fd.get(), SOL_SOCKET, SO_ACCEPTCONN), 1);
  EXPECT_EQ(Get(fd.get(), SOL_SOCKET, SO_REUSEADDR), 1);
  EXPECT_EQ(Get(fd.get(), SOL_SOCKET, SO_REUSEPORT), 0);
  EXPECT_EQ(Get(fd.get(), IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(Get(fd.get(), SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(Get(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE), 60);
  EXPECT_EQ(Get(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT), 75000);
  EXPECT_GT(Get(fd.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
  EXPECT_TRUE(fcntl(fd.get(), F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(fcntl(fd.get(), F_GETFD) & FD_CLOEXEC);
  EXPECT_TRUE(CanConnect(url.endpoint));
}

TEST(OpenListenerTest, TuneListenerChangesALiveListener) {
  ListenUrl url;
  const UniqueFd fd = OpenAny("echo://127.0.0.1:0?defer_accept=2", url);
  url.common.defer_accept_s = 0;
  ListenFlags flags;
  flags.tcp_keepalive.enabled = false;
  flags.tcp_user_timeout = absl::ZeroDuration();
  ASSERT_TRUE(TuneListener(fd.get(), url, flags).ok());
  EXPECT_EQ(Get(fd.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT), 0);
  EXPECT_EQ(Get(fd.get(), SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT_EQ(Get(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
  EXPECT_TRUE(CanConnect(url.endpoint));
}

TEST(OpenListenerTest, PortInUseIsNamed) {
  ListenUrl url;
  const UniqueFd fd = OpenAny("echo://127.0.0.1:0", url);
  const auto second = OpenListener(url, {});
  ExpectInUse(second.status());
  EXPECT_TRUE(
      absl::StrContains(second.status().message(), url.endpoint.ToString()));
}

TEST(OpenListenerTest, ReusePortLetsOneGroupShare) {
  for (const absl::string_view text :
       {"echo://127.0.0.1:0", "echo+udp://127.0.0.1:0"}) {
    ListenUrl url;
    const UniqueFd first = OpenAny(text, url, kShared);
    EXPECT_TRUE(Open(url, kShared));
    ExpectInUse(OpenListener(url, {}).status());
  }
}

TEST(OpenListenerTest, V6LeavesV4AloneUnlessDual) {
  ListenUrl url;
  {
    const UniqueFd v6 = OpenAny("echo://[::]:0", url);
    const Endpoint v4 =
        *Endpoint::Parse(absl::StrCat("127.0.0.1:", url.endpoint.port()));
    EXPECT_FALSE(CanConnect(v4));
  }
  const UniqueFd dual = OpenAny("echo://[::]:0?dual=1", url);
  EXPECT_TRUE(CanConnect(
      *Endpoint::Parse(absl::StrCat("127.0.0.1:", url.endpoint.port()))));
  EXPECT_TRUE(CanConnect(
      *Endpoint::Parse(absl::StrCat("[::1]:", url.endpoint.port()))));
}

TEST(OpenListenerTest, UdpWildcardAsksForTheLocalAddress) {
  ListenUrl url;
  const UniqueFd v4 = OpenAny("echo+udp://0.0.0.0:0", url);
  EXPECT_EQ(Get(v4.get(), SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
  EXPECT_EQ(Get(v4.get(), IPPROTO_IP, IP_PKTINFO), 1);
  EXPECT_EQ(Get(v4.get(), SOL_SOCKET, SO_REUSEADDR), 0);
  const UniqueFd v6 = OpenAny("echo+udp://[::]:0", url);
  EXPECT_EQ(Get(v6.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO), 1);
  const UniqueFd one = OpenAny("echo+udp://127.0.0.1:0", url);
  EXPECT_EQ(Get(one.get(), IPPROTO_IP, IP_PKTINFO), 0);
}

TEST(OpenListenerTest, AddressThatIsNotOursIsNamed) {
  // 203.0.113.0/24 is for documentation - RFC 5737.
  const auto fd = OpenListener(Url("echo://203.0.113.7:7007"), {});
  ASSERT_FALSE(fd.ok());
  EXPECT_TRUE(
      absl::StartsWith(fd.status().message(), "bind 203.0.113.7:7007: "));
}

TEST(OpenListenerDeathTest, UnresolvedUrlIsABug) {
  EXPECT_DEATH((void)OpenListener(Url("echo://localhost:0"), {}),
               "has not been resolved");
}

TEST(OpenListenerUnixTest, BindsAndQueuesConnections) {
  const TempFolder folder;
  const ListenUrl url = Url(absl::StrCat("echo+unix://", folder.File()));
  const UniqueFd fd = Open(url, kShared);
  EXPECT_EQ(Get(fd.get(), SOL_SOCKET, SO_ACCEPTCONN), 1);
  EXPECT_TRUE(CanConnect(url.endpoint));
}

TEST(OpenListenerUnixTest, LeftOverSocketIsReplaced) {
  const TempFolder folder;
  const ListenUrl url = Url(absl::StrCat("echo+unix://", folder.File()));
  Open(url).reset();
  ASSERT_EQ(access(folder.File().c_str(), F_OK), 0);
  const UniqueFd fd = Open(url);
  EXPECT_TRUE(CanConnect(url.endpoint));
}

TEST(OpenListenerUnixTest, LiveSocketIsInUse) {
  const TempFolder folder;
  ListenUrl url =
      Url(absl::StrCat("echo+unix://", folder.File(), "?backlog=1"));
  const UniqueFd fd = Open(url);
  ExpectInUse(OpenListener(url, {}).status());
  // Also while its queue is so full that a connect would block.
  std::vector<UniqueFd> clients;
  do {
    clients.emplace_back(
        socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  } while (connect(clients.back().get(), url.endpoint.sockaddr(),
                   url.endpoint.length()) == 0);
  ASSERT_EQ(errno, EAGAIN);
  ExpectInUse(OpenListener(url, {}).status());
  EXPECT_EQ(access(folder.File().c_str(), F_OK), 0);
}

TEST(OpenListenerUnixTest, LiveSocketOfAnotherTypeIsInUse) {
  const TempFolder folder;
  const ListenUrl url = Url(absl::StrCat("echo+unix://", folder.File()));
  const UniqueFd datagram(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(
      bind(datagram.get(), url.endpoint.sockaddr(), url.endpoint.length()), 0);
  ExpectInUse(OpenListener(url, {}).status());
}

TEST(OpenListenerUnixTest, NeverUnlinksWhatIsNotASocket) {
  const TempFolder folder;
  const ListenUrl url = Url(absl::StrCat("echo+unix://", folder.File()));
  {
    const UniqueFd file(
        open(folder.File().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ASSERT_TRUE(file);
  }
  const auto fd = OpenListener(url, {});
  ASSERT_FALSE(fd.ok());
  EXPECT_EQ(
      fd.status().message(),
      absl::StrCat("bind ", folder.File(), ": exists and is not a socket"));
  struct stat found;
  ASSERT_EQ(lstat(folder.File().c_str(), &found), 0);
  EXPECT_TRUE(S_ISREG(found.st_mode));
  // Nor a link, even to a socket that nobody listens on.
  ASSERT_EQ(unlink(folder.File().c_str()), 0);
  ASSERT_EQ(symlink("nowhere", folder.File().c_str()), 0);
  EXPECT_FALSE(OpenListener(url, {}).ok());
  ASSERT_EQ(lstat(folder.File().c_str(), &found), 0);
  EXPECT_TRUE(S_ISLNK(found.st_mode));
}

TEST(OpenListenerUnixTest, MissingFolderIsNamed) {
  const auto fd = OpenListener(Url("echo+unix:///nonexistent/x.sock"), {});
  EXPECT_TRUE(absl::IsNotFound(fd.status())) << fd.status();
  EXPECT_TRUE(
      absl::StartsWith(fd.status().message(), "bind /nonexistent/x.sock: "));
}

TEST(ProbeBindTest, FindsAServerThatSharesThePort) {
  for (const absl::string_view text :
       {"echo://127.0.0.1:0", "echo+udp://127.0.0.1:0", "echo://[::1]:0",
        "echo+udp://[::1]:0"}) {
    ListenUrl url;
    const UniqueFd other = OpenAny(text, url, kShared);
    ExpectInUse(ProbeBind(url, {}));
    // What the probe is for: this would have shared it.
    EXPECT_TRUE(Open(url, kShared));
  }
}

TEST(ProbeBindTest, LeavesAFreePortFree) {
  for (const absl::string_view text :
       {"echo://127.0.0.1:0", "echo+udp://127.0.0.1:0"}) {
    ListenUrl url;
    OpenAny(text, url).reset();
    EXPECT_TRUE(ProbeBind(url, {}).ok());
    EXPECT_TRUE(ProbeBind(url, {}).ok());
    EXPECT_TRUE(Open(url));
  }
}

TEST(ProbeBindTest, TimeWaitIsNotInUse) {
  ListenUrl url;
  {
    const UniqueFd listener = OpenAny("echo://127.0.0.1:0", url);
    const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(
        connect(client.get(), url.endpoint.sockaddr(), url.endpoint.length()),
        0);
    // The side that closes first keeps the port in TIME_WAIT.
    UniqueFd accepted(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    accepted.reset();
    char byte;
    ASSERT_EQ(recv(client.get(), &byte, 1, 0), 0);
  }
  EXPECT_TRUE(ProbeBind(url, {}).ok());
}

TEST(ProbeBindTest, DoesNotProbeWhatOverlapsOurOwn) {
  ListenUrl url;
  const UniqueFd ours = OpenAny("echo://127.0.0.1:0", url, kShared);
  ListenUrl wildcard =
      Url(absl::StrCat("echo://0.0.0.0:", url.endpoint.port()));
  ExpectInUse(ProbeBind(wildcard, {}));
  EXPECT_TRUE(ProbeBind(wildcard, {url.endpoint}).ok());
  EXPECT_TRUE(ProbeBind(url, {url.endpoint}).ok());
  // Another port of ours says nothing about this one.
  ExpectInUse(ProbeBind(url, {*Endpoint::Parse("127.0.0.1:1")}));
}

TEST(ProbeBindTest, V6OnlyIsProbedBesideOurV4) {
  ListenUrl url;
  const UniqueFd theirs = OpenAny("echo://[::1]:0", url, kShared);
  const std::string port = absl::StrCat(":", url.endpoint.port());
  const Endpoint our_v4 = *Endpoint::Parse(absl::StrCat("0.0.0.0", port));
  ExpectInUse(ProbeBind(Url(absl::StrCat("echo://[::]", port)), {our_v4}));
  EXPECT_TRUE(
      ProbeBind(Url(absl::StrCat("echo://[::]", port, "?dual=1")), {our_v4})
          .ok());
}

TEST(ProbeBindTest, NothingToProbeForPortZeroAndUnix) {
  EXPECT_TRUE(ProbeBind(Url("echo://127.0.0.1:0"), {}).ok());
  EXPECT_TRUE(ProbeBind(Url("echo+unix:///nonexistent/x.sock"), {}).ok());
}

}  // namespace
}  // namespace baton
