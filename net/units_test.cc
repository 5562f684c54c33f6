#include "net/units.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace baton {
namespace {

TEST(ParseDurationTest, EachUnit) {
  EXPECT_EQ(*ParseDuration("0s"), absl::ZeroDuration());
  EXPECT_EQ(*ParseDuration("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(*ParseDuration("20s"), absl::Seconds(20));
  EXPECT_EQ(*ParseDuration("5m"), absl::Minutes(5));
  EXPECT_EQ(*ParseDuration("1h"), absl::Hours(1));
}

TEST(ParseDurationTest, RefusesEverythingElseAndSaysWhatIsAllowed) {
  for (const absl::string_view text :
       {"", "s", "20", "0", "-1s", "+1s", " 1s", "1s ", "1 s", "1.5s", "1e3s",
        "1S", "1us", "1min", "1h30m", "0x10s", "inf", "1s\n", "ms250"}) {
    const auto parsed = ParseDuration(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_TRUE(absl::IsInvalidArgument(parsed.status()));
    EXPECT_TRUE(absl::StrContains(parsed.status().message(), "ms, s, m, h"))
        << parsed.status();
  }
  EXPECT_EQ(ParseDuration("20").status().message(),
            "bad duration \"20\": a whole number and a unit (ms, s, m, h), "
            "such as 250ms or 20s");
  EXPECT_FALSE(ParseDuration(absl::string_view("1s\0", 3)).ok());
}

TEST(ParseDurationTest, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(ParseDuration("2562047h").ok());
  EXPECT_TRUE(ParseDuration("9223372036854ms").ok());
  for (const absl::string_view text :
       {"2562048h", "9223372036855ms", "9223372036854775807s",
        "18446744073709551616ms", "99999999999999999999999999h"}) {
    const auto parsed = ParseDuration(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_TRUE(absl::StrContains(parsed.status().message(),
                                  "is too large: 2562047h is the most"))
        << parsed.status();
  }
  // Too large a number of no known unit is first of all malformed.
  EXPECT_TRUE(absl::StartsWith(
      ParseDuration("99999999999999999999999999x").status().message(), "bad"));
}

TEST(ParseSizeTest, EachUnit) {
  EXPECT_EQ(*ParseSize("0"), 0);
  EXPECT_EQ(*ParseSize("123"), 123);
  EXPECT_EQ(*ParseSize("64KiB"), 65536);
  EXPECT_EQ(*ParseSize("10MiB"), 10485760);
  EXPECT_EQ(*ParseSize("1GiB"), 1073741824);
  EXPECT_EQ(*ParseSize("9223372036854775807"),
            std::numeric_limits<int64_t>::max());
}

TEST(ParseSizeTest, RefusesEverythingElseAndSaysWhatIsAllowed) {
  for (const absl::string_view text :
       {"", "KiB", "-1", "+1", " 1", "1 ", "1 KiB", "1.5MiB", "1k", "1K", "1KB",
        "1kib", "1MB", "1TiB", "0x10", "1KiBx"}) {
    const auto parsed = ParseSize(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_TRUE(absl::StrContains(parsed.status().message(), "KiB, MiB, GiB"))
        << parsed.status();
  }
}

TEST(ParseSizeTest, RefusesWhatDoesNotFit) {
  EXPECT_TRUE(ParseSize("8589934591GiB").ok());
  for (const absl::string_view text :
       {"9223372036854775808", "8589934592GiB", "18446744073709551615KiB",
        "99999999999999999999999999"}) {
    const auto parsed = ParseSize(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_TRUE(absl::StrContains(parsed.status().message(), "too large"))
        << parsed.status();
  }
}

TEST(UnitsToStringTest, TakesTheCoarsestExactUnit) {
  EXPECT_EQ(DurationToString(absl::ZeroDuration()), "0s");
  EXPECT_EQ(DurationToString(absl::Milliseconds(1500)), "1500ms");
  EXPECT_EQ(DurationToString(absl::Seconds(90)), "90s");
  EXPECT_EQ(DurationToString(absl::Seconds(120)), "2m");
  EXPECT_EQ(DurationToString(absl::Hours(48)), "48h");
  EXPECT_EQ(SizeToString(0), "0");
  EXPECT_EQ(SizeToString(1000), "1000");
  EXPECT_EQ(SizeToString(1536), "1536");
  EXPECT_EQ(SizeToString(65536), "64KiB");
  EXPECT_EQ(SizeToString(int64_t{1} << 40), "1024GiB");
}

TEST(UnitsToStringTest, IsDefinedForWhatParseNeverReturns) {
  EXPECT_EQ(DurationToString(absl::Microseconds(999)), "0s");
  EXPECT_EQ(DurationToString(absl::Microseconds(-999)), "0s");
  EXPECT_EQ(DurationToString(absl::Microseconds(2500)), "2ms");
  EXPECT_EQ(DurationToString(-absl::Seconds(3)), "-3s");
  EXPECT_EQ(DurationToString(absl::InfiniteDuration()), "inf");
  EXPECT_EQ(DurationToString(-absl::InfiniteDuration()), "-inf");
  EXPECT_EQ(SizeToString(-2048), "-2KiB");
  EXPECT_EQ(SizeToString(std::numeric_limits<int64_t>::min()),
            "-8589934592GiB");
}

TEST(UnitsToStringTest, ParseReadsBackWhatToStringWrote) {
  for (int64_t value = 1; value > 0 && value < (int64_t{1} << 61);
       value = value * 3 + 1) {
    EXPECT_EQ(*ParseSize(SizeToString(value)), value);
    const absl::Duration duration = absl::Milliseconds(value % 9223372036854);
    EXPECT_EQ(*ParseDuration(DurationToString(duration)), duration);
  }
}

}  // namespace
}  // namespace baton
