// Connections over real sockets and the real clock.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/event_loop.h"
#include "net/scope.h"

namespace baton {
namespace {

// A connected TCP pair over loopback: the server's side in the table, the
// client's a blocking descriptor.
class SocketTest : public ::testing::Test {
 protected:
  SocketTest() {
    UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    PCHECK(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) ==
           0);
    PCHECK(listen(listener.get(), 1) == 0);
    PCHECK(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address),
                       &size) == 0);
    client_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    PCHECK(connect(client_.get(), reinterpret_cast<sockaddr*>(&address),
                   size) == 0);
    server_.reset(accept4(listener.get(), nullptr, nullptr,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    PCHECK(server_.get() >= 0);
  }

  // Every handler ends when its peer is gone.
  void TearDown() override {
    client_.reset();
    RunUntil([&] { return scope_.live() == 0; });
  }

  void Serve(Task<> (*handler)(Connection),
             const StreamSettings& settings = {}) {
    int error = 0;
    internal::ConnectionCore* core =
        table_.Add(std::move(server_), table_.AddSettings(settings), &error);
    ASSERT_NE(core, nullptr);
    scope_.Spawn(handler(Connection(core)));
  }
  // Runs the loop until `done`; the test's own time-out bounds it.
  template <typename Done>
  void RunUntil(Done done) {
    while (!done()) loop_->Turn(/*wait=*/false);
  }
  void SendAll(absl::string_view bytes, int flags = 0) {
    ASSERT_EQ(send(client_.get(), bytes.data(), bytes.size(), flags),
              static_cast<ssize_t>(bytes.size()));
  }
  // Reads from the client's side until `size` bytes or the end, running the
  // loop meanwhile.
  std::string Receive(size_t size) {
    std::string got;
    char buffer[65536];
    while (got.size() < size) {
      loop_->Turn(/*wait=*/false);
      const ssize_t n =
          recv(client_.get(), buffer,
               std::min(sizeof(buffer), size - got.size()), MSG_DONTWAIT);
      if (n > 0) got.append(buffer, static_cast<size_t>(n));
      if (n == 0 || (n < 0 && errno != EAGAIN)) break;
    }
    return got;
  }

  std::unique_ptr<EventLoop> loop_ = EventLoop::Create().value();
  ConnectionTable table_{*loop_, {}};
  Scope scope_;
  UniqueFd client_, server_;
};

Task<> Echo(Connection conn) {
  while (auto chunk = co_await conn.ReadSome({.idle = true})) {
    if (co_await conn.Write(*chunk) != IoError::kOk) break;
  }
}

TEST_F(SocketTest, EchoAndEnd) {
  Serve(Echo);
  SendAll("hello");
  EXPECT_EQ(Receive(5), "hello");
  shutdown(client_.get(), SHUT_WR);
  RunUntil([&] { return scope_.live() == 0; });
  EXPECT_EQ(Receive(1), "");
  EXPECT_EQ(table_.counters().bytes_in.value(), 5u);
  EXPECT_EQ(table_.counters().bytes_out.value(), 5u);
}

// More than both socket buffers and the shared buffer hold: the write has to
// wait for the reader.
TEST_F(SocketTest, AMegabyteToAPeerThatReadsLate) {
  Serve(Echo);
  std::string sent(1'000'000, ' ');
  for (size_t i = 0; i < sent.size(); ++i)
    sent[i] = static_cast<char>('a' + i % 26);
  fcntl(client_.get(), F_SETFL, O_NONBLOCK);
  std::string got;
  char buffer[10'000];
  for (size_t done = 0; got.size() < sent.size();) {
    const ssize_t out =
        send(client_.get(), sent.data() + done, sent.size() - done, 0);
    if (out > 0) done += static_cast<size_t>(out);
    loop_->Turn(/*wait=*/false);
    if (out > 0 && done < sent.size()) continue;
    const ssize_t in = recv(client_.get(), buffer, sizeof(buffer), 0);
    if (in > 0) got.append(buffer, static_cast<size_t>(in));
  }
  EXPECT_TRUE(got == sent);
}

Task<> SayWhatIsUrgent(Connection conn) {
  while (auto chunk = co_await conn.ReadSome({.urgent = true})) {
    std::string reply(*chunk);
    if (chunk.urgent()) reply = "[" + reply + "]";
    if (co_await conn.Write(reply) != IoError::kOk) break;
  }
}

// recv(2) stops at the urgent mark although more is behind it: a loop that
// trusted the short read would lose "cd".
TEST_F(SocketTest, AnUrgentByteInMidStreamLosesNothing) {
  Serve(SayWhatIsUrgent);
  SendAll("ab");
  SendAll("!", MSG_OOB);
  SendAll("cd");
  const std::string got = Receive(7);
  EXPECT_NE(got.find("[!]"), std::string::npos) << got;
  std::string stream = got;
  stream.erase(stream.find("[!]"), 3);
  EXPECT_EQ(stream, "abcd");
}

Task<> SendFileOf3MB(Connection conn) {
  const ReadResult path = co_await conn.ReadUntil("\n", 4096);
  const std::string name(path.bytes().substr(0, path.size() - 1));
  UniqueFd file(open(name.c_str(), O_RDONLY | O_CLOEXEC));
  IoError error = co_await conn.WriteFile(file.get(), 1, 3'000'000 - 1);
  EXPECT_EQ(error, IoError::kOk);
  error = co_await conn.WriteFile(file.get(), 2'999'999, 100);
  EXPECT_EQ(error, IoError::kEof);
}

TEST_F(SocketTest, WriteFile) {
  std::string path = ::testing::TempDir() + "/file_XXXXXX";
  UniqueFd file(mkostemp(path.data(), O_CLOEXEC));
  std::string content(3'000'000, ' ');
  for (size_t i = 0; i < content.size(); ++i)
    content[i] = static_cast<char>('a' + i % 25);
  ASSERT_EQ(write(file.get(), content.data(), content.size()),
            static_cast<ssize_t>(content.size()));
  Serve(SendFileOf3MB);
  SendAll(path + "\n");
  EXPECT_TRUE(Receive(content.size()) == content.substr(1) + content.back());
  unlink(path.c_str());
}

TEST_F(SocketTest, APeerThatTakesNothingIsDropped) {
  Serve(Echo, {.write_timeout = absl::Milliseconds(100)});
  fcntl(client_.get(), F_SETFL, O_NONBLOCK);
  const std::string chunk(60'000, 'x');
  while (scope_.live() > 0) {
    // Nothing is received here: sooner or later both directions are full.
    [[maybe_unused]] const ssize_t sent =
        send(client_.get(), chunk.data(), chunk.size(), MSG_NOSIGNAL);
    loop_->Turn(/*wait=*/false);
  }
  EXPECT_EQ(table_.counters().write_timeouts.value(), 1u);
}

// The descriptor goes on in another table (here: another connection of the same
// one), the peer notices nothing.
TEST_F(SocketTest, DetachAndImport) {
  Serve(Echo);
  SendAll("one");
  EXPECT_EQ(Receive(3), "one");
  internal::ConnectionCore* core = nullptr;
  table_.ForEach([&](internal::ConnectionCore& each) { core = &each; });
  ASSERT_TRUE(table_.AtSafePoint(*core));
  ConnectionImage image = table_.Export(*core);
  image.unread = "left over ";
  UniqueFd fd(dup(table_.Detach(*core)));
  table_.GiveAway(*core);
  RunUntil([&] { return scope_.live() == 0; });
  const TrafficCounters& counters = table_.counters();
  EXPECT_EQ(counters.accepted.value(), 1u);
  EXPECT_EQ(counters.open.value(), 0);
  EXPECT_EQ(counters.closed.value(), 0u);
  EXPECT_EQ(counters.handed_over.value(), 1u);
  SendAll("two");
  absl::StatusOr<internal::ConnectionCore*> next =
      table_.Import(std::move(fd), table_.AddSettings({}), image);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ((*next)->bytes_in, 3u);
  Connection resumed(*next);
  EXPECT_TRUE(resumed.resumed());
  scope_.Spawn(Echo(std::move(resumed)));
  EXPECT_EQ(Receive(13), "left over two");
  EXPECT_EQ(counters.open.value(), 1);
  shutdown(client_.get(), SHUT_WR);
  RunUntil([&] { return scope_.live() == 0; });
  EXPECT_EQ(counters.received.value(), 1u);
  EXPECT_EQ(counters.open.value(), 0);
  EXPECT_EQ(counters.closed.value(), 1u);
}

// A peer that floods one connection must not keep another from being served.
TEST_F(SocketTest, AFloodIsServedInTurns) {
  Serve([](Connection conn) -> Task<> {
    while (co_await conn.ReadSome({.idle = true})) {
    }
  });
  fcntl(client_.get(), F_SETFL, O_NONBLOCK);
  const std::string much(4'000'000, 'x');
  const ssize_t queued = send(client_.get(), much.data(), much.size(), 0);
  ASSERT_GT(queued, 0);
  loop_->Turn(/*wait=*/true);
  EXPECT_LE(
      table_.counters().bytes_in.value(),
      2u * ConnectionTable::kBudget * ConnectionTable::kSharedBufferBytes);
  RunUntil([&] {
    return table_.counters().bytes_in.value() >= static_cast<uint64_t>(queued);
  });
  client_.reset();
  RunUntil([&] { return scope_.live() == 0; });
}

}  // namespace
}  // namespace baton
