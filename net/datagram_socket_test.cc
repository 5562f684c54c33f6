#include "net/datagram_socket.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "net/listen_socket.h"
#include "net/listen_url.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

using Turn = DatagramBatch::Turn;

constexpr int kDeadline_ms = 10000;

bool IsReadable(int fd, int timeout_ms = kDeadline_ms) {
  pollfd poll_fd = {fd, POLLIN, 0};
  return poll(&poll_fd, 1, timeout_ms) == 1;
}

void Echo(absl::string_view bytes, DatagramPeer& peer) { peer.Reply(bytes); }

// A server socket as baton opens it, on any free port.
class Server {
 public:
  explicit Server(absl::string_view url) {
    auto parsed = ParseListenUrl(url);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    auto fd = OpenListener(*parsed, {});
    EXPECT_TRUE(fd.ok()) << fd.status();
    fd_ = *std::move(fd);
    port_ = Endpoint::LocalOf(fd_.get())->port();
  }

  int fd() const { return fd_.get(); }

  // A client that is connected to `host` at this server's port, and so takes
  // answers from nowhere else - udp(7).
  UniqueFd Connect(absl::string_view host) const {
    const auto to = Endpoint::Parse(absl::StrCat(host, ":", port_));
    EXPECT_TRUE(to.ok()) << to.status();
    UniqueFd fd(socket(to->family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(fd.get(), to->sockaddr(), to->length()), 0);
    return fd;
  }

 private:
  UniqueFd fd_;
  uint16_t port_;
};

void Send(const UniqueFd& client, absl::string_view bytes) {
  EXPECT_EQ(send(client.get(), bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
}

// The next datagram; "(none)" when there is none in time.
std::string Receive(const UniqueFd& client, int timeout_ms = kDeadline_ms) {
  if (!IsReadable(client.get(), timeout_ms)) return "(none)";
  std::string bytes(DatagramBatch::kMaxBytes, '\0');
  const ssize_t size = recv(client.get(), bytes.data(), bytes.size(), 0);
  EXPECT_GE(size, 0);
  bytes.resize(static_cast<size_t>(size));
  return bytes;
}

class DatagramBatchTest : public testing::Test {
 protected:
  DatagramBatch batch_;
  TrafficCounters counters_;
};

TEST_F(DatagramBatchTest, EmptyQueueIsDrained) {
  const Server server("echo+udp://127.0.0.1:0");
  EXPECT_EQ(batch_.Serve(server.fd(), Echo, counters_).turn, Turn::kDrained);
  EXPECT_EQ(counters_.datagrams_in.value(), 0u);
}

TEST_F(DatagramBatchTest, EchoesEverySizeThatUdpHas) {
  const Server server("echo+udp://127.0.0.1:0");
  const UniqueFd client = server.Connect("127.0.0.1");
  uint64_t total = 0;
  for (const size_t size : {0, 1, 1472, 9000, 65507}) {
    const std::string bytes(size, static_cast<char>('a' + size % 26));
    Send(client, bytes);
    ASSERT_TRUE(IsReadable(server.fd()));
    EXPECT_EQ(batch_.Serve(server.fd(), Echo, counters_).turn, Turn::kDrained);
    EXPECT_EQ(Receive(client), bytes);
    total += size;
  }
  EXPECT_EQ(counters_.datagrams_in.value(), 5u);
  EXPECT_EQ(counters_.datagrams_out.value(), 5u);
  EXPECT_EQ(counters_.bytes_in.value(), total);
  EXPECT_EQ(counters_.bytes_out.value(), total);
  EXPECT_EQ(counters_.datagrams_dropped.value(), 0u);
}

TEST_F(DatagramBatchTest, AFullBatchSaysThereMayBeMore) {
  const Server server("echo+udp://127.0.0.1:0");
  const UniqueFd client = server.Connect("127.0.0.1");
  const size_t count = DatagramBatch::kBatch + 5;
  for (size_t i = 0; i < count; ++i) Send(client, absl::StrCat(i));
  size_t served = 0;
  while (served < count) {
    ASSERT_TRUE(IsReadable(server.fd()));
    const auto serve = [&](absl::string_view bytes, DatagramPeer& peer) {
      ++served;
      peer.Reply(bytes);
    };
    const size_t before = served;
    const Turn turn = batch_.Serve(server.fd(), serve, counters_).turn;
    EXPECT_LE(served - before, DatagramBatch::kBatch);
    EXPECT_EQ(turn == Turn::kMore, served - before == DatagramBatch::kBatch);
  }
  for (size_t i = 0; i < count; ++i)
    EXPECT_EQ(Receive(client), absl::StrCat(i));
}

TEST_F(DatagramBatchTest, EachPeerGetsItsOwnAnswer) {
  const Server server("echo+udp://[::1]:0");
  const UniqueFd a = server.Connect("[::1]");
  const UniqueFd b = server.Connect("[::1]");
  Send(a, "a");
  Send(b, "b");
  int served = 0;
  const auto answer_with_port = [&](absl::string_view bytes,
                                    DatagramPeer& peer) {
    ++served;
    peer.Reply(absl::StrCat(bytes, " ", peer.endpoint().ToString()));
  };
  while (served < 2) {
    ASSERT_TRUE(IsReadable(server.fd()));
    batch_.Serve(server.fd(), answer_with_port, counters_);
  }
  EXPECT_EQ(Receive(a),
            absl::StrCat("a ", Endpoint::LocalOf(a.get())->ToString()));
  EXPECT_EQ(Receive(b),
            absl::StrCat("b ", Endpoint::LocalOf(b.get())->ToString()));
}

TEST_F(DatagramBatchTest, AnswersAreTakenWhereverTheyLie) {
  const Server server("echo+udp://127.0.0.1:0");
  const UniqueFd client = server.Connect("127.0.0.1");
  Send(client, "0123456789");
  ASSERT_TRUE(IsReadable(server.fd()));
  batch_.Serve(
      server.fd(),
      [](absl::string_view bytes, DatagramPeer& peer) {
        peer.Reply(bytes.substr(3, 4));
        peer.Reply(bytes.substr(10));
        peer.Reply(std::string("a temporary"));
        peer.Reply(absl::string_view());
      },
      counters_);
  EXPECT_EQ(Receive(client), "3456");
  EXPECT_EQ(Receive(client), "");
  EXPECT_EQ(Receive(client), "a temporary");
  EXPECT_EQ(Receive(client), "");
}

TEST_F(DatagramBatchTest, MoreAnswersThanABatchHolds) {
  const Server server("echo+udp://127.0.0.1:0");
  const UniqueFd client = server.Connect("127.0.0.1");
  Send(client, "question");
  ASSERT_TRUE(IsReadable(server.fd()));
  const size_t count = 2 * DatagramBatch::kBatch + 1;
  batch_.Serve(
      server.fd(),
      [&](absl::string_view, DatagramPeer& peer) {
        for (size_t i = 0; i < count; ++i) peer.Reply(absl::StrCat(i));
      },
      counters_);
  for (size_t i = 0; i < count; ++i)
    EXPECT_EQ(Receive(client), absl::StrCat(i));
  EXPECT_EQ(counters_.datagrams_out.value(), count);
}

TEST_F(DatagramBatchTest, WildcardAnswersFromTheAddressThatWasAsked) {
  const struct {
    const char *url, *host;
  } kCases[] = {
      {"echo+udp://0.0.0.0:0", "127.0.0.2"},
      {"echo+udp://[::]:0?dual=1", "127.0.0.3"},
      {"echo+udp://[::]:0?dual=1", "[::1]"},
      {"echo+udp://[::]:0", "[::1]"},
  };
  for (const auto& c : kCases) {
    const Server server(c.url);
    const UniqueFd client = server.Connect(c.host);
    Send(client, "hi");
    ASSERT_TRUE(IsReadable(server.fd()));
    batch_.Serve(server.fd(), Echo, counters_);
    EXPECT_EQ(Receive(client), "hi") << c.url << " asked at " << c.host;
  }
}

TEST_F(DatagramBatchTest, AnAnswerThatCannotLeaveDoesNotKeepOthersBack) {
  const Server server("echo+udp://127.0.0.1:0");
  const UniqueFd client = server.Connect("127.0.0.1");
  Send(client, "question");
  ASSERT_TRUE(IsReadable(server.fd()));
  batch_.Serve(
      server.fd(),
      [](absl::string_view, DatagramPeer& peer) {
        peer.Reply("first");
        peer.Reply(std::string(65508, 'x'));  // EMSGSIZE
        peer.Reply(std::string(DatagramBatch::kMaxBytes + 1, 'x'));
        peer.Reply("last");
      },
      counters_);
  EXPECT_EQ(Receive(client), "first");
  EXPECT_EQ(Receive(client), "last");
  EXPECT_EQ(counters_.datagrams_out.value(), 2u);
  EXPECT_EQ(counters_.datagrams_dropped.value(), 2u);
}

TEST_F(DatagramBatchTest, NotASocketIsAnError) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const UniqueFd reader(pipe_ends[0]), writer(pipe_ends[1]);
  const DatagramBatch::Result result =
      batch_.Serve(reader.get(), Echo, counters_);
  EXPECT_EQ(result.turn, Turn::kError);
  EXPECT_EQ(result.errnum, ENOTSOCK);
}

TEST_F(DatagramBatchTest, FullSendQueueDropsAndCounts) {
  // UDP on loopback is never full; a unix socket's receive queue is, after
  // net.unix.max_dgram_qlen datagrams, and then sending gives EAGAIN.
  int pair[2];
  ASSERT_EQ(
      socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
      0);
  const UniqueFd server(pair[0]), client(pair[1]);
  Send(client, "question");
  constexpr size_t kAnswers = 5000;
  batch_.Serve(
      server.get(),
      [](absl::string_view, DatagramPeer& peer) {
        for (size_t i = 0; i < kAnswers; ++i) peer.Reply("x");
      },
      counters_);
  size_t arrived = 0;
  while (Receive(client, 0) == "x") ++arrived;
  EXPECT_GT(arrived, 0u);
  EXPECT_GT(counters_.datagrams_dropped.value(), 0u);
  EXPECT_EQ(counters_.datagrams_out.value(), arrived);
  EXPECT_EQ(counters_.datagrams_dropped.value(), kAnswers - arrived);
}

TEST_F(DatagramBatchTest, HandlerMayNotServe) {
  const Server server("echo+udp://127.0.0.1:0");
  const UniqueFd client = server.Connect("127.0.0.1");
  Send(client, "question");
  ASSERT_TRUE(IsReadable(server.fd()));
  const auto serve_again = [&](absl::string_view, DatagramPeer&) {
    batch_.Serve(server.fd(), Echo, counters_);
  };
  EXPECT_DEATH(batch_.Serve(server.fd(), serve_again, counters_),
               "from a handler");
}

}  // namespace
}  // namespace baton
