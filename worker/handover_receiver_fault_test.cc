// Senders that lie, or whose connections this worker can't have.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/fd_channel.h"
#include "net/open_fds.h"
#include "net/testing/descriptor_limit.h"
#include "net/unique_fd.h"
#include "worker/handover_messages.h"
#include "worker/handover_receiver.h"
#include "worker/handover_receiver_fixture.h"

namespace baton {
namespace {

using testing::DescriptorLimit;

constexpr HandoverResult kTaken = HandoverResult::kTaken;
constexpr HandoverResult kLater = HandoverResult::kLater;
constexpr HandoverResult kRefused = HandoverResult::kRefused;

TEST_F(HandoverReceiverTest, WithoutRoomForDescriptorsAllOfThemComeLater) {
  Start();
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(Unix());
  const auto next = static_cast<rlim_t>(UniqueFd(dup(0)).get());
  const size_t open = OpenFds()->size();
  for (const rlim_t room : {0u, 1u, 2u}) {
    Send(BatchOf(3).Message(), Sockets(clients));
    {
      const DescriptorLimit limit(next + room);
      Settle();
    }
    EXPECT_EQ(Answer(), Results(3, kLater)) << "room for " << room;
    EXPECT_EQ(OpenFds()->size(), open) << "room for " << room;
  }
  EXPECT_EQ(received(), 0u);
  Send(BatchOf(3).Message(), Sockets(clients));
  EXPECT_EQ(Answer(), Results(3, kTaken)) << "now there is";
}

TEST_F(HandoverReceiverTest, ABatchThatThisBuildCantReadIsRefusedAsAWhole) {
  Start();
  const Client client = Unix();
  std::string message = BatchOf(2).Message().substr(0, 18) + "in some new way";
  message[2] = message[4] = 3;
  Send(message, {client.socket.get()});
  EXPECT_EQ(Answer(), Results(2, kRefused));
  // Also if it looks like something: it means something else.
  message = BatchOf(1).Message();
  message[2] = message[4] = 3;
  Send(message, {client.socket.get()});
  EXPECT_EQ(Answer(), Results{kRefused});
  EXPECT_EQ(received(), 0u);
  Send(BatchOf(1).Message(), {client.socket.get()});
  EXPECT_EQ(Answer(), Results{kTaken}) << "the channel is as good as before";
}

TEST_F(HandoverReceiverTest, AnUnreadableStateIsRefusedAndLeavesNothing) {
  Start();
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(Unix());
  HandoverBatch batch(77);
  const ConnectionImage readable = ImageWithState(3, "a");
  const ConnectionImage later = ImageWithState(4, "b");
  for (const ConnectionImage& image : {readable, later}) {
    ASSERT_TRUE(batch.Add(kLoginUrl, image, FdChannel::kMaxMessageBytes));
  }
  // And one with a state for a service that has none.
  ASSERT_TRUE(batch.Add(kEchoUrl, readable, FdChannel::kMaxMessageBytes));
  Send(batch.Message(), Sockets(clients));
  EXPECT_EQ(Answer(), (Results{kTaken, kRefused, kRefused}));
  EXPECT_EQ(table_.open(), 1u);
  EXPECT_EQ(limits_->total(), 1);
  EXPECT_EQ(Ask(clients[1].peer, "x"), "");
  EXPECT_EQ(Ask(clients[2].peer, "x"), "");
  EXPECT_EQ(loop_->stale_events(), 0u) << "it is in epoll still";
  EXPECT_EQ(Ask(clients[0].peer, "x"), "x a");
}

TEST_F(HandoverReceiverTest, ADescriptorThatCantBeWaitedForIsRefused) {
  Start();
  const Client client = Unix();
  const UniqueFd file(memfd_create("no socket", MFD_CLOEXEC));
  PCHECK(fcntl(file.get(), F_SETFL, O_NONBLOCK) == 0);
  Send(BatchOf(2).Message(), {file.get(), client.socket.get()});
  EXPECT_EQ(Answer(), (Results{kRefused, kTaken}));
  EXPECT_EQ(Ask(client.peer, "x"), "x");
  EXPECT_EQ(limits_->total(), 1);
}

TEST_F(HandoverReceiverTest, ASocketThatBlocksIsRefused) {
  Start();
  const Client client = Unix();
  PCHECK(fcntl(client.socket.get(), F_SETFL, 0) == 0);
  Send(BatchOf(1).Message(), {client.socket.get()});
  EXPECT_EQ(Answer(), Results{kRefused});
}

TEST_F(HandoverReceiverTest, TooFewDescriptorsEndTheChannel) {
  Start();
  const Client client = Unix();
  const size_t open = OpenFds()->size();
  Send(BatchOf(2).Message(), {client.socket.get()});
  EXPECT_TRUE(ChannelHasEnded());
  EXPECT_EQ(received(), 0u);
  EXPECT_EQ(OpenFds()->size(), open - 1) << "its end of the channel";
}

TEST_F(HandoverReceiverTest, TooManyDescriptorsEndTheChannel) {
  Start();
  const Client client = Unix();
  Send(BatchOf(1).Message(), {client.socket.get(), client.socket.get()});
  EXPECT_TRUE(ChannelHasEnded());
  EXPECT_EQ(received(), 0u);
}

TEST_F(HandoverReceiverTest, GarbageEndsTheChannel) {
  Start();
  Send("garbage", {});
  EXPECT_TRUE(ChannelHasEnded());
}

TEST_F(HandoverReceiverTest, GarbageBehindAHeaderIsRefused) {
  Start();
  const Client client = Unix();
  Send(BatchOf(1).Message().substr(0, 18) + "garbage", {client.socket.get()});
  EXPECT_EQ(Answer(), Results{kRefused});
  std::string message = BatchOf(1).Message();
  message.pop_back();
  Send(message, {client.socket.get()});
  EXPECT_EQ(Answer(), Results{kRefused});
  EXPECT_EQ(received(), 0u);
}

// No answer would fit.
TEST_F(HandoverReceiverTest, MoreConnectionsThanAMessageHasEndTheChannel) {
  Start();
  std::string message = BatchOf(1).Message();
  message.replace(14, 4, "\xff\xff\xff\x7f");
  Send(message, {});
  EXPECT_TRUE(ChannelHasEnded());
}

TEST_F(HandoverReceiverTest, AnAnswerEndsTheChannel) {
  Start();
  Send(EncodeAnswer(77, {}), {});
  EXPECT_TRUE(ChannelHasEnded());
}

TEST_F(HandoverReceiverTest, AnAnswerThatLooksLikeABatchEndsTheChannel) {
  Start();
  const Client client = Unix();
  std::string message = BatchOf(1).Message();
  message[0] = 3;
  Send(message, {client.socket.get()});
  EXPECT_TRUE(ChannelHasEnded());
  EXPECT_EQ(received(), 0u);
}

UniqueFd FileOf(absl::string_view bytes) {
  UniqueFd file(memfd_create("batch", MFD_CLOEXEC));
  PCHECK(write(file.get(), bytes.data(), bytes.size()) ==
         static_cast<ssize_t>(bytes.size()));
  return file;
}

// --- in the middle of a file

class UnsentFileTest : public HandoverReceiverTest {
 protected:
  UnsentFileTest() { Start(); }

  static ConnectionImage RestOf(uint64_t offset, uint64_t size) {
    ConnectionImage image;
    image.file = FileRest{.offset = offset, .size = size};
    return image;
  }
  void ExpectRefused(const ConnectionImage& image, int file) {
    const Client good = Unix();
    HandoverBatch batch(77);
    for (const ConnectionImage& each : {image, RestOf(2, 5)})
      ASSERT_TRUE(batch.Add(kFilesUrl, each, FdChannel::kMaxMessageBytes));
    const size_t open = OpenFds()->size();
    Send(batch.Message(),
         {client_.socket.get(), file, good.socket.get(), file_.get()});
    EXPECT_EQ(Answer(), (Results{kRefused, kTaken}));
    EXPECT_EQ(Ask(good.peer, ""), "23456");
    EXPECT_EQ(OpenFds()->size(), open + 1) << "its socket";
    EXPECT_EQ(Ask(client_.peer, "x"), "");
    EXPECT_EQ(loop_->stale_events(), 0u);
  }

  const Client client_ = Unix();
  const UniqueFd file_ = FileOf("0123456789");
};

TEST_F(UnsentFileTest, IsGoneOnWith) {
  HandoverBatch batch(77);
  ConnectionImage image = RestOf(3, 4);
  image.unread = "left over";
  ASSERT_TRUE(batch.Add(kFilesUrl, image, FdChannel::kMaxMessageBytes));
  Send(batch.Message(), {client_.socket.get(), file_.get()});
  EXPECT_EQ(Answer(), Results{kTaken});
  EXPECT_EQ(Ask(client_.peer, ""), "3456left over");
  EXPECT_EQ(Ask(client_.peer, "x"), "x");
}

TEST_F(UnsentFileTest, OfABatchInAFileIsGoneOnWith) {
  HandoverBatch batch(77);
  ConnectionImage image = RestOf(3, 4);
  image.unread = std::string(100'000, 'u');
  ASSERT_TRUE(batch.Add(kFilesUrl, image, FdChannel::kMaxMessageBytes));
  const UniqueFd rest = FileOf(batch.rest());
  Send(batch.MessageForFile(), {client_.socket.get(), file_.get(), rest.get()});
  EXPECT_EQ(Answer(), Results{kTaken});
  EXPECT_EQ(Ask(client_.peer, "").substr(0, 6), "3456uu");
}

TEST_F(UnsentFileTest, WithNumbersOfNoFileIsRefused) {
  ExpectRefused(RestOf(~uint64_t{0}, 2), file_.get());
}

TEST_F(UnsentFileTest, OfNoFileIsRefused) {
  const Client other = Unix();
  ExpectRefused(RestOf(0, 1), other.socket.get());
}

TEST_F(UnsentFileTest, WithoutADescriptorEndsTheChannel) {
  HandoverBatch batch(77);
  ASSERT_TRUE(batch.Add(kFilesUrl, RestOf(0, 1), FdChannel::kMaxMessageBytes));
  Send(batch.Message(), {client_.socket.get()});
  EXPECT_TRUE(ChannelHasEnded());
  EXPECT_EQ(received(), 0u);
}

TEST_F(UnsentFileTest, WithoutRoomForItComesLater) {
  HandoverBatch batch(77);
  ASSERT_TRUE(batch.Add(kFilesUrl, RestOf(3, 4), FdChannel::kMaxMessageBytes));
  const auto next = static_cast<rlim_t>(UniqueFd(dup(0)).get());
  const size_t open = OpenFds()->size();
  Send(batch.Message(), {client_.socket.get(), file_.get()});
  {
    const DescriptorLimit limit(next + 1);
    Settle();
  }
  EXPECT_EQ(Answer(), Results{kLater});
  EXPECT_EQ(OpenFds()->size(), open);
  Send(batch.Message(), {client_.socket.get(), file_.get()});
  EXPECT_EQ(Answer(), Results{kTaken});
}

// The last descriptors are not for clients, nor for their files.
TEST_F(HandoverReceiverTest, AFileThatTakesOneOfTheLastDescriptorsComesLater) {
  most_connections_ = UniqueFd(dup(0)).get();
  Start();
  const Client client = Unix();
  const UniqueFd file = FileOf("0123456789");
  ConnectionImage image;
  image.file = FileRest{.offset = 3, .size = 4};
  Send(BatchOf(1, image, kFilesUrl).Message(),
       {client.socket.get(), file.get()});
  EXPECT_EQ(Answer(), Results{kLater});
}

// --- batches in files

class BatchInFileTest : public HandoverReceiverTest {
 protected:
  BatchInFileTest() { Start(); }

  // Refused, and the channel is as good as before.
  void ExpectRefused(int file) {
    Send(batch_.MessageForFile(), {client_.socket.get(), file});
    EXPECT_EQ(Answer(), Results{kRefused});
    EXPECT_EQ(received(), 0u);
    Send(BatchOf(1).Message(), {client_.socket.get()});
    EXPECT_EQ(Answer(), Results{kTaken});
  }

  const Client client_ = Unix();
  const HandoverBatch batch_ =
      BatchOf(1, ImageWithState(3, std::string(100'000, 's')), kLoginUrl);
};

TEST_F(BatchInFileTest, IsTaken) {
  const UniqueFd file = FileOf(batch_.rest());
  const size_t open = OpenFds()->size();
  Send(batch_.MessageForFile(), {client_.socket.get(), file.get()});
  EXPECT_EQ(Answer(), Results{kTaken});
  EXPECT_EQ(Ask(client_.peer, "x").substr(0, 5), "x sss");
  EXPECT_EQ(OpenFds()->size(), open + 1) << "the file is open still";
}

TEST_F(BatchInFileTest, ThatIsCutIsRefused) {
  absl::string_view rest = batch_.rest();
  rest.remove_suffix(1);
  ExpectRefused(FileOf(rest).get());
}

TEST_F(BatchInFileTest, ThatIsLongerThanMemoryIsRefused) {
  const UniqueFd file = FileOf("");
  PCHECK(ftruncate(file.get(), off_t{1} << 40) == 0);
  ExpectRefused(file.get());
}

TEST_F(BatchInFileTest, ThatIsNoFileIsRefused) {
  const Client other = Unix();
  ExpectRefused(other.socket.get());
}

TEST_F(BatchInFileTest, WithoutAFileIsRefused) {
  Send(batch_.MessageForFile(), {});
  EXPECT_EQ(Answer(), Results{kRefused});
}

TEST_F(BatchInFileTest, WithoutConnectionsEndsTheChannel) {
  const UniqueFd file = FileOf(batch_.rest());
  Send(batch_.MessageForFile(), {file.get()});
  EXPECT_TRUE(ChannelHasEnded());
  EXPECT_EQ(received(), 0u);
}

}  // namespace
}  // namespace baton
