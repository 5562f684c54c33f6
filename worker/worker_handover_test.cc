// What a worker does with its connections when it leaves, with those of another
// one, and what it says about itself to its master meanwhile.

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/connection_image.h"
#include "net/endpoint.h"
#include "net/fd_channel.h"
#include "net/task.h"
#include "net/unique_fd.h"
#include "worker/channel_messages.h"
#include "worker/handover_messages.h"
#include "worker/scoreboard.h"
#include "worker/settings.h"
#include "worker/worker.h"
#include "worker/worker_fixture.h"

namespace baton {
namespace {

// A request is a line: within it a connection can't move.
Task<> Lines(Connection conn) {
  while (true) {
    const ReadResult begin = co_await conn.Peek(1, {.idle = true});
    if (!begin) break;
    const ReadResult line = co_await conn.ReadUntil(
        "\n", 100, {.timeout = absl::InfiniteDuration()});
    if (!line || co_await conn.Write(*line) != IoError::kOk) break;
    conn.CountRequest();
  }
}

class WorkerHandoverTest : public WorkerTest {
 protected:
  WorkerHandoverTest() { services_.Stream("lines", Lines); }

  void StartServing(const WorkerSettings& settings = {}) {
    Start("lines", settings);
    Serve();
  }
  void StopAccepting() {
    Send(StopAcceptingMessage{});
    ASSERT_TRUE(Receive<AcceptStoppedMessage>());
  }
  // With a channel to another worker, which is this test.
  FdChannel HandOver(uint64_t round,
                     absl::Duration timeout = absl::InfiniteDuration()) {
    auto [here, there] = FdChannel::CreatePair().value();
    const int fd = there.fd();
    Send(HandOverMessage{round, timeout}, {&fd, 1});
    return std::move(here);
  }
  // The next message that is not about what keeps it, which may take a second.
  template <typename T>
  bool ReceiveAmongPins() {
    bool received = Receive<T>();
    while (std::holds_alternative<PinnedMessage>(last_) && !received)
      received = Receive<T>();
    return received;
  }

  struct Batch {
    HandoverHeader header;
    std::vector<HandoverConnection> connections;
    std::vector<UniqueFd> fds;
  };
  static Batch TakeBatch(FdChannel& channel) {
    CHECK(IsReadable(channel.fd()));
    FdChannel::Received received = channel.Receive();
    CHECK(received.code == FdChannel::ReceiveCode::kMessage);
    absl::string_view rest = received.bytes;
    const HandoverHeader header = TakeHandoverHeader(rest).value();
    return {header, DecodeBatch(header, rest).value(), std::move(received.fds)};
  }
  static void Answer(FdChannel& channel, const Batch& batch,
                     HandoverResult result) {
    const std::vector<HandoverResult> results(batch.connections.size(), result);
    CHECK(channel.Send(EncodeAnswer(batch.header.batch, results)).code ==
          FdChannel::SendCode::kSent);
  }
  static bool HasEnded(FdChannel& channel) {
    return IsReadable(channel.fd()) &&
           channel.Receive().code == FdChannel::ReceiveCode::kEof;
  }

  static void Say(const UniqueFd& client, absl::string_view text) {
    PCHECK(send(client.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size()));
  }
  // Whether it is answered with a line.
  static bool AnswersLine(const UniqueFd& client) {
    char bytes[100];
    return IsReadable(client.get()) &&
           recv(client.get(), bytes, sizeof(bytes), 0) > 0;
  }
  static bool EchoesLine(const UniqueFd& client) {
    Say(client, "x\n");
    return AnswersLine(client);
  }
};

TEST_F(WorkerHandoverTest, WithoutAnybodyToGoToItServesOnUntilTheLastOneEnds) {
  StartServing();
  UniqueFd client = Connect();
  EXPECT_TRUE(EchoesLine(client));
  StopAccepting();
  Send(HandOverMessage{.round = 1});
  EXPECT_TRUE(EchoesLine(client));
  EXPECT_TRUE(EchoesLine(client));
  client.reset();
  EXPECT_TRUE(ReceiveAmongPins<DrainedMessage>());
  EXPECT_EQ(last_, ChannelMessage(DrainedMessage{.connections_cut = 0}));
  EXPECT_EQ(Exit(), 0);
}

TEST_F(WorkerHandoverTest, WithoutConnectionsItEndsAtOnce) {
  StartServing();
  StopAccepting();
  Send(HandOverMessage{.round = 1});
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
}

TEST_F(WorkerHandoverTest, ItPassesWhatIsIdleSaysSoAndEnds) {
  StartServing();
  const UniqueFd first = Connect(), second = Connect();
  EXPECT_TRUE(EchoesLine(first) && EchoesLine(second));
  StopAccepting();
  FdChannel channel = HandOver(1);
  const Batch batch = TakeBatch(channel);
  ASSERT_EQ(batch.fds.size(), 2u);
  EXPECT_EQ(batch.connections[0].listener, url_.ToString());
  EXPECT_EQ(batch.connections[0].image.bytes_in, 2u);
  EXPECT_FALSE(IsReadable(channel_.fd(), 0)) << "not before it is answered";
  Answer(channel, batch, HandoverResult::kTaken);
  ASSERT_TRUE(ReceiveAmongPins<PassedMessage>());
  EXPECT_EQ(last_, ChannelMessage(PassedMessage{.left = 0}));
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
  EXPECT_EQ(view_->Read().handed_over, 2u);
  EXPECT_EQ(view_->Read().closed, 0u);
  // Its clients have not noticed.
  Say(batch.fds[0], "on");
  Say(batch.fds[1], "on");
  EXPECT_TRUE(AnswersLine(first) && AnswersLine(second));
}

TEST_F(WorkerHandoverTest, ItTellsHowManyAreLeftAndPassesThemWhenTheyAreIdle) {
  StartServing();
  const UniqueFd idle = Connect(), busy = Connect();
  EXPECT_TRUE(EchoesLine(idle) && EchoesLine(busy));
  Say(busy, "half a ");
  StopAccepting();
  FdChannel channel = HandOver(1);
  Batch batch = TakeBatch(channel);
  ASSERT_EQ(batch.fds.size(), 1u);
  Answer(channel, batch, HandoverResult::kTaken);
  ASSERT_TRUE(ReceiveAmongPins<PassedMessage>());
  EXPECT_EQ(last_, ChannelMessage(PassedMessage{.left = 1}));
  Say(busy, "line\n");
  EXPECT_TRUE(AnswersLine(busy));
  batch = TakeBatch(channel);
  Answer(channel, batch, HandoverResult::kTaken);
  EXPECT_TRUE(ReceiveAmongPins<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
}

TEST_F(WorkerHandoverTest, ABrokenHandoverIsToldAndTakenUpInANewRound) {
  StartServing();
  const UniqueFd client = Connect();
  EXPECT_TRUE(EchoesLine(client));
  StopAccepting();
  {
    FdChannel channel = HandOver(3);
    TakeBatch(channel);
    Say(client, "meanwhile\n");
  }
  ASSERT_TRUE(ReceiveAmongPins<HandoverBrokenMessage>());
  EXPECT_EQ(last_, ChannelMessage(HandoverBrokenMessage{.round = 3}));
  EXPECT_TRUE(AnswersLine(client)) << "it serves on";
  FdChannel channel = HandOver(4);
  Answer(channel, TakeBatch(channel), HandoverResult::kTaken);
  EXPECT_TRUE(ReceiveAmongPins<PassedMessage>());
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
}

TEST_F(WorkerHandoverTest, ChannelsOfOneRoundShareItsConnections) {
  StartServing();
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(Connect());
    EXPECT_TRUE(EchoesLine(clients.back()));
  }
  StopAccepting();
  auto [one, to_one] = FdChannel::CreatePair().value();
  auto [other, to_other] = FdChannel::CreatePair().value();
  const int fds[] = {to_one.fd(), to_other.fd()};
  Send(HandOverMessage{.round = 1}, fds);
  EXPECT_EQ(TakeBatch(one).fds.size(), 2u);
  EXPECT_EQ(TakeBatch(other).fds.size(), 2u);
}

TEST_F(WorkerHandoverTest, AHandoverForWhichNoDescriptorIsLeftIsBroken) {
  StartServing();
  const UniqueFd client = Connect();
  EXPECT_TRUE(EchoesLine(client));
  StopAccepting();
  const rlimit none = {3, 3};
  ASSERT_EQ(prlimit(pid_, RLIMIT_NOFILE, &none, nullptr), 0);
  FdChannel channel = HandOver(7);
  ASSERT_TRUE(ReceiveAmongPins<HandoverBrokenMessage>());
  EXPECT_EQ(last_, ChannelMessage(HandoverBrokenMessage{.round = 7}));
  EXPECT_TRUE(HasEnded(channel));
  EXPECT_TRUE(EchoesLine(client));
}

TEST_F(WorkerHandoverTest, TheLastMessageIsTheLastOneThen) {
  StartServing();
  StopAccepting();
  const rlimit none = {3, 3};
  ASSERT_EQ(prlimit(pid_, RLIMIT_NOFILE, &none, nullptr), 0);
  const FdChannel channel = HandOver(7);
  EXPECT_TRUE(Receive<HandoverBrokenMessage>());
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
}

TEST_F(WorkerHandoverTest, ADrainEndsWhatNobodyHasTaken) {
  StartServing();
  const UniqueFd on_its_way = Connect(), refused = Connect();
  EXPECT_TRUE(EchoesLine(on_its_way) && EchoesLine(refused));
  StopAccepting();
  FdChannel channel = HandOver(1);
  const Batch batch = TakeBatch(channel);
  ASSERT_EQ(batch.fds.size(), 2u);
  Send(DrainMessage{});
  CHECK(channel
            .Send(EncodeAnswer(batch.header.batch, {HandoverResult::kTaken,
                                                    HandoverResult::kRefused}))
            .code == FdChannel::SendCode::kSent);
  EXPECT_TRUE(ReceiveAmongPins<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
  EXPECT_EQ(view_->Read().handed_over, 1u);
  EXPECT_EQ(view_->Read().closed, 1u);
}

// The server stops: there is nobody to go to.
TEST_F(WorkerHandoverTest, AHandoverAfterADrainIsNone) {
  StartServing();
  const UniqueFd client = Connect();
  EXPECT_TRUE(EchoesLine(client));
  Say(client, "half a ");
  StopAccepting();
  Send(DrainMessage{});
  FdChannel channel = HandOver(1);
  EXPECT_TRUE(HasEnded(channel));
  Say(client, "line\n");
  EXPECT_TRUE(AnswersLine(client));
  EXPECT_TRUE(Receive<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
}

TEST_F(WorkerHandoverTest, WhatIsLeftWhenTheTimeIsOverIsCut) {
  StartServing();
  const UniqueFd idle = Connect(), busy = Connect();
  EXPECT_TRUE(EchoesLine(idle) && EchoesLine(busy));
  Say(busy, "half a ");
  StopAccepting();
  Send(HandOverMessage{.round = 1, .timeout = absl::Milliseconds(50)});
  EXPECT_TRUE(ReceiveAmongPins<DrainedMessage>());
  EXPECT_EQ(last_, ChannelMessage(DrainedMessage{.connections_cut = 1}));
  EXPECT_TRUE(IsClosed(idle) && IsClosed(busy));
  EXPECT_EQ(Exit(), 0);
}

// The time counts from the first order to go.
TEST_F(WorkerHandoverTest, ALaterRoundDoesNotProlongTheTime) {
  StartServing();
  const UniqueFd busy = Connect();
  Say(busy, "half a ");
  StopAccepting();
  Send(HandOverMessage{.round = 1, .timeout = absl::Milliseconds(50)});
  Send(HandOverMessage{.round = 2, .timeout = absl::InfiniteDuration()});
  EXPECT_TRUE(ReceiveAmongPins<DrainedMessage>());
  EXPECT_EQ(Exit(), 0);
}

// Another worker has it, or will have: it is no loss.
TEST_F(WorkerHandoverTest, ACutSparesWhatIsOnItsWay) {
  StartServing();
  const UniqueFd client = Connect();
  EXPECT_TRUE(EchoesLine(client));
  StopAccepting();
  FdChannel channel = HandOver(1, absl::Milliseconds(50));
  const Batch batch = TakeBatch(channel);
  ASSERT_TRUE(ReceiveAmongPins<DrainedMessage>());
  EXPECT_EQ(last_, ChannelMessage(DrainedMessage{.connections_cut = 0}));
  EXPECT_EQ(Exit(), 0);
  Say(batch.fds[0], "on");
  EXPECT_TRUE(AnswersLine(client));
}

TEST_F(WorkerHandoverTest, WhatKeepsItIsToldWhenItChanges) {
  StartServing();
  UniqueFd older = Connect();
  EXPECT_TRUE(EchoesLine(older));
  const UniqueFd younger = Connect();
  EXPECT_TRUE(EchoesLine(younger));
  StopAccepting();
  Send(HandOverMessage{.round = 1});
  ASSERT_TRUE(Receive<PinnedMessage>());
  const PinnedMessage two = std::get<PinnedMessage>(last_);
  EXPECT_EQ(two.connections, 2u);
  EXPECT_EQ(two.service, "lines");
  EXPECT_GT(two.oldest_age, absl::Milliseconds(900));
  older.reset();
  ASSERT_TRUE(Receive<PinnedMessage>());
  const PinnedMessage one = std::get<PinnedMessage>(last_);
  EXPECT_EQ(one.connections, 1u);
  EXPECT_EQ(one.peer, Endpoint::LocalOf(younger.get())->ToString());
}

// --- the other end

TEST_F(WorkerHandoverTest, ItServesWhatItTakesOver) {
  StartServing();
  auto [here, there] = FdChannel::CreatePair().value();
  const int fd = there.fd();
  Send(TakeOverMessage{.expected = 1}, {&fd, 1});
  int ends[2];
  PCHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  UniqueFd passed(ends[0]);
  const UniqueFd client(ends[1]);
  HandoverBatch batch(1);
  ConnectionImage image;
  image.unread = "left ";
  ASSERT_TRUE(batch.Add(url_.ToString(), image, FdChannel::kMaxMessageBytes));
  const int passed_fd = passed.get();
  CHECK(here.Send(batch.Message(), {&passed_fd, 1}).code ==
        FdChannel::SendCode::kSent);
  ASSERT_TRUE(IsReadable(here.fd()));
  passed.reset();
  Say(client, "over\n");
  ASSERT_TRUE(IsReadable(client.get()));
  char line[100] = {};
  EXPECT_EQ(recv(client.get(), line, sizeof(line), 0), 10);
  EXPECT_STREQ(line, "left over\n");
  EXPECT_EQ(view_->Read().received, 1u);
  EXPECT_EQ(view_->Read().connections, 1u);
  // And passes it on in its turn.
  StopAccepting();
  FdChannel next = HandOver(1);
  EXPECT_EQ(TakeBatch(next).connections[0].image.bytes_in, 5u);
}

TEST_F(WorkerHandoverTest, OneThatLeavesTakesNothingOver) {
  StartServing();
  auto [before, to_before] = FdChannel::CreatePair().value();
  int fd = to_before.fd();
  Send(TakeOverMessage{.expected = 1}, {&fd, 1});
  to_before = FdChannel();
  const UniqueFd client = Connect();
  EXPECT_TRUE(EchoesLine(client));
  StopAccepting();
  Send(HandOverMessage{.round = 1});
  EXPECT_TRUE(HasEnded(before));
  auto [after, to_after] = FdChannel::CreatePair().value();
  fd = to_after.fd();
  Send(TakeOverMessage{.expected = 1}, {&fd, 1});
  to_after = FdChannel();
  EXPECT_TRUE(HasEnded(after));
  EXPECT_TRUE(EchoesLine(client));
}

// --- recycling

TEST_F(WorkerHandoverTest, AfterSoManyRequestsItAsksOnceToBeRecycled) {
  WorkerSettings settings;
  settings.max_requests = 100;
  StartServing(settings);
  const UniqueFd client = Connect();
  for (int i = 0; i < 99; ++i) ASSERT_TRUE(EchoesLine(client));
  EXPECT_FALSE(IsReadable(channel_.fd(), 0)) << "too early";
  // A request is counted at the end of its turn: this one's turn follows.
  for (int i = 99; i < 111; ++i) ASSERT_TRUE(EchoesLine(client));
  ASSERT_TRUE(IsReadable(channel_.fd(), 0)) << "too late";
  EXPECT_TRUE(Receive<RecycleMeMessage>());
  for (int i = 0; i < 250; ++i) ASSERT_TRUE(EchoesLine(client));
  EXPECT_FALSE(IsReadable(channel_.fd(), 0)) << "told twice";
}

}  // namespace
}  // namespace baton
