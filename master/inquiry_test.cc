#include "master/inquiry.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(InquiryTest, ComesBackAsItWent) {
  for (const Question question :
       {Question::kHealth, Question::kReadiness, Question::kStatus,
        Question::kMetrics, Question::kReload, Question::kScale,
        Question::kStop}) {
    const Inquiry inquiry = {uint64_t{1} << 60, question, 7};
    const auto decoded = DecodeInquiry(EncodeInquiry(inquiry));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, inquiry);
  }
  EXPECT_FALSE(IsCommand(Question::kMetrics));
  EXPECT_TRUE(IsCommand(Question::kReload));
}

TEST(InquiryTest, OnlyTheFewQuestionsAreTaken) {
  std::string packet = EncodeInquiry({1, Question::kStatus, 0});
  int taken = 0;
  for (int number = 0; number < 256; ++number) {
    packet[8] = static_cast<char>(number);
    taken += DecodeInquiry(packet).ok() ? 1 : 0;
  }
  EXPECT_EQ(taken, 8);
}

TEST(InquiryTest, WhatIsCutOrTooLongIsRefused) {
  const std::string packet = EncodeInquiry({1, Question::kStatus, 0});
  for (size_t size = 0; size < packet.size(); ++size) {
    EXPECT_FALSE(DecodeInquiry(packet.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeInquiry(packet + "x").ok());
  const std::string answer = EncodeAnswer({1, 200, "text"});
  for (size_t size = 0; size < answer.size(); ++size) {
    EXPECT_FALSE(DecodeAnswer(answer.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeAnswer(answer + "x").ok());
}

TEST(InquiryTest, AnAnswerThatIsTooLongLeavesItsTextToAnother) {
  const Answer answer = {3, 409, std::string(kMaxAnswerTextBytes, 'a')};
  auto decoded = DecodeAnswer(EncodeAnswer(answer));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, answer);
  decoded = DecodeAnswer(EncodeAnswer({3, 200, answer.text + "a"}));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->text, "");
}

TEST(InquiryTest, NoiseDoesNoHarm) {
  constexpr uint32_t kSeed = 11;
  std::mt19937 random(kSeed);
  for (int round = 0; round < 100'000; ++round) {
    std::string noise(random() % 40, '\0');
    for (char& byte : noise) byte = static_cast<char>(random());
    const auto inquiry = DecodeInquiry(noise);
    if (inquiry.ok()) EXPECT_EQ(EncodeInquiry(*inquiry), noise);
    const auto answer = DecodeAnswer(noise);
    if (answer.ok()) EXPECT_EQ(EncodeAnswer(*answer), noise);
  }
}

}  // namespace
}  // namespace baton
