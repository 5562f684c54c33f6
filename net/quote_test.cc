#include "net/quote.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/string_view.h"

namespace baton {
namespace {

TEST(QuoteTest, PlainTextStaysReadable) {
  EXPECT_EQ(Quote("echo://127.0.0.1:7007"), "\"echo://127.0.0.1:7007\"");
  EXPECT_EQ(Quote(""), "\"\"");
}

TEST(QuoteTest, CannotForgeALineATerminalSequenceOrTheClosingQuote) {
  EXPECT_EQ(Quote("a\nb"), R"("a\nb")");
  EXPECT_EQ(Quote("a\"b"), R"("a\"b")");
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    for (const char shown : Quote(absl::string_view(&c, 1))) {
      EXPECT_TRUE(shown >= ' ' && shown <= '~') << byte;
    }
  }
}

TEST(QuoteTest, LongValuesAreCutAndSaySo) {
  const std::string quoted = Quote(std::string(1000000, 'x'));
  EXPECT_EQ(quoted.substr(kMaxQuotedBytes), "x\"... (1000000 bytes)");
  EXPECT_EQ(Quote(std::string(kMaxQuotedBytes, 'x')),
            "\"" + std::string(kMaxQuotedBytes, 'x') + "\"");
}

}  // namespace
}  // namespace baton
