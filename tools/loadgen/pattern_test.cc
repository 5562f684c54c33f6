#include "tools/loadgen/pattern.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace baton::loadgen {
namespace {

std::string Message(const Pattern& pattern, uint32_t begin, int64_t bytes) {
  std::string message;
  while (static_cast<int64_t>(message.size()) < bytes) {
    const int64_t at = static_cast<int64_t>(message.size());
    absl::StrAppend(&message, pattern.At(begin, at, bytes - at));
  }
  return message;
}

TEST(PatternTest, IsTheSameInEveryInstance) {
  EXPECT_EQ(Message(Pattern(), Pattern::Begin(3, 9), 200'000),
            Message(Pattern(), Pattern::Begin(3, 9), 200'000));
}

TEST(PatternTest, WindowsAreBoundedAndAgreeWithEachOther) {
  const Pattern pattern;
  const uint32_t begin = Pattern::Begin(1, 1);
  const std::string whole = Message(pattern, begin, 300'000);
  EXPECT_EQ(pattern.At(begin, 0, 300'000).size(), Pattern::kWindowBytes);
  EXPECT_EQ(pattern.At(begin, 0, 10).size(), 10u);
  EXPECT_TRUE(pattern.At(begin, 5, 0).empty());
  for (const int64_t offset : {0, 1, 65'520, 65'521, 65'522, 131'041}) {
    EXPECT_EQ(pattern.At(begin, offset, 64), whole.substr(offset, 64))
        << offset;
  }
}

TEST(PatternTest, AcceptsTheMessageInAnyPieces) {
  const Pattern pattern;
  const uint32_t begin = Pattern::Begin(7, 0);
  const std::string message = Message(pattern, begin, 200'000);
  for (const size_t piece : {1u, 63u, 4096u, 65'521u, 200'000u}) {
    for (size_t at = 0; at < message.size(); at += piece) {
      ASSERT_EQ(pattern.FirstDifference(begin, at, message.substr(at, piece)),
                -1);
    }
  }
}

TEST(PatternTest, FindsAnyChangedByte) {
  const Pattern pattern;
  const uint32_t begin = Pattern::Begin(7, 1);
  std::string message = Message(pattern, begin, 140'000);
  for (const size_t at : {0u, 1u, 63u, 65'535u, 65'536u, 65'537u, 139'999u}) {
    message[at] ^= 0x10;
    EXPECT_EQ(pattern.FirstDifference(begin, 0, message), at);
    message[at] ^= 0x10;
  }
  EXPECT_EQ(pattern.FirstDifference(begin, 0, message), -1);
}

TEST(PatternTest, FindsALostOrDoubledPiece) {
  const Pattern pattern;
  const uint32_t begin = Pattern::Begin(8, 0);
  const std::string message = Message(pattern, begin, 262'144);
  for (const size_t piece : {1u, 16u, 1448u, 4096u, 16'384u, 65'536u}) {
    const std::string lost =
        message.substr(0, 1000) + message.substr(1000 + piece);
    EXPECT_GE(pattern.FirstDifference(begin, 0, lost), 1000) << piece;
    const std::string doubled =
        message.substr(0, 1000 + piece) + message.substr(1000);
    EXPECT_GE(pattern.FirstDifference(begin, 0, doubled), 1000) << piece;
  }
}

// The answer of another connection, or to another message of the same one, is
// told apart from the right one.
TEST(PatternTest, MessagesOfConnectionsAndSequencesDiffer) {
  std::map<uint32_t, int> begins;
  constexpr int kConnections = 300, kSequences = 300;
  for (uint64_t connection = 0; connection < kConnections; ++connection) {
    for (uint64_t sequence = 0; sequence < kSequences; ++sequence) {
      ++begins[Pattern::Begin(connection, sequence)];
    }
  }
  // 90,000 thrown at 65,521 places: 1.4 each, and a heap of 12 would be a
  // chance of one in a million.
  EXPECT_GT(begins.size(), 45'000u);
  for (const auto& [begin, times] : begins) EXPECT_LT(times, 12) << begin;

  const Pattern pattern;
  std::set<std::string> first_bytes;
  for (const auto& [begin, times] : begins) {
    first_bytes.emplace(pattern.At(begin, 0, 8));
  }
  EXPECT_EQ(first_bytes.size(), begins.size());
}

TEST(PatternTest, EveryByteValueOccursAboutEquallyOften) {
  const std::string table = Message(Pattern(), 0, 65'521);
  for (int value = 0; value < 256; ++value) {
    const auto times =
        std::count(table.begin(), table.end(), static_cast<char>(value));
    EXPECT_GT(times, 180) << value;  // 256 expected
    EXPECT_LT(times, 340) << value;
  }
}

}  // namespace
}  // namespace baton::loadgen
