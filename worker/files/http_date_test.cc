#include "worker/files/http_date.h"

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr int64_t kExample = 784111777;  // that of RFC 9110 section 5.6.7
constexpr int64_t kNow = 1795000000;     // 2026

TEST(HttpDateTest, WritesTheFirstForm) {
  EXPECT_EQ(FormatHttpDate(kExample), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(FormatHttpDate(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(FormatHttpDate(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
  EXPECT_EQ(FormatHttpDate(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(FormatHttpDate(2147483648), "Tue, 19 Jan 2038 03:14:08 GMT");
}

TEST(HttpDateTest, WritesFourDigitsOfAnyYear) {
  EXPECT_EQ(FormatHttpDate(INT64_MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
  EXPECT_EQ(FormatHttpDate(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(FormatHttpDate(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(FormatHttpDate(253402300800), "Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST(HttpDateTest, ReadsTheThreeForms) {
  for (const absl::string_view text :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994"}) {
    EXPECT_EQ(ParseHttpDate(text, kNow), kExample) << text;
  }
  EXPECT_EQ(ParseHttpDate("Wed Nov 16 08:49:37 1994", kNow),
            kExample + 10 * 86400);
  EXPECT_EQ(ParseHttpDate("Wednesday, 16-Nov-94 08:49:37 GMT", kNow),
            kExample + 10 * 86400);
}

TEST(HttpDateTest, ReadsWhatItWrites) {
  for (int64_t time = -3000000000; time < 9000000000; time += 77777777) {
    EXPECT_EQ(ParseHttpDate(FormatHttpDate(time), kNow), time);
  }
}

// The year that "01-Jan-YY" is, `now` being the first of November 2026.
TEST(HttpDateTest, TwoDigitsOfAYearAreNoMoreThanFiftyYearsAhead) {
  const auto read = [](absl::string_view text, int64_t now) {
    return FormatHttpDate(ParseHttpDate(text, now).value_or(0)).substr(5, 20);
  };
  constexpr int64_t kNovember = 1793491200;  // 2026-11-01 00:00:00
  EXPECT_EQ(read("Friday, 01-Jan-26 00:00:00 GMT", kNovember),
            "01 Jan 2026 00:00:00");
  EXPECT_EQ(read("Friday, 01-Nov-76 00:00:00 GMT", kNovember),
            "01 Nov 2076 00:00:00");
  EXPECT_EQ(read("Friday, 01-Nov-76 00:00:01 GMT", kNovember),
            "01 Nov 1976 00:00:01");
  EXPECT_EQ(read("Friday, 01-Jan-77 00:00:00 GMT", kNovember),
            "01 Jan 1977 00:00:00");
  EXPECT_EQ(read("Friday, 31-Dec-99 23:59:59 GMT", kNovember),
            "31 Dec 1999 23:59:59");
  EXPECT_EQ(read("Friday, 01-Jan-00 00:00:00 GMT", kNovember),
            "01 Jan 2000 00:00:00");
  constexpr int64_t k2099 = 4073068800;
  EXPECT_EQ(read("Friday, 01-Jan-01 00:00:00 GMT", k2099),
            "01 Jan 2101 00:00:00");
  // 2000 had that day, 1900 has not.
  EXPECT_EQ(read("Friday, 29-Feb-00 00:00:00 GMT", kNovember),
            "29 Feb 2000 00:00:00");
}

TEST(HttpDateTest, KnowsTheCalendar) {
  EXPECT_TRUE(ParseHttpDate("Tue, 29 Feb 2000 00:00:00 GMT", kNow).has_value());
  EXPECT_EQ(ParseHttpDate("Tue, 29 Feb 1900 00:00:00 GMT", kNow), std::nullopt);
  EXPECT_EQ(ParseHttpDate("Tue, 31 Nov 2000 00:00:00 GMT", kNow), std::nullopt);
  EXPECT_EQ(ParseHttpDate("Tue, 00 Nov 2000 00:00:00 GMT", kNow), std::nullopt);
  EXPECT_EQ(ParseHttpDate("Tue, 01 Nov 2000 24:00:00 GMT", kNow), std::nullopt);
  EXPECT_EQ(ParseHttpDate("Tue, 01 Nov 2000 23:60:00 GMT", kNow), std::nullopt);
  EXPECT_EQ(ParseHttpDate("Tue, 01 Nov 2000 23:00:61 GMT", kNow), std::nullopt);
  // A leap second.
  EXPECT_EQ(ParseHttpDate("Sat, 31 Dec 2016 23:59:60 GMT", kNow), 1483228800);
}

TEST(HttpDateTest, RefusesWhatIsNoDate) {
  for (const absl::string_view text :
       {"", "0", "784111777", "Sun", "Sun,", "Sun, ",
        // Nearly.
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 06 Nov 1994 8:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 gmt", "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT", "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 06  Nov 1994 08:49:37 GMT", "Sun, -6 Nov 1994 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT", "Son, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT", "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 94", "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov   08:49:37 1994", "1994-11-06T08:49:37Z"}) {
    EXPECT_EQ(ParseHttpDate(text, kNow), std::nullopt) << text;
  }
}

TEST(HttpDateTest, RefusesTheBeginningOfADate) {
  for (const absl::string_view text :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994"}) {
    for (size_t size = 0; size < text.size(); ++size) {
      EXPECT_EQ(ParseHttpDate(text.substr(0, size), kNow), std::nullopt);
    }
  }
}

}  // namespace
}  // namespace baton
