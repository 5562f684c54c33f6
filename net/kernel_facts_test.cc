// What baton relies on the kernel for, where sockets and epoll are concerned.
//
// Some of this the manual pages say in passing, some they do not say at all; a
// kernel that answered differently would lose connections without an error
// anywhere. So each fact is a test, with the page that has it (or the system
// call it is a property of) and what is built on it. Facts about processes,
// signals and descriptors are in kernel_facts_process_test.cc.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "net/endpoint.h"
#include "net/listen_socket.h"
#include "net/listen_url.h"
#include "net/socket_options.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

constexpr int kDeadline_ms = 10000;

bool IsReady(int fd, short events, int timeout_ms = kDeadline_ms) {
  pollfd poll_fd = {fd, events, 0};
  return poll(&poll_fd, 1, timeout_ms) == 1;
}

// For what the kernel announces by no event.
template <typename Condition>
bool Becomes(Condition condition) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(kDeadline_ms);
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    sched_yield();
  }
  return true;
}

UniqueFd Connect(const Endpoint& to) {
  UniqueFd fd(socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(connect(fd.get(), to.sockaddr(), to.length()), 0) << to.ToString();
  return fd;
}

UniqueFd Accept(int listener) {
  EXPECT_TRUE(IsReady(listener, POLLIN));
  UniqueFd fd(
      accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  EXPECT_TRUE(fd);
  return fd;
}

int Get(int fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof(value);
  EXPECT_EQ(getsockopt(fd, level, option, &value, &size), 0);
  return value;
}

// Listeners of one address, as the master opens them for its slots.
struct Group {
  explicit Group(int count, const ListenFlags& flags = {.reuseport = true,
                                                        .tcp_keepalive = {}}) {
    ListenUrl url = *ParseListenUrl("echo://127.0.0.1:0");
    for (int i = 0; i < count; ++i) {
      auto fd = OpenListener(url, flags);
      EXPECT_TRUE(fd.ok()) << fd.status();
      listeners.push_back(*std::move(fd));
      url.endpoint = *Endpoint::LocalOf(listeners.back().get());
    }
    endpoint = url.endpoint;
  }

  // All new connections go to the listener with this index.
  void Steer(uint32_t index) {
    sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, index)};
    const sock_fprog program = {1, code};
    for (const UniqueFd& listener : listeners) {
      if (!listener) continue;
      ASSERT_EQ(setsockopt(listener.get(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF,
                           &program, sizeof(program)),
                0);
      return;  // the program is the group's
    }
  }

  Endpoint endpoint;
  std::vector<UniqueFd> listeners;
};

struct TcpPair {
  TcpPair() {
    Group group(1);
    client = Connect(group.endpoint);
    server = Accept(group.listeners[0].get());
  }
  UniqueFd client;
  UniqueFd server;
};

class Epoll {
 public:
  Epoll() : fd_(epoll_create1(EPOLL_CLOEXEC)) { EXPECT_TRUE(fd_); }

  void Add(int fd, uint32_t events, uint64_t data) {
    epoll_event event = {events, {.u64 = data}};
    EXPECT_EQ(epoll_ctl(fd_.get(), EPOLL_CTL_ADD, fd, &event), 0);
  }

  // epoll_event is packed: its members can't be referred to.
  struct Event {
    uint32_t events;
    uint64_t data;
  };

  // The next event; events == 0 when there is none.
  Event Wait(int timeout_ms) {
    epoll_event event = {};
    if (epoll_wait(fd_.get(), &event, 1, timeout_ms) != 1) return {};
    return {event.events, event.data.u64};
  }

 private:
  UniqueFd fd_;
};

// socket(7), SO_REUSEPORT: connections are distributed when they are made, and
// belong to that socket from then on. baton: the master holds the sockets for
// its whole life, and retires one only after others have emptied it.
TEST(KernelFactsTest, ClosingAReuseportListenerResetsItsQueue) {
  Group group(2);
  group.Steer(0);
  const UniqueFd client = Connect(group.endpoint);
  EXPECT_TRUE(IsReady(group.listeners[0].get(), POLLIN));
  EXPECT_FALSE(IsReady(group.listeners[1].get(), POLLIN, 0));
  group.listeners[0].reset();
  EXPECT_FALSE(IsReady(group.listeners[1].get(), POLLIN, 0));
  ASSERT_TRUE(IsReady(client.get(), POLLIN));
  char byte;
  EXPECT_EQ(recv(client.get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

// socket(7), SO_ATTACH_REUSEPORT_CBPF: the program returns an index, counted in
// the order of listen(); a socket that goes gives its index to the last one.
// baton: only the last socket of a group is ever closed.
TEST(KernelFactsTest, ClosingAMiddleListenerMovesTheLastIntoItsIndex) {
  Group group(3);
  group.Steer(1);
  const UniqueFd before = Connect(group.endpoint);
  EXPECT_TRUE(Accept(group.listeners[1].get()));
  group.listeners[1].reset();
  const UniqueFd after = Connect(group.endpoint);
  EXPECT_TRUE(Accept(group.listeners[2].get()));
  EXPECT_FALSE(IsReady(group.listeners[0].get(), POLLIN, 0));
}

// The same: an index that is out of range falls back to the hash of the
// group. baton: between closing a listener and shrinking the program, no
// connection is refused.
TEST(KernelFactsTest, SteeringOutOfRangeFallsBackToTheHash) {
  Group group(2);
  group.Steer(7);
  const UniqueFd client = Connect(group.endpoint);
  pollfd both[] = {{group.listeners[0].get(), POLLIN, 0},
                   {group.listeners[1].get(), POLLIN, 0}};
  EXPECT_EQ(poll(both, 2, kDeadline_ms), 1);
}

// shutdown(2) acts on the socket, which fork and dup share. baton: a worker
// never shuts a listener down on its own account; at a stop it is what refuses
// late clients at once.
TEST(KernelFactsTest, ShutdownOfAListenerStopsEveryProcessThatHasIt) {
  Group group(1);
  const int listener = group.listeners[0].get();
  const pid_t child = fork();
  if (child == 0) _exit(shutdown(listener, SHUT_RDWR) == 0 ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), -1);
  EXPECT_EQ(errno, EINVAL);
  const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(
      connect(client.get(), group.endpoint.sockaddr(), group.endpoint.length()),
      -1);
  EXPECT_EQ(errno, ECONNREFUSED);
}

// An accepted socket starts as a copy of its listener - tcp(7) says so of some
// options only. baton: sets them once a listener, not once a connection.
TEST(KernelFactsTest, AcceptedSocketsInheritTcpOptions) {
  ListenFlags flags;
  flags.tcp_keepalive = *ParseKeepalive("7s:8s:9");
  flags.tcp_user_timeout = absl::Milliseconds(12345);
  const Group group(1, flags);
  const UniqueFd client = Connect(group.endpoint);
  const UniqueFd server = Accept(group.listeners[0].get());
  EXPECT_EQ(Get(server.get(), IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(Get(server.get(), SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(Get(server.get(), IPPROTO_TCP, TCP_KEEPIDLE), 7);
  EXPECT_EQ(Get(server.get(), IPPROTO_TCP, TCP_KEEPINTVL), 8);
  EXPECT_EQ(Get(server.get(), IPPROTO_TCP, TCP_KEEPCNT), 9);
  EXPECT_EQ(Get(server.get(), IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
  // While these two are the client's own defaults.
  EXPECT_EQ(Get(client.get(), IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_EQ(Get(client.get(), SOL_SOCKET, SO_KEEPALIVE), 0);
}

// epoll(7): EPOLL_CTL_ADD reports what is ready already, edge-triggered too.
// baton: a worker that is handed a connection loses no byte that came between,
// nor a half-close.
TEST(KernelFactsTest, EdgeTriggeredAddReportsWhatArrivedBefore) {
  const TcpPair pair;
  ASSERT_EQ(send(pair.client.get(), "x", 1, 0), 1);
  ASSERT_EQ(shutdown(pair.client.get(), SHUT_WR), 0);
  ASSERT_TRUE(IsReady(pair.server.get(), POLLRDHUP));
  Epoll epoll;
  epoll.Add(pair.server.get(), EPOLLIN | EPOLLRDHUP | EPOLLET, 7);
  const Epoll::Event event = epoll.Wait(0);
  EXPECT_EQ(event.events, static_cast<uint32_t>(EPOLLIN | EPOLLRDHUP));
  EXPECT_EQ(event.data, 7u);
  EXPECT_EQ(epoll.Wait(0).events, 0u);
}

// epoll(7), Questions and answers: an event is about the open file, not the
// number. While a copy of it lives (in another process, in a message), so does
// the registration, and nobody can remove it by the closed number. baton:
// event data is an index and a generation, and what is handed over is removed
// before it is sent.
TEST(KernelFactsTest, ACopyKeepsAClosedDescriptorInEpoll) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd peer(ends[0]);
  UniqueFd watched(ends[1]);
  Epoll epoll;
  epoll.Add(watched.get(), EPOLLIN | EPOLLET, 42);
  UniqueFd copy(dup(watched.get()));
  watched.reset();
  ASSERT_EQ(send(peer.get(), "x", 1, 0), 1);
  EXPECT_EQ(epoll.Wait(kDeadline_ms).data, 42u);
  // Closing the last copy does remove it: no EPOLL_CTL_DEL for an ordinary
  // close.
  copy.reset();
  EXPECT_EQ(send(peer.get(), "x", 1, MSG_NOSIGNAL), -1);
  EXPECT_EQ(epoll.Wait(0).events, 0u);
}

// tcp(7), sockatmark(3): a read ends before the urgent byte, and the next one
// begins behind it. baton: a short read proves that the queue is empty only
// when no EPOLLPRI was seen; otherwise what is behind would wait for an edge
// that never comes.
TEST(KernelFactsTest, AReadStopsAtTheUrgentByte) {
  const TcpPair pair;
  Epoll epoll;
  epoll.Add(pair.server.get(), EPOLLIN | EPOLLPRI | EPOLLET, 0);
  ASSERT_EQ(send(pair.client.get(), "abc", 3, 0), 3);
  ASSERT_EQ(send(pair.client.get(), "!", 1, MSG_OOB), 1);
  ASSERT_EQ(send(pair.client.get(), "defg", 4, 0), 4);
  // Everything is acknowledged, and so in the receiver's queue.
  ASSERT_TRUE(
      Becomes([&] { return *OutputQueueBytes(pair.client.get()) == 0; }));
  EXPECT_EQ(epoll.Wait(kDeadline_ms).events,
            static_cast<uint32_t>(EPOLLIN | EPOLLPRI));
  char bytes[16];
  EXPECT_EQ(recv(pair.server.get(), bytes, sizeof(bytes), 0), 3);
  EXPECT_EQ(std::string(bytes, 3), "abc");
  EXPECT_EQ(recv(pair.server.get(), bytes, sizeof(bytes), MSG_OOB), 1);
  EXPECT_EQ(bytes[0], '!');
  EXPECT_EQ(recv(pair.server.get(), bytes, sizeof(bytes), 0), 4);
  EXPECT_EQ(std::string(bytes, 4), "defg");
  EXPECT_EQ(epoll.Wait(0).events, 0u);
}

// tcp(7), SIOCOUTQ: bytes not yet acknowledged. EPOLLOUT comes only when a
// good part of the buffer is free again - tcp(7) does not say so. baton: a slow
// reader is told from a dead one by whether this number falls.
TEST(KernelFactsTest, OutputQueueFallsBeforeTheSocketIsWritable) {
  const TcpPair pair;
  const std::string chunk(65536, 'x');
  while (send(pair.server.get(), chunk.data(), chunk.size(), MSG_DONTWAIT) >
         0) {
  }
  ASSERT_EQ(errno, EAGAIN);
  ASSERT_FALSE(IsReady(pair.server.get(), POLLOUT, 0));
  const int64_t full = *OutputQueueBytes(pair.server.get());
  std::string read(4096, '\0');
  // Little by little, until the window that the reader announces opens.
  const auto falls = [&] {
    EXPECT_GT(recv(pair.client.get(), read.data(), read.size(), 0), 0);
    return *OutputQueueBytes(pair.server.get()) < full;
  };
  EXPECT_TRUE(Becomes(falls));
  EXPECT_FALSE(IsReady(pair.server.get(), POLLOUT, 0));
}

// ip(7), IP_RECVERR: without it, what ICMP says of one answer is not reported
// on a socket that is not connected. baton: a datagram socket that serves many
// clients is not disturbed by one that is gone.
TEST(KernelFactsTest, UnconnectedUdpHearsNoIcmp) {
  const Endpoint any = *Endpoint::Parse("127.0.0.1:0");
  UniqueFd gone(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(gone.get(), any.sockaddr(), any.length()), 0);
  const Endpoint nobody = *Endpoint::LocalOf(gone.get());
  gone.reset();
  const auto send_and_receive = [&](int fd) {
    EXPECT_EQ(sendto(fd, "x", 1, 0, nobody.sockaddr(), nobody.length()), 1);
    char byte;
    EXPECT_EQ(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    return errno;
  };
  const UniqueFd connected(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(connected.get(), nobody.sockaddr(), nobody.length()), 0);
  EXPECT_EQ(send_and_receive(connected.get()), ECONNREFUSED);
  const UniqueFd unconnected(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(send_and_receive(unconnected.get()), EAGAIN);
}

}  // namespace
}  // namespace baton
