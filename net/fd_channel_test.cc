#include "net/fd_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/open_fds.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

using ReceiveCode = FdChannel::ReceiveCode;
using SendCode = FdChannel::SendCode;

class FdChannelTest : public testing::Test {
 protected:
  FdChannelTest() {
    auto pair = FdChannel::CreatePair();
    EXPECT_TRUE(pair.ok()) << pair.status();
    a_ = std::move(pair->first);
    b_ = std::move(pair->second);
  }

  void ExpectSent(absl::string_view bytes, absl::Span<const int> fds = {}) {
    const FdChannel::SendResult result = a_.Send(bytes, fds);
    EXPECT_EQ(result.code, SendCode::kSent) << result.errnum;
  }

  FdChannel a_;
  FdChannel b_;
};

UniqueFd OpenNull() {
  return UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

bool SameFile(int a, int b) {
  struct stat stat_a, stat_b;
  return fstat(a, &stat_a) == 0 && fstat(b, &stat_b) == 0 &&
         stat_a.st_dev == stat_b.st_dev && stat_a.st_ino == stat_b.st_ino;
}

size_t CountOpenFds() { return OpenFds().value().size(); }

// While it lives, this process can open `room` more descriptors and no others.
class RoomForFds {
 public:
  explicit RoomForFds(int room) {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &saved_), 0);
    std::vector<UniqueFd> taken;
    for (int i = 0; i < room; ++i) taken.push_back(OpenNull());
    const int highest = taken.back().get();
    // They got the lowest free numbers, so that these are the only ones below.
    rlimit limit = saved_;
    limit.rlim_cur = static_cast<rlim_t>(highest) + 1;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  ~RoomForFds() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &saved_), 0); }

 private:
  rlimit saved_;
};

TEST_F(FdChannelTest, EndsAreNonBlockingAndCloseOnExec) {
  for (const int fd : {a_.fd(), b_.fd()}) {
    EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
    EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  }
  EXPECT_FALSE(FdChannel());
  EXPECT_EQ(FdChannel().fd(), -1);
}

TEST_F(FdChannelTest, NothingThereIsNotTheEnd) {
  EXPECT_EQ(b_.Receive().code, ReceiveCode::kAgain);
  a_ = FdChannel();
  EXPECT_EQ(b_.Receive().code, ReceiveCode::kEof);
  EXPECT_EQ(b_.Receive().code, ReceiveCode::kEof);
  EXPECT_EQ(b_.Send("x").code, SendCode::kEof);
}

TEST_F(FdChannelTest, MessagesStayWholeAndInOrder) {
  ExpectSent("one");
  ExpectSent(absl::string_view("t\0o", 3));
  FdChannel::Received received = b_.Receive();
  EXPECT_EQ(received.code, ReceiveCode::kMessage);
  EXPECT_EQ(received.bytes, "one");
  EXPECT_TRUE(received.fds.empty());
  received = b_.Receive();
  EXPECT_EQ(received.bytes, absl::string_view("t\0o", 3));
  EXPECT_EQ(b_.Receive().code, ReceiveCode::kAgain);
}

TEST_F(FdChannelTest, LongestMessage) {
  std::string longest(FdChannel::kMaxMessageBytes, 'x');
  longest.back() = 'y';
  ExpectSent(longest);
  const FdChannel::Received received = b_.Receive();
  EXPECT_EQ(received.code, ReceiveCode::kMessage);
  EXPECT_EQ(received.bytes, longest);
}

TEST_F(FdChannelTest, BytesOutliveAMoveOfTheChannel) {
  ExpectSent("kept");
  const FdChannel::Received received = b_.Receive();
  const FdChannel moved = std::move(b_);
  EXPECT_EQ(received.bytes, "kept");
}

TEST_F(FdChannelTest, DescriptorsArriveAsOwnedCopies) {
  UniqueFd null = OpenNull();
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  const UniqueFd reader(pipe_ends[0]);
  UniqueFd writer(pipe_ends[1]);
  ExpectSent("two", {null.get(), writer.get()});
  ExpectSent("none");
  // The message in the queue holds them open.
  writer.reset();
  FdChannel::Received received = b_.Receive();
  EXPECT_EQ(received.code, ReceiveCode::kMessage);
  ASSERT_EQ(received.fds.size(), 2u);
  EXPECT_TRUE(SameFile(received.fds[0].get(), null.get()));
  EXPECT_NE(received.fds[0].get(), null.get());
  EXPECT_TRUE(fcntl(received.fds[1].get(), F_GETFD) & FD_CLOEXEC);
  EXPECT_EQ(write(received.fds[1].get(), "p", 1), 1);
  received.fds.clear();
  char byte;
  EXPECT_EQ(read(reader.get(), &byte, 1), 1);
  EXPECT_EQ(read(reader.get(), &byte, 1), 0) << "a copy leaked";
  EXPECT_EQ(b_.Receive().bytes, "none");
}

TEST_F(FdChannelTest, MostDescriptorsInOneMessage) {
  const UniqueFd null = OpenNull();
  const std::vector<int> most(FdChannel::kMaxFds, null.get());
  ExpectSent("most", most);
  const FdChannel::Received received = b_.Receive();
  EXPECT_EQ(received.code, ReceiveCode::kMessage);
  EXPECT_EQ(received.fds.size(), FdChannel::kMaxFds);
}

TEST_F(FdChannelTest, DescriptorsThatDoNotFitMakeTheMessageTruncated) {
  const UniqueFd null = OpenNull();
  const std::vector<int> five(5, null.get());
  ExpectSent("batch 7", five);
  const size_t before = CountOpenFds();
  FdChannel::Received received;
  {
    const RoomForFds room(2);
    received = b_.Receive();
  }
  EXPECT_EQ(received.code, ReceiveCode::kTruncated);
  EXPECT_EQ(received.bytes, "batch 7");
  EXPECT_TRUE(received.fds.empty());
  EXPECT_EQ(CountOpenFds(), before) << "the two that fitted leaked";
  // The channel goes on.
  ExpectSent("next", {null.get()});
  EXPECT_EQ(b_.Receive().fds.size(), 1u);
}

TEST_F(FdChannelTest, BytesThatDoNotFitMakeTheMessageTruncated) {
  // No FdChannel sends that; a peer that was taken over could.
  const std::string longer(FdChannel::kMaxMessageBytes + 1, 'x');
  ASSERT_EQ(send(a_.fd(), longer.data(), longer.size(), 0),
            static_cast<ssize_t>(longer.size()));
  const FdChannel::Received received = b_.Receive();
  EXPECT_EQ(received.code, ReceiveCode::kTruncated);
  EXPECT_EQ(received.bytes.size(), FdChannel::kMaxMessageBytes);
  EXPECT_EQ(b_.Receive().code, ReceiveCode::kAgain);
}

TEST_F(FdChannelTest, FullQueueIsAgainAndLosesNothing) {
  const std::string bytes(10000, 'x');
  const UniqueFd null = OpenNull();
  int sent = 0;
  FdChannel::SendResult result;
  while ((result = a_.Send(bytes, {null.get()})).code == SendCode::kSent) {
    ++sent;
  }
  EXPECT_EQ(result.code, SendCode::kAgain);
  ASSERT_GT(sent, 0);
  int received = 0;
  while (b_.Receive().code == ReceiveCode::kMessage) ++received;
  EXPECT_EQ(received, sent);
  EXPECT_EQ(a_.Send(bytes).code, SendCode::kSent);
}

TEST_F(FdChannelTest, LastWordsOfADeadPeerAreReceivedBeforeTheEnd) {
  ExpectSent("last words");
  // It dies with mail unread: the kernel reports that as ECONNRESET, and
  // before what it had said.
  EXPECT_EQ(b_.Send("never read").code, SendCode::kSent);
  a_ = FdChannel();
  const FdChannel::Received received = b_.Receive();
  EXPECT_EQ(received.code, ReceiveCode::kMessage);
  EXPECT_EQ(received.bytes, "last words");
  EXPECT_EQ(b_.Receive().code, ReceiveCode::kEof);
}

TEST_F(FdChannelTest, ReceiverThatDiesClosesWhatItHadNotTaken) {
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd reader(pipe_ends[0]);
  UniqueFd writer(pipe_ends[1]);
  ExpectSent("x", {writer.get()});
  writer.reset();
  char byte;
  EXPECT_EQ(read(reader.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  b_ = FdChannel();
  EXPECT_EQ(read(reader.get(), &byte, 1), 0);
}

TEST_F(FdChannelTest, BadDescriptorIsAnErrorNotACrash) {
  const FdChannel::SendResult result = a_.Send("x", {-1});
  EXPECT_EQ(result.code, SendCode::kError);
  EXPECT_EQ(result.errnum, EBADF);
  EXPECT_EQ(b_.Receive().code, ReceiveCode::kAgain);
}

TEST(FdChannelPairTest, NoDescriptorsLeftIsAStatus) {
  const RoomForFds room(1);
  const auto pair = FdChannel::CreatePair();
  ASSERT_FALSE(pair.ok());
  EXPECT_EQ(pair.status().message(),
            "socketpair: Too many open files (EMFILE)");
}

using FdChannelDeathTest = FdChannelTest;

// A user without privileges may have no more descriptors in flight than its
// RLIMIT_NOFILE, over all processes and channels - unix(7), ETOOMANYREFS.
TEST_F(FdChannelDeathTest, TooManyDescriptorsInFlightIsLater) {
  const auto fill = [this] {
    constexpr uid_t kNobody = 65534;
    (void)setresuid(kNobody, kNobody, kNobody);  // fails if not root: as good
    const rlimit limit = {64, 64};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) _exit(2);
    const std::vector<int> many(50, a_.fd());
    for (int i = 0; i < 3; ++i) {
      const FdChannel::SendResult result = a_.Send("x", many);
      if (result.code == SendCode::kSent) continue;
      _exit(result.code == SendCode::kLater && result.errnum == ETOOMANYREFS
                ? 0
                : 3);
    }
    _exit(4);
  };
  EXPECT_EXIT(fill(), testing::ExitedWithCode(0), "");
}

TEST_F(FdChannelDeathTest, WhatCannotBeSentIsABug) {
  const std::vector<int> too_many(FdChannel::kMaxFds + 1, 0);
  EXPECT_DEATH((void)a_.Send("x", too_many), "254");
  EXPECT_DEATH((void)a_.Send(""), "reads as the end");
  const std::string too_long(FdChannel::kMaxMessageBytes + 1, 'x');
  EXPECT_DEATH((void)a_.Send(too_long), "65537");
  EXPECT_DEATH((void)FdChannel().Send("x"), "does not exist");
  EXPECT_DEATH((void)FdChannel().Receive(), "does not exist");
}

}  // namespace
}  // namespace baton
