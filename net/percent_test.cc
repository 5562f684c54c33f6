#include "net/percent.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace baton {
namespace {

TEST(PercentTest, DecodesBytes) {
  EXPECT_EQ(*PercentDecode(""), "");
  EXPECT_EQ(*PercentDecode("/srv/a%26b"), "/srv/a&b");
  EXPECT_EQ(*PercentDecode("%2c%2C%25%ff"), ",,%\xff");
  EXPECT_EQ(*PercentDecode("a+b"), "a+b");
}

TEST(PercentTest, RefusesHalfEscapesAndNul) {
  for (const absl::string_view text :
       {"%", "a%", "%2", "%g0", "%0g", "%%25", "%+1", "% 1"}) {
    const auto decoded = PercentDecode(text);
    ASSERT_FALSE(decoded.ok()) << text;
    EXPECT_TRUE(absl::StrContains(decoded.status().message(),
                                  "is not % and two hex digits"));
  }
  EXPECT_EQ(PercentDecode("/a%00b").status().message(), "%00 is not allowed");
}

TEST(PercentTest, EncodesWhatSeparates) {
  EXPECT_EQ(PercentEncode("/srv/www;x=1:80"), "/srv/www;x=1:80");
  EXPECT_EQ(PercentEncode("a&b,c?d#e%f g"), "a%26b%2cc%3fd%23e%25f%20g");
}

TEST(PercentTest, RoundTripOfEveryByte) {
  std::string every_byte;
  for (int byte = 1; byte < 256; ++byte) {
    every_byte.push_back(static_cast<char>(byte));
  }
  EXPECT_EQ(*PercentDecode(PercentEncode(every_byte)), every_byte);
}

}  // namespace
}  // namespace baton
