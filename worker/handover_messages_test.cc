#include "worker/handover_messages.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/wire.h"

namespace baton {
namespace {

constexpr size_t kMuch = 64 * 1024;
constexpr absl::string_view kEcho = "echo://127.0.0.1:7007";
constexpr absl::string_view kChat = "chat+unix:///run/chat";

ConnectionImage ImageOf(absl::string_view unread) {
  ConnectionImage image;
  image.unread = std::string(unread);
  image.bytes_in = unread.size();
  image.idle_left = absl::Seconds(7);
  return image;
}

struct Decoded {
  HandoverHeader header;
  absl::StatusOr<std::vector<HandoverConnection>> connections;
};

Decoded Decode(absl::string_view message) {
  const HandoverHeader header = TakeHandoverHeader(message).value();
  return {header, DecodeBatch(header, message)};
}

TEST(HandoverMessagesTest, ConnectionsOfSeveralListeners) {
  HandoverBatch batch(0x0102030405060708);
  const std::vector<absl::string_view> listeners = {kEcho, kEcho, kChat, "",
                                                    kEcho};
  for (size_t i = 0; i < listeners.size(); ++i)
    ASSERT_TRUE(batch.Add(listeners[i], ImageOf(absl::StrCat(i)), kMuch));
  EXPECT_EQ(batch.number(), 0x0102030405060708u);
  EXPECT_EQ(batch.message_bytes(), batch.Message().size());
  const Decoded decoded = Decode(batch.Message());
  EXPECT_EQ(decoded.header.type, HandoverHeader::Type::kBatch);
  EXPECT_EQ(decoded.header.batch, 0x0102030405060708u);
  EXPECT_EQ(decoded.header.connections, listeners.size());
  EXPECT_TRUE(decoded.header.readable());
  ASSERT_TRUE(decoded.connections.ok()) << decoded.connections.status();
  for (size_t i = 0; i < listeners.size(); ++i) {
    EXPECT_EQ((*decoded.connections)[i].listener, listeners[i]);
    EXPECT_EQ((*decoded.connections)[i].image, ImageOf(absl::StrCat(i)));
  }
}

// Workers of another build read these bytes, and all builds the first 18.
TEST(HandoverMessagesTest, TheWireFormatIsPinned) {
  HandoverBatch batch(0x2a);
  ASSERT_TRUE(batch.Add("e", ConnectionImage(), kMuch));
  std::string image;
  AppendImage(image, ConnectionImage());
  EXPECT_EQ(batch.Message(),
            std::string("\x01\0\x02\0\x01\0\x2a\0\0\0\0\0\0\0\x01\0\0\0"
                        "\x01\x01\0\0\0e"
                        "\x02",
                        18 + 6 + 1) +
                image);
  EXPECT_EQ(EncodeAnswer(0x2b, {{HandoverResult::kTaken, HandoverResult::kLater,
                                 HandoverResult::kRefused}}),
            std::string("\x03\0\x02\0\x01\0\x2b\0\0\0\0\0\0\0\x03\0\0\0"
                        "\0\x01\x02",
                        18 + 3));
}

ConnectionImage ImageWithFile(uint64_t offset, uint64_t size) {
  ConnectionImage image;
  image.file = FileRest{.offset = offset, .size = size};
  return image;
}

// Version 1 knew nothing of them, and would take the descriptor of the first
// file for the second connection.
TEST(HandoverMessagesTest, ABatchWithFilesIsNothingForVersion1) {
  HandoverBatch batch(0x2a);
  ASSERT_TRUE(batch.Add(kEcho, ImageWithFile(3, 4), kMuch));
  ASSERT_TRUE(batch.Add(kEcho, ImageWithFile(5, ~uint64_t{0}), kMuch));
  for (const std::string& message : {batch.Message(), batch.MessageForFile()}) {
    EXPECT_EQ(message.substr(2, 4), std::string("\x02\0\x02\0", 4));
  }
  const Decoded decoded = Decode(batch.Message());
  EXPECT_EQ(decoded.header.oldest_reader, 2);
  EXPECT_TRUE(decoded.header.readable());
  ASSERT_TRUE(decoded.connections.ok()) << decoded.connections.status();
  EXPECT_EQ((*decoded.connections)[0].image, ImageWithFile(3, 4));
  EXPECT_EQ((*decoded.connections)[1].image, ImageWithFile(5, ~uint64_t{0}));
  EXPECT_EQ(DescriptorsOf(*decoded.connections), 4u);
  EXPECT_EQ(DescriptorsOf({{"", ImageWithFile(1, 1)}, {"", ImageOf("1")}}), 3u);
}

TEST(HandoverMessagesDeathTest, FilesAndNoneDoNotGoTogether) {
  HandoverBatch batch(1);
  ASSERT_TRUE(batch.Add(kEcho, ImageWithFile(3, 4), kMuch));
  EXPECT_DEATH(batch.Add(kEcho, ImageOf("1"), kMuch), "files_");
}

TEST(HandoverMessagesTest, OneThatDoesNotFitIsLeftOut) {
  HandoverBatch small(1);
  ASSERT_TRUE(small.Add(kEcho, ImageOf("1"), kMuch));
  const size_t one = small.message_bytes();
  ASSERT_TRUE(small.Add(kEcho, ImageOf("2"), kMuch));
  const size_t two = small.message_bytes();

  HandoverBatch batch(1);
  ASSERT_TRUE(batch.Add(kEcho, ImageOf("1"), two));
  EXPECT_FALSE(batch.Add(kChat, ImageOf("2"), two)) << "its listener is longer";
  EXPECT_EQ(batch.message_bytes(), one);
  EXPECT_TRUE(batch.Add(kEcho, ImageOf("2"), two)) << "exactly so many";
  EXPECT_FALSE(batch.Add(kEcho, ImageOf(""), two));
  EXPECT_EQ(batch.message_bytes(), two);
  EXPECT_EQ(batch.Message(), small.Message());
}

// It goes as a file then.
TEST(HandoverMessagesTest, TheFirstOneFitsHoweverLongItIs) {
  HandoverBatch batch(9);
  const ConnectionImage image = ImageOf(std::string(kMuch + 1, 'x'));
  ASSERT_TRUE(batch.Add(kEcho, image, kMuch));
  EXPECT_GT(batch.message_bytes(), kMuch);
  EXPECT_FALSE(batch.Add(kEcho, ImageOf(""), kMuch));
  const std::string message = batch.MessageForFile();
  absl::string_view rest = message;
  const HandoverHeader header = TakeHandoverHeader(rest).value();
  EXPECT_EQ(header.type, HandoverHeader::Type::kBatchInFile);
  EXPECT_EQ(header.batch, 9u);
  EXPECT_EQ(rest, "");
  const auto connections = DecodeBatch(header, batch.rest());
  ASSERT_TRUE(connections.ok()) << connections.status();
  ASSERT_EQ(connections->size(), 1u);
  EXPECT_EQ(connections->front().listener, kEcho);
  EXPECT_EQ(connections->front().image, image);
}

TEST(HandoverMessagesTest, EveryCutIsAnError) {
  HandoverBatch batch(1);
  ASSERT_TRUE(batch.Add(kEcho, ImageOf("1"), kMuch));
  ASSERT_TRUE(batch.Add(kChat, ImageOf("2"), kMuch));
  const std::string message = batch.Message();
  for (size_t size = 0; size < message.size(); ++size) {
    absl::string_view cut = absl::string_view(message).substr(0, size);
    const auto header = TakeHandoverHeader(cut);
    EXPECT_EQ(header.ok(), size >= 18) << size;
    if (header.ok()) {
      EXPECT_FALSE(DecodeBatch(*header, cut).ok()) << size;
    }
  }
}

TEST(HandoverMessagesTest, ATypeThatIsNoneIsAnError) {
  HandoverBatch batch(1);
  for (const char type : {0, 4}) {
    std::string message = batch.Message();
    message[0] = type;
    absl::string_view rest = message;
    EXPECT_FALSE(TakeHandoverHeader(rest).ok()) << int{type};
  }
}

TEST(HandoverMessagesTest, ANumberThatIsNotThatOfTheImagesIsAnError) {
  HandoverBatch batch(1);
  ASSERT_TRUE(batch.Add(kEcho, ImageOf("1"), kMuch));
  for (const char count : {0, 2, 100}) {
    std::string message = batch.Message();
    message[14] = count;
    EXPECT_FALSE(Decode(message).connections.ok()) << int{count};
  }
  std::string message = batch.Message();
  message.replace(14, 4, "\xff\xff\xff\xff");
  EXPECT_FALSE(Decode(message).connections.ok());
}

TEST(HandoverMessagesTest, ANewerTagIsIgnored) {
  HandoverBatch batch(1);
  ASSERT_TRUE(batch.Add(kEcho, ImageOf("1"), kMuch));
  ASSERT_TRUE(batch.Add(kEcho, ImageOf("2"), kMuch));
  std::string newer;
  PutInt<uint8_t>(newer, 77);
  PutText(newer, "what it is");
  std::string message = batch.Message();
  message.insert(18, newer);
  message += newer;
  const Decoded decoded = Decode(message);
  ASSERT_TRUE(decoded.connections.ok()) << decoded.connections.status();
  EXPECT_EQ((*decoded.connections)[1].listener, kEcho);
  EXPECT_EQ((*decoded.connections)[1].image, ImageOf("2"));
}

TEST(HandoverMessagesTest, ANewerVersionIsReadableUnlessItSaysThatItIsNot) {
  std::string message = HandoverBatch(1).Message();
  message[2] = 3;  // version
  EXPECT_TRUE(Decode(message).header.readable());
  EXPECT_EQ(Decode(message).header.version, 3);
  message[4] = 3;  // oldest reader
  EXPECT_FALSE(Decode(message).header.readable());
  message[4] = 0;
  message[5] = 1;
  EXPECT_FALSE(Decode(message).header.readable());
}

absl::StatusOr<std::vector<HandoverResult>> DecodeResults(
    absl::string_view message) {
  const HandoverHeader header = TakeHandoverHeader(message).value();
  return DecodeAnswer(header, message);
}

TEST(HandoverMessagesTest, AnswersComeBack) {
  const std::vector<HandoverResult> results = {
      HandoverResult::kRefused, HandoverResult::kTaken, HandoverResult::kLater};
  const std::string message = EncodeAnswer(5, results);
  absl::string_view rest = message;
  EXPECT_EQ(TakeHandoverHeader(rest)->batch, 5u);
  EXPECT_EQ(TakeHandoverHeader(rest = message)->connections, 3u);
  EXPECT_EQ(DecodeResults(message).value(), results);
  EXPECT_EQ(DecodeResults(message + "later field").value(), results);
  EXPECT_EQ(DecodeResults(EncodeAnswer(5, {})).value().size(), 0u);
}

// Whatever a newer build means by it: here the connection is safe.
TEST(HandoverMessagesTest, AResultThatIsNoneIsARefusal) {
  std::string message =
      EncodeAnswer(5, {{HandoverResult::kTaken, HandoverResult::kTaken,
                        HandoverResult::kTaken}});
  message[18] = 3;
  message[19] = '\xff';
  const std::vector<HandoverResult> results = {HandoverResult::kRefused,
                                               HandoverResult::kRefused,
                                               HandoverResult::kTaken};
  EXPECT_EQ(DecodeResults(message).value(), results);
}

TEST(HandoverMessagesTest, AnAnswerWithFewerResultsThanItSaysIsAnError) {
  std::string message = EncodeAnswer(5, {HandoverResult::kTaken});
  message.pop_back();
  EXPECT_FALSE(DecodeResults(message).ok());
  message[17] = '\xff';  // and it allocates nothing for what is not there
  EXPECT_FALSE(DecodeResults(message).ok());
  EXPECT_FALSE(DecodeResults(HandoverBatch(5).Message()).ok()) << "a batch";
}

}  // namespace
}  // namespace baton
