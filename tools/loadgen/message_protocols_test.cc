#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/loadgen/conversation.h"
#include "tools/loadgen/pattern.h"

namespace baton::loadgen {
namespace {

using ::testing::HasSubstr;

// Sends all that is pending, at most `piece` bytes at once, and the urgent byte
// where it is due; returns the bytes with the urgent one in angle brackets.
std::string SendAll(Conversation& conversation, size_t piece) {
  std::string sent;
  while (true) {
    if (conversation.UrgentDue()) {
      sent += "<";
      sent += conversation.UrgentByte();
      sent += ">";
      conversation.UrgentSent();
    }
    const std::string next(conversation.Pending().substr(0, piece));
    if (next.empty()) return sent;
    sent += next;
    EXPECT_EQ(conversation.Sent(next.size()), Verdict::kMore);
  }
}

class EchoProtocolTest : public ::testing::Test {
 protected:
  void Make(const MessageShape& shape) {
    protocol_ = MakeEchoProtocol(shape);
    conversation_ = protocol_->NewConversation();
  }
  std::string Send(uint64_t connection, uint64_t sequence) {
    conversation_->Begin({connection, sequence, false});
    return SendAll(*conversation_, 1000);
  }

  std::unique_ptr<Protocol> protocol_;
  std::unique_ptr<Conversation> conversation_;
};

TEST_F(EchoProtocolTest, SendsThePatternAndTakesItBack) {
  Make({.bytes = 200'000});
  const std::string message = Send(5, 2);
  ASSERT_EQ(message.size(), 200'000u);
  EXPECT_EQ(Pattern().FirstDifference(Pattern::Begin(5, 2), 0, message), -1);
  EXPECT_EQ(conversation_->Received(message.substr(0, 150'000)),
            Verdict::kMore);
  EXPECT_EQ(conversation_->Received(message.substr(150'000)), Verdict::kDone);
}

TEST_F(EchoProtocolTest, NamesTheFirstWrongByte) {
  Make({.bytes = 100});
  std::string message = Send(1, 1);
  EXPECT_EQ(conversation_->Received(message.substr(0, 40)), Verdict::kMore);
  message[77] = static_cast<char>(message[77] + 1);
  EXPECT_EQ(conversation_->Received(message.substr(40)), Verdict::kWrong);
  EXPECT_THAT(conversation_->complaint(), HasSubstr("byte 77 is 0x"));
}

TEST_F(EchoProtocolTest, TheAnswerOfAnotherMessageIsWrong) {
  Make({.bytes = 64});
  const std::string first = Send(1, 0);
  const std::string other_connection = Send(2, 0);
  const std::string other_sequence = Send(1, 1);
  EXPECT_NE(first, other_connection);
  Send(1, 0);
  EXPECT_EQ(conversation_->Received(other_sequence), Verdict::kWrong);
  Send(1, 0);
  EXPECT_EQ(conversation_->Received(other_connection), Verdict::kWrong);
  Send(1, 0);
  EXPECT_EQ(conversation_->Received(first), Verdict::kDone);
}

TEST_F(EchoProtocolTest, MoreThanWasSentIsWrong) {
  Make({.bytes = 64});
  const std::string message = Send(1, 0);
  EXPECT_EQ(conversation_->Received(message + "x"), Verdict::kWrong);
  EXPECT_THAT(conversation_->complaint(), HasSubstr("65 bytes"));
  conversation_->Begin({1, 0, false});
  EXPECT_EQ(conversation_->Received(message.substr(0, 1)), Verdict::kWrong);
}

TEST_F(EchoProtocolTest, UrgentByteStandsInTheMiddleAndMustComeBack) {
  for (const int64_t bytes : {1, 2, 65, 5000}) {
    Make({.bytes = bytes, .urgent = true});
    const std::string sent = Send(3, 4);
    ASSERT_EQ(sent.size(), bytes + 3u);
    const size_t middle = bytes / 2;
    EXPECT_EQ(sent[middle], '<');
    EXPECT_EQ(sent[middle + 2], '>');
    const char urgent = sent[middle + 1];
    const std::string message =
        sent.substr(0, middle) + sent.substr(middle + 3);
    EXPECT_EQ(Pattern().FirstDifference(Pattern::Begin(3, 4), 0, message), -1);

    EXPECT_TRUE(conversation_->UrgentAwaited());
    EXPECT_EQ(conversation_->Received(message), Verdict::kMore);
    EXPECT_EQ(conversation_->UrgentReceived(urgent), Verdict::kDone);
    EXPECT_FALSE(conversation_->UrgentAwaited());

    Send(3, 4);
    EXPECT_EQ(conversation_->UrgentReceived(urgent), Verdict::kMore);
    EXPECT_EQ(conversation_->Received(message), Verdict::kDone);

    Send(3, 4);
    EXPECT_EQ(conversation_->UrgentReceived(urgent ^ 1), Verdict::kWrong);
    EXPECT_THAT(conversation_->complaint(), HasSubstr("urgent byte"));
  }
}

TEST_F(EchoProtocolTest, AnUrgentByteNobodySentIsWrong) {
  Make({.bytes = 10});
  Send(1, 0);
  EXPECT_FALSE(conversation_->UrgentAwaited());
  EXPECT_EQ(conversation_->UrgentReceived('x'), Verdict::kWrong);
}

TEST(DiscardProtocolTest, IsDoneWhenSentAndWantsNoAnswer) {
  const auto protocol = MakeDiscardProtocol({.bytes = 100});
  EXPECT_TRUE(protocol->ends_by_half_close());
  const auto conversation = protocol->NewConversation();
  conversation->Begin({9, 1, false});
  EXPECT_EQ(Pattern().FirstDifference(Pattern::Begin(9, 1), 0,
                                      conversation->Pending()),
            -1);
  EXPECT_EQ(conversation->Sent(60), Verdict::kMore);
  EXPECT_EQ(conversation->Pending().size(), 40u);
  EXPECT_EQ(conversation->Sent(40), Verdict::kDone);
  EXPECT_EQ(conversation->Received("x"), Verdict::kWrong);
}

}  // namespace
}  // namespace baton::loadgen
