#include "tools/loadgen/interactive.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"

namespace baton::loadgen {
namespace {

constexpr int kDeadlineMs = 20'000;

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
  UniqueFd read, write;
};

struct SocketPair {
  explicit SocketPair(int type) {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    client.reset(fds[0]);
    server.reset(fds[1]);
    Unblock();
  }
  SocketPair() = default;
  void Unblock() { EXPECT_EQ(::fcntl(client.get(), F_SETFL, O_NONBLOCK), 0); }
  UniqueFd client, server;
};

// Urgent bytes are TCP's.
SocketPair TcpPair() {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = *Endpoint::Parse("127.0.0.1:0");
  EXPECT_EQ(::bind(listener.get(), address.sockaddr(), address.length()), 0);
  EXPECT_EQ(::listen(listener.get(), 1), 0);
  address = *Endpoint::LocalOf(listener.get());
  SocketPair pair;
  pair.client.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(pair.client.get(), address.sockaddr(), address.length()),
            0);
  pair.server.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  pair.Unblock();
  return pair;
}

bool WaitFor(int fd, short events) {
  pollfd wait = {.fd = fd, .events = events, .revents = 0};
  return ::poll(&wait, 1, kDeadlineMs) == 1 && (wait.revents & events) != 0;
}

// Exactly so many bytes; fewer at the end of the file or when none come.
std::string ReadBytes(int fd, size_t wanted) {
  std::string bytes;
  while (bytes.size() < wanted && WaitFor(fd, POLLIN)) {
    char buffer[4096];
    const ssize_t got =
        ::read(fd, buffer, std::min(sizeof(buffer), wanted - bytes.size()));
    if (got <= 0) break;
    bytes.append(buffer, got);
  }
  return bytes;
}

void WriteAll(int fd, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    ASSERT_GT(written, 0);
    bytes.remove_prefix(written);
  }
}

bool AtEnd(int fd) {
  char byte;
  return WaitFor(fd, POLLIN) && ::read(fd, &byte, 1) == 0;
}

// Interact() in a thread, its three descriptors in the test's hands.
class InteractiveTest : public ::testing::Test {
 protected:
  void Start(SocketPair pair, InteractiveOptions options = {}) {
    server_ = std::move(pair.server);
    if (options.input_fd == 0) options.input_fd = input_.read.get();
    options.output_fd = output_.write.get();
    options.notice_fd = notice_.write.get();
    thread_ =
        std::thread([this, options, client = std::move(pair.client)]() mutable {
          status_ = Interact(std::move(client), options);
        });
  }
  absl::Status Finish() {
    thread_.join();
    return status_;
  }

  Pipe input_, output_, notice_;
  UniqueFd server_;
  absl::Status status_;
  std::thread thread_;
};

// A keyboard: the master's side of a terminal is what the fingers do.
struct Keyboard {
  Keyboard() : master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    EXPECT_EQ(::grantpt(master.get()), 0);
    EXPECT_EQ(::unlockpt(master.get()), 0);
    char name[64];
    EXPECT_EQ(::ptsname_r(master.get(), name, sizeof(name)), 0);
    terminal.reset(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_GE(terminal.get(), 0);
  }
  UniqueFd master, terminal;
};

TEST_F(InteractiveTest, KeyboardAndNetworkAtOnce) {
  const Keyboard keyboard;
  Start(SocketPair(SOCK_STREAM), {.input_fd = keyboard.terminal.get()});
  // The server speaks while nobody types.
  WriteAll(server_.get(), "welcome\n");
  EXPECT_EQ(ReadBytes(output_.read.get(), 8), "welcome\n");
  // A line is sent when it is complete, while the server says nothing.
  WriteAll(keyboard.master.get(), "hel");
  WriteAll(keyboard.master.get(), "lo\n");
  EXPECT_EQ(ReadBytes(server_.get(), 6), "hello\n");
  WriteAll(server_.get(), "again\n");
  EXPECT_EQ(ReadBytes(output_.read.get(), 6), "again\n");
  // Ctrl-D ends one direction only.
  WriteAll(keyboard.master.get(), "\x04");
  EXPECT_TRUE(AtEnd(server_.get()));
  WriteAll(server_.get(), "bye\n");
  EXPECT_EQ(ReadBytes(output_.read.get(), 4), "bye\n");
  server_.reset();
  EXPECT_TRUE(Finish().ok()) << status_;
}

TEST_F(InteractiveTest, TheServersEndEndsIt) {
  Start(SocketPair(SOCK_STREAM));
  WriteAll(server_.get(), "last words");
  server_.reset();
  EXPECT_TRUE(Finish().ok()) << status_;
  output_.write.reset();
  EXPECT_EQ(ReadBytes(output_.read.get(), 100), "last words");
}

TEST_F(InteractiveTest, AResetIsAnError) {
  SocketPair pair = TcpPair();
  const linger abort = {.l_onoff = 1, .l_linger = 0};
  ASSERT_EQ(::setsockopt(pair.server.get(), SOL_SOCKET, SO_LINGER, &abort,
                         sizeof(abort)),
            0);
  Start(std::move(pair));
  server_.reset();
  EXPECT_FALSE(Finish().ok());
  EXPECT_TRUE(absl::StrContains(status_.message(), "ECONNRESET")) << status_;
}

TEST_F(InteractiveTest, UrgentBytesAreShownApart) {
  Start(TcpPair());
  WriteAll(server_.get(), "before");
  ASSERT_EQ(::send(server_.get(), "U", 1, MSG_OOB), 1);
  WriteAll(server_.get(), "after");
  EXPECT_EQ(ReadBytes(output_.read.get(), 11), "beforeafter");
  EXPECT_EQ(ReadBytes(notice_.read.get(), 23), "[urgent byte 0x55 'U']\n");
  server_.reset();
  EXPECT_TRUE(Finish().ok()) << status_;
}

TEST_F(InteractiveTest, UrgentOptionSendsOneInTheMiddle) {
  Start(TcpPair(), {.urgent = true});
  WriteAll(input_.write.get(), "abcdef\n");
  ASSERT_TRUE(WaitFor(server_.get(), POLLPRI));
  // Before the mark nothing but the first half is to be had: tcp(7).
  EXPECT_EQ(ReadBytes(server_.get(), 3), "abc");
  char urgent = 0;
  ASSERT_EQ(::recv(server_.get(), &urgent, 1, MSG_OOB), 1);
  EXPECT_EQ(urgent, '!');
  EXPECT_EQ(ReadBytes(server_.get(), 4), "def\n");
  input_.write.reset();
  EXPECT_TRUE(AtEnd(server_.get()));
  server_.reset();
  EXPECT_TRUE(Finish().ok()) << status_;
}

// Far more than any buffer holds, both ways at once; neither waits for ever.
TEST_F(InteractiveTest, ALotBothWays) {
  std::string sent;
  for (int i = 0; sent.size() < 2'000'000; ++i) sent += std::to_string(i);
  Start(SocketPair(SOCK_STREAM));
  std::thread echo([this] {
    char buffer[8192];
    ssize_t got;
    while ((got = ::read(server_.get(), buffer, sizeof(buffer))) > 0) {
      WriteAll(server_.get(), absl::string_view(buffer, got));
    }
    ::shutdown(server_.get(), SHUT_WR);
  });
  std::thread typing([this, &sent] {
    WriteAll(input_.write.get(), sent);
    input_.write.reset();
  });
  EXPECT_TRUE(ReadBytes(output_.read.get(), sent.size()) == sent);
  echo.join();
  typing.join();
  EXPECT_TRUE(Finish().ok()) << status_;
}

TEST_F(InteractiveTest, DatagramsEndWhenAllAreAnswered) {
  Start(SocketPair(SOCK_DGRAM), {.datagrams = true});
  WriteAll(input_.write.get(), "one\n");
  EXPECT_EQ(ReadBytes(server_.get(), 4), "one\n");
  WriteAll(server_.get(), "one\n");
  EXPECT_EQ(ReadBytes(output_.read.get(), 4), "one\n");
  WriteAll(input_.write.get(), "two\n");
  input_.write.reset();
  EXPECT_EQ(ReadBytes(server_.get(), 4), "two\n");
  WriteAll(server_.get(), "two\n");
  EXPECT_TRUE(Finish().ok()) << status_;
  EXPECT_EQ(ReadBytes(output_.read.get(), 4), "two\n");
}

TEST_F(InteractiveTest, UnansweredDatagramsAreAnError) {
  Start(SocketPair(SOCK_DGRAM),
        {.datagrams = true, .patience = absl::Milliseconds(20)});
  WriteAll(input_.write.get(), "one\n");
  EXPECT_EQ(ReadBytes(server_.get(), 4), "one\n");
  input_.write.reset();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Finish())) << status_;
  EXPECT_TRUE(absl::StrContains(status_.message(), "1 of 1")) << status_;
}

TEST_F(InteractiveTest, DatagramsWithoutAnswersEndWithTheInput) {
  Start(SocketPair(SOCK_DGRAM), {.datagrams = true, .answers = false});
  WriteAll(input_.write.get(), "one\n");
  EXPECT_EQ(ReadBytes(server_.get(), 4), "one\n");
  input_.write.reset();
  EXPECT_TRUE(Finish().ok()) << status_;
}

}  // namespace
}  // namespace baton::loadgen
