#include "worker/files/byte_ranges.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

// "whole", "416", or the ranges as "OFFSET+SIZE" with spaces between.
std::string Select(absl::string_view field, int64_t file_size) {
  const RangeSelection selection = SelectRanges(field, file_size);
  std::string text;
  switch (selection.kind) {
    case RangeSelection::Kind::kWhole:
      EXPECT_TRUE(selection.ranges.empty());
      return "whole";
    case RangeSelection::Kind::kUnsatisfiable:
      EXPECT_TRUE(selection.ranges.empty());
      return "416";
    case RangeSelection::Kind::kRanges:
      for (const ByteRange& range : selection.ranges) {
        absl::StrAppend(&text, text.empty() ? "" : " ", range.offset, "+",
                        range.size);
      }
      return text;
  }
  return "nothing";
}

// RFC 9110 section 14.1.2.
TEST(ByteRangesTest, ExamplesOfTheRfc) {
  EXPECT_EQ(Select("bytes=0-499", 10000), "0+500");
  EXPECT_EQ(Select("bytes=500-999", 10000), "500+500");
  EXPECT_EQ(Select("bytes=-500", 10000), "9500+500");
  EXPECT_EQ(Select("bytes=9500-", 10000), "9500+500");
  EXPECT_EQ(Select("bytes=0-0,-1", 10000), "0+1 9999+1");
  EXPECT_EQ(Select("bytes= 0-0, -1", 10000), "0+1 9999+1");
  EXPECT_EQ(Select("bytes= 0-999, 4500-5499, -1000", 10000),
            "0+1000 4500+1000 9000+1000");
  EXPECT_EQ(Select("bytes=500-600,601-999", 10000), "500+500");
  EXPECT_EQ(Select("bytes=500-700,601-999", 10000), "500+500");
}

TEST(ByteRangesTest, EndsWithTheFile) {
  EXPECT_EQ(Select("bytes=0-", 10), "0+10");
  EXPECT_EQ(Select("bytes=9-", 10), "9+1");
  EXPECT_EQ(Select("bytes=5-10", 10), "5+5");
  EXPECT_EQ(Select("bytes=5-1000", 10), "5+5");
  EXPECT_EQ(Select("bytes=-10", 10), "0+10");
  EXPECT_EQ(Select("bytes=-11", 10), "0+10");
}

TEST(ByteRangesTest, Unsatisfiable) {
  EXPECT_EQ(Select("bytes=10-", 10), "416");
  EXPECT_EQ(Select("bytes=10-10", 10), "416");
  EXPECT_EQ(Select("bytes=-0", 10), "416");
  EXPECT_EQ(Select("bytes=10-,-0,99-100", 10), "416");
  // One that can be satisfied is enough.
  EXPECT_EQ(Select("bytes=10-,-0,3-4,99-100", 10), "3+2");
}

TEST(ByteRangesTest, NoFieldOrOneThatIsIgnored) {
  for (const absl::string_view field : {"",
                                        "bytes",
                                        "bytes=",
                                        "bytes=,",
                                        "bytes= , ,",
                                        "bytes=-",
                                        "bytes=--1",
                                        "bytes=1",
                                        "bytes=a-b",
                                        "bytes=1-2x",
                                        "bytes=x1-2",
                                        "bytes=+1-2",
                                        "bytes=1-+2",
                                        "bytes=0x1-2",
                                        "bytes=1 -2",
                                        "bytes=1- 2",
                                        "bytes=1-2-3",
                                        "bytes=1-2 3-4",
                                        "bytes=1-2;3-4",
                                        "bytes =0-1",
                                        " bytes=0-1",
                                        "bytes:0-1",
                                        "lines=0-1",
                                        "items=0-1",
                                        "0-1",
                                        "bytes=0-1,x",
                                        "bytes=2-1",
                                        "bytes=0-0,2-1",
                                        "bytes=20-19"}) {
    EXPECT_EQ(Select(field, 10), "whole") << field;
  }
}

TEST(ByteRangesTest, ForgivesLettersSpaceAndEmptyElements) {
  EXPECT_EQ(Select("Bytes=1-2", 10), "1+2");
  EXPECT_EQ(Select("BYTES=1-2", 10), "1+2");
  EXPECT_EQ(Select("bytes=,1-2, ,\t5-5,", 10), "1+2 5+1");
}

TEST(ByteRangesTest, NumbersBeyond64Bits) {
  const std::string many(5000, '9');
  EXPECT_EQ(Select("bytes=0-9223372036854775807", 10), "0+10");
  EXPECT_EQ(Select("bytes=0-9223372036854775808", 10), "0+10");
  EXPECT_EQ(Select("bytes=0-18446744073709551616", 10), "0+10");
  EXPECT_EQ(Select(absl::StrCat("bytes=1-", many), 10), "1+9");
  EXPECT_EQ(Select(absl::StrCat("bytes=-", many), 10), "0+10");
  EXPECT_EQ(Select(absl::StrCat("bytes=", many, "-"), 10), "416");
  EXPECT_EQ(Select(absl::StrCat("bytes=", many, "-", many), 10), "416");
  EXPECT_EQ(Select("bytes=18446744073709551616-18446744073709551617", 10),
            "416");
  EXPECT_EQ(Select("bytes=00000000000000000000000000001-2", 10), "1+2");
  EXPECT_EQ(Select("bytes=0-,-1", INT64_MAX), "0+9223372036854775807");
  EXPECT_EQ(Select("bytes=9223372036854775806-", INT64_MAX),
            "9223372036854775806+1");
  EXPECT_EQ(Select("bytes=9223372036854775807-", INT64_MAX), "416");
}

TEST(ByteRangesTest, OfAnEmptyFile) {
  EXPECT_EQ(Select("bytes=0-", 0), "416");
  EXPECT_EQ(Select("bytes=0-0", 0), "416");
  EXPECT_EQ(Select("bytes=-0", 0), "416");
  EXPECT_EQ(Select("bytes=-1", 0), "whole");
  EXPECT_EQ(Select("bytes=0-,-1", 0), "whole");
  EXPECT_EQ(Select("bytes=x", 0), "whole");
}

TEST(ByteRangesTest, JoinsThoseThatOverlapOrTouch) {
  EXPECT_EQ(Select("bytes=0-4,4-6", 100), "0+7");
  EXPECT_EQ(Select("bytes=0-4,5-6", 100), "0+7");
  EXPECT_EQ(Select("bytes=0-4,6-7", 100), "0+5 6+2");
  EXPECT_EQ(Select("bytes=5-6,0-4", 100), "0+7");
  EXPECT_EQ(Select("bytes=0-9,3-4", 100), "0+10");
  EXPECT_EQ(Select("bytes=3-4,0-9", 100), "0+10");
  EXPECT_EQ(Select("bytes=1-2,1-2,1-2", 100), "1+2");
  EXPECT_EQ(Select("bytes=90-,-5", 100), "90+10");
}

TEST(ByteRangesTest, InTheOrderOfTheRequest) {
  EXPECT_EQ(Select("bytes=50-59,0-9,20-29", 100), "50+10 0+10 20+10");
  // A joined one stands where its first part did.
  EXPECT_EQ(Select("bytes=50-59,0-9,60-69", 100), "50+20 0+10");
  EXPECT_EQ(Select("bytes=50-59,0-9,20-29,10-19", 100), "50+10 0+30");
  EXPECT_EQ(Select("bytes=80-89,50-59,0-9,99-99,9-50", 100), "80+10 0+60 99+1");
}

// `count` ranges of a byte, each two bytes from the one before.
std::string Apart(int count) {
  std::string field = "bytes=";
  for (int i = 0; i < count; ++i) {
    absl::StrAppend(&field, i > 0 ? "," : "", 2 * i, "-", 2 * i);
  }
  return field;
}

TEST(ByteRangesTest, AtMostSixteen) {
  EXPECT_EQ(SelectRanges(Apart(16), 100000).ranges.size(), 16u);
  EXPECT_EQ(Select(Apart(17), 100000), "whole");
  EXPECT_EQ(Select(Apart(3000), 100000), "whole");
  // Those that are not satisfiable or become one are not counted.
  EXPECT_EQ(SelectRanges(Apart(3000), 31).ranges.size(), 16u);
  EXPECT_EQ(Select(absl::StrCat(Apart(16), ",0-50"), 100000), "0+51");
  EXPECT_EQ(Select(absl::StrCat(Apart(17), ",0-50"), 100000), "whole");
}

TEST(ByteRangesTest, ThreeThousandThatOverlap) {
  std::string field = "bytes=0-";
  for (int i = 0; i < 3000; ++i) absl::StrAppend(&field, ",0-");
  EXPECT_EQ(Select(field, 100), "0+100");
  field = "bytes=0-1";
  for (int i = 1; i < 3000; ++i) absl::StrAppend(&field, ",", i, "-", i + 1);
  EXPECT_EQ(Select(field, 100000), "0+3001");
}

}  // namespace
}  // namespace baton
