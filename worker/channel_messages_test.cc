#include "worker/channel_messages.h"

#include <cstddef>
#include <random>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

std::vector<ChannelMessage> OneOfEach() {
  return {ServeMessage{},
          StopAcceptingMessage{.shut_down_listeners = false},
          StopAcceptingMessage{.shut_down_listeners = true},
          DrainMessage{absl::Milliseconds(8000)},
          DrainMessage{absl::ZeroDuration()},
          DrainMessage{absl::InfiniteDuration()},
          StopMessage{},
          ReopenLogMessage{LogFormat::kText},
          ReopenLogMessage{LogFormat::kJson},
          ReopenAccessLogMessage{.path = "/var/log/access.log"},
          AdoptMessage{.slot = 3, .first = 200},
          AdoptRemovedMessage{.sockets = kFirstRemoved + 3,
                              .url = "echo://[::1]:7"},
          ReleaseMessage{.sockets = 7, .ticket = 1},
          ReleasedMessage{
              .sockets = 7, .ticket = 0x0102030405060708, .emptied = true},
          AdoptFailedMessage{.sockets = kFirstRemoved},
          FullMessage{.full = true},
          FullMessage{.full = false},
          ReadyMessage{},
          ServingMessage{},
          AcceptStoppedMessage{},
          DrainedMessage{.connections_cut = 0x0102030405060708},
          ReplaceMeMessage{},
          RecycleMeMessage{},
          HandOverMessage{.round = 0x0102030405060708},
          HandOverMessage{.round = 1, .timeout = absl::Seconds(90)},
          TakeOverMessage{.expected = 0x1112131415161718},
          PassedMessage{.left = 0x2122232425262728},
          HandoverBrokenMessage{.round = 0x3132333435363738},
          PinnedMessage{.connections = 0x4142434445464748,
                        .oldest_age = absl::Hours(50),
                        .service = "echo",
                        .peer = "[2001:db8::1]:49152"}};
}

// Every type that can be sent is in the list, and all names are different.
TEST(ChannelMessagesTest, TheListIsComplete) {
  std::set<size_t> types;
  std::set<std::string> names;
  for (const ChannelMessage& message : OneOfEach()) {
    types.insert(message.index());
    names.insert(MessageName(message));
  }
  EXPECT_EQ(types.size(), std::variant_size_v<ChannelMessage> - 1);
  EXPECT_EQ(names.size(), types.size());
}

TEST(ChannelMessagesTest, EachMessageComesBackAsItWasSent) {
  for (const ChannelMessage& message : OneOfEach()) {
    const auto decoded = DecodeMessage(EncodeMessage(message));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->message, message) << MessageName(message);
    EXPECT_FALSE(decoded->newer);
  }
}

TEST(ChannelMessagesTest, TheWireFormatIsPinned) {
  // Workers of another build read these bytes: they can't change.
  EXPECT_EQ(EncodeMessage(DrainMessage{absl::Milliseconds(258)}),
            std::string("\x03\0\x01\0\x08\0\0\0\x02\x01\0\0\0\0\0\0", 16));
  EXPECT_EQ(EncodeMessage(ReadyMessage{}),
            std::string("\x41\0\x01\0\0\0\0\0", 8));
  EXPECT_EQ(EncodeMessage(HandOverMessage{5, absl::Milliseconds(258)}),
            std::string("\x09\0\x01\0\x10\0\0\0\x05\0\0\0\0\0\0\0"
                        "\x02\x01\0\0\0\0\0\0",
                        24));
}

TEST(ChannelMessagesTest, ATimeoutIsRoundedUpToMilliseconds) {
  const auto decoded =
      DecodeMessage(EncodeMessage(DrainMessage{absl::Microseconds(1)}));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(std::get<DrainMessage>(decoded->message).timeout,
            absl::Milliseconds(1));
}

TEST(ChannelMessagesTest, AnythingCutShortIsAnError) {
  for (const ChannelMessage& message : OneOfEach()) {
    const std::string packet = EncodeMessage(message);
    for (size_t length = 0; length < packet.size(); ++length) {
      EXPECT_FALSE(DecodeMessage(packet.substr(0, length)).ok())
          << MessageName(message) << " cut to " << length;
    }
  }
}

TEST(ChannelMessagesTest, APayloadWithoutItsFieldIsAnErrorThatNamesTheMessage) {
  std::string packet = EncodeMessage(DrainedMessage{7}).substr(0, 8 + 3);
  packet[4] = 3;  // the header agrees with what is there
  const auto decoded = DecodeMessage(packet);
  ASSERT_FALSE(decoded.ok());
  EXPECT_NE(decoded.status().message().find("drained"),
            absl::string_view::npos);
}

TEST(ChannelMessagesTest, BytesBehindTheAnnouncedLengthAreAnError) {
  EXPECT_FALSE(DecodeMessage(EncodeMessage(ReadyMessage{}) + "x").ok());
}

TEST(ChannelMessagesTest, VersionZeroIsAnError) {
  std::string packet = EncodeMessage(ReadyMessage{});
  packet[2] = 0;
  EXPECT_FALSE(DecodeMessage(packet).ok());
}

TEST(ChannelMessagesTest, AnUnknownTypeIsToleratedAndReported) {
  std::string packet = EncodeMessage(DrainedMessage{7});
  packet[0] = '\xfe';
  const auto decoded = DecodeMessage(packet);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(std::get<UnknownMessage>(decoded->message).type, 0xfe);
  EXPECT_EQ(MessageName(decoded->message), "unknown 254");
}

TEST(ChannelMessagesTest, ANewerVersionKeepsItsKnownFields) {
  std::string packet = EncodeMessage(DrainedMessage{7}) + "more";
  packet[2] = 2;
  packet[4] = 12;
  const auto decoded = DecodeMessage(packet);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(decoded->newer);
  EXPECT_EQ(std::get<DrainedMessage>(decoded->message).connections_cut, 7u);
}

TEST(ChannelMessagesTest, RandomBytesNeverDoHarm) {
  constexpr uint32_t kSeed = 20240611;
  std::mt19937 random(kSeed);
  const std::vector<ChannelMessage> all = OneOfEach();
  int decoded_count = 0;
  for (int round = 0; round < 200'000; ++round) {
    // Half the packets are valid ones with a byte flipped: pure noise never
    // gets past the header.
    std::string packet = EncodeMessage(all[random() % all.size()]);
    if (round % 2 == 0) {
      packet.assign(random() % 24, '\0');
      for (char& c : packet) c = static_cast<char>(random());
    } else {
      packet[random() % packet.size()] = static_cast<char>(random());
    }
    const auto decoded = DecodeMessage(packet);
    if (!decoded.ok()) continue;
    ++decoded_count;
    EXPECT_FALSE(MessageName(decoded->message).empty());
  }
  EXPECT_GT(decoded_count, 1000) << "seed " << kSeed;
}

using ChannelMessagesDeathTest = testing::Test;

TEST(ChannelMessagesDeathTest, AnUnknownMessageIsNeverSent) {
  EXPECT_DEATH(EncodeMessage(UnknownMessage{9}), "unknown type 9");
}

}  // namespace
}  // namespace baton
