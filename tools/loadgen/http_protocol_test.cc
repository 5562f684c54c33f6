#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/loadgen/conversation.h"

namespace baton::loadgen {
namespace {

using ::testing::HasSubstr;

constexpr absl::string_view kHello =
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

class HttpProtocolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LoadTarget target;
    target.host = "example:8080";
    target.path = "/a?b";
    protocol_ = MakeHttpProtocol(target);
    conversation_ = protocol_->NewConversation();
  }

  // Sends a request and feeds `response` in pieces of `piece` bytes. The
  // verdict must not come before the last byte.
  Verdict Answer(absl::string_view response, size_t piece = 1 << 20) {
    SendRequest(false);
    return Feed(response, piece);
  }

  std::string SendRequest(bool last) {
    conversation_->Begin({.connection = 1, .sequence = 0, .last = last});
    const std::string request(conversation_->Pending());
    // In two pieces, as a full socket would have it.
    EXPECT_EQ(conversation_->Sent(10), Verdict::kMore);
    EXPECT_EQ(conversation_->Sent(conversation_->Pending().size()),
              Verdict::kMore);
    EXPECT_TRUE(conversation_->Pending().empty());
    return request;
  }

  Verdict Feed(absl::string_view response, size_t piece) {
    Verdict verdict = Verdict::kMore;
    while (!response.empty() && verdict == Verdict::kMore) {
      verdict = conversation_->Received(response.substr(0, piece));
      response.remove_prefix(std::min(piece, response.size()));
    }
    if (verdict == Verdict::kDone) {
      EXPECT_TRUE(response.empty()) << "done with bytes left: " << response;
    }
    return verdict;
  }

  void ExpectWrong(absl::string_view response, absl::string_view complaint) {
    for (const size_t piece : {size_t{1}, size_t{1} << 20}) {
      EXPECT_EQ(Answer(response, piece), Verdict::kWrong) << response;
      EXPECT_THAT(conversation_->complaint(), HasSubstr(std::string(complaint)))
          << response;
    }
  }

  std::unique_ptr<Protocol> protocol_;
  std::unique_ptr<Conversation> conversation_;
};

TEST_F(HttpProtocolTest, RequestIsWellFormed) {
  EXPECT_EQ(SendRequest(false),
            "GET /a?b HTTP/1.1\r\nHost: example:8080\r\n"
            "User-Agent: baton-loadgen\r\n\r\n");
  EXPECT_THAT(SendRequest(true), HasSubstr("\r\nConnection: close\r\n\r\n"));
}

TEST_F(HttpProtocolTest, GoodResponsesInAnyPieces) {
  for (const absl::string_view response :
       {kHello, absl::string_view("HTTP/1.1 204 No Content\r\n\r\n"),
        absl::string_view("HTTP/1.1 200 \r\ncontent-length:0\r\n\r\n"),
        absl::string_view("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                          "\r\n5\r\nhello\r\n1A;x=y\r\n"
                          "abcdefghijklmnopqrstuvwxyz\r\n0\r\nT: 1\r\n\r\n"),
        absl::string_view("HTTP/1.1 100 Continue\r\n\r\n"
                          "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"
                          "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")}) {
    for (const size_t piece : {1u, 2u, 7u, 4096u}) {
      EXPECT_EQ(Answer(response, piece), Verdict::kDone)
          << piece << " " << response << conversation_->complaint();
      EXPECT_FALSE(conversation_->peer_closes());
    }
  }
}

// The same head once more is not read again: a different one must be.
TEST_F(HttpProtocolTest, KnownHeadIsNotTakenForALongerOne) {
  EXPECT_EQ(Answer(kHello), Verdict::kDone);
  EXPECT_EQ(Answer(kHello), Verdict::kDone);
  EXPECT_EQ(Answer("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"),
            Verdict::kMore);
  EXPECT_EQ(Answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"),
            Verdict::kDone);
  EXPECT_EQ(Answer(kHello), Verdict::kDone);
}

TEST_F(HttpProtocolTest, TellsThatThePeerCloses) {
  EXPECT_EQ(Answer("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\n"
                   "Content-Length: 1\r\n\r\nx"),
            Verdict::kDone);
  EXPECT_TRUE(conversation_->peer_closes());
  EXPECT_EQ(Answer(kHello), Verdict::kDone);
  EXPECT_FALSE(conversation_->peer_closes());
}

TEST_F(HttpProtocolTest, OnlyABodyWithoutLengthMayEndWithTheConnection) {
  EXPECT_EQ(Answer("HTTP/1.1 200 OK\r\n\r\nsome"), Verdict::kMore);
  EXPECT_EQ(conversation_->Ended(), Verdict::kDone);
  EXPECT_TRUE(conversation_->peer_closes());

  EXPECT_EQ(Answer(kHello.substr(0, kHello.size() - 1)), Verdict::kMore);
  EXPECT_EQ(conversation_->Ended(), Verdict::kMore);
  EXPECT_EQ(Answer(kHello.substr(0, 20)), Verdict::kMore);
  EXPECT_EQ(conversation_->Ended(), Verdict::kMore);
  SendRequest(false);
  EXPECT_EQ(conversation_->Ended(), Verdict::kMore);
}

TEST_F(HttpProtocolTest, OtherStatusIsRefusedNotWrong) {
  EXPECT_EQ(Answer("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n"
                   "Connection: close\r\n\r\nno"),
            Verdict::kRefused);
  EXPECT_EQ(conversation_->complaint(), "status 503");
  EXPECT_TRUE(conversation_->peer_closes());
  EXPECT_EQ(Answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
            Verdict::kRefused);
}

TEST_F(HttpProtocolTest, MalformedHeads) {
  ExpectWrong("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "status line");
  ExpectWrong("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", "status line");
  ExpectWrong("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "status line");
  ExpectWrong("HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n", "status line");
  ExpectWrong("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", "field line");
  ExpectWrong("HTTP/1.1 200 OK\r\nNo colon\r\n\r\n", "field line");
  ExpectWrong("HTTP/1.1 200 OK\r\nName : x\r\n\r\n", "field line");
  ExpectWrong("HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "field line");
  ExpectWrong("HTTP/1.1 200 OK\r\n: x\r\n\r\n", "field line");
  ExpectWrong("HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n", "field line");
}

TEST_F(HttpProtocolTest, MalformedFraming) {
  const auto head = [](absl::string_view fields) {
    return absl::StrCat("HTTP/1.1 200 OK\r\n", fields, "\r\n\r\n");
  };
  ExpectWrong(head("Content-Length: +5"), "Content-Length");
  ExpectWrong(head("Content-Length: 5, 5"), "Content-Length");
  ExpectWrong(head("Content-Length: "), "Content-Length");
  ExpectWrong(head("Content-Length: 99999999999999999999"), "Content-Length");
  ExpectWrong(head("Content-Length: 5\r\nContent-Length: 5"), "second");
  ExpectWrong(head("Content-Length: 5\r\nTransfer-Encoding: chunked"), "both");
  ExpectWrong(head("Transfer-Encoding: gzip, chunked"), "Transfer-Encoding");
  ExpectWrong("HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n", "204");
  const std::string chunked = head("Transfer-Encoding: chunked");
  ExpectWrong(chunked + "g\r\n", "chunk");
  ExpectWrong(chunked + "\r\n", "chunk");
  ExpectWrong(chunked + "1\nx", "chunk");
  ExpectWrong(chunked + "1\r\nxy", "chunk");
  ExpectWrong(chunked + "1234567890abcdef\r\n", "chunk");
  ExpectWrong(chunked + "0\r\nTrailer: a\n", "chunk");
}

TEST_F(HttpProtocolTest, BytesAfterTheResponseAreWrong) {
  EXPECT_EQ(Answer(absl::StrCat(kHello, "!")), Verdict::kWrong);
  EXPECT_THAT(conversation_->complaint(), HasSubstr("after the response"));
}

TEST_F(HttpProtocolTest, AnAnswerBeforeTheQuestionIsWrong) {
  conversation_->Begin({});
  EXPECT_EQ(conversation_->Received(kHello), Verdict::kWrong);
}

TEST_F(HttpProtocolTest, AHeadHasALimit) {
  SendRequest(false);
  EXPECT_EQ(Feed("HTTP/1.1 200 OK\r\n", 100), Verdict::kMore);
  const std::string field = absl::StrCat("A: ", std::string(1000, 'a'), "\r\n");
  Verdict verdict = Verdict::kMore;
  int fields = 0;
  while (verdict == Verdict::kMore && ++fields < 1000) {
    verdict = Feed(field, 100);
  }
  EXPECT_EQ(verdict, Verdict::kWrong);
  EXPECT_LT(fields, 70);
}

}  // namespace
}  // namespace baton::loadgen
