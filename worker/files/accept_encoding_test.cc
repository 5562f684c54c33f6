#include "worker/files/accept_encoding.h"

#include <optional>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr AvailableCodings kBoth = {.gzip = true, .brotli = true};
constexpr AvailableCodings kGzipOnly = {.gzip = true};
constexpr ContentCoding kIdentity = ContentCoding::kIdentity;
constexpr ContentCoding kGzip = ContentCoding::kGzip;
constexpr ContentCoding kBrotli = ContentCoding::kBrotli;

ContentCoding Choose(absl::string_view field) {
  return ChooseCoding(field, kBoth);
}

TEST(AcceptEncodingTest, WhatBrowsersSend) {
  EXPECT_EQ(Choose("gzip, deflate, br, zstd"), kBrotli);
  EXPECT_EQ(Choose("gzip, deflate"), kGzip);
  EXPECT_EQ(ChooseCoding("gzip, deflate, br", kGzipOnly), kGzip);
  EXPECT_EQ(ChooseCoding("gzip, deflate, br", {}), kIdentity);
  EXPECT_EQ(Choose("deflate, zstd"), kIdentity);
}

// RFC 9110 section 12.5.3.
TEST(AcceptEncodingTest, ExamplesOfTheRfc) {
  EXPECT_EQ(Choose("compress, gzip"), kGzip);
  EXPECT_EQ(Choose(""), kIdentity);
  EXPECT_EQ(Choose("*"), kBrotli);
  EXPECT_EQ(Choose("compress;q=0.5, gzip;q=1.0"), kGzip);
  EXPECT_EQ(Choose("gzip;q=1.0, identity; q=0.5, *;q=0"), kGzip);
}

TEST(AcceptEncodingTest, WithoutTheField) {
  EXPECT_EQ(ChooseCoding(std::nullopt, kBoth), kIdentity);
  const auto codings = AcceptedCodings::Parse(std::nullopt);
  EXPECT_FALSE(codings.TakesAnyCoding());
  EXPECT_TRUE(codings.Takes(kIdentity));
}

TEST(AcceptEncodingTest, TheGreatestWeightWins) {
  EXPECT_EQ(Choose("gzip, br;q=0.9"), kGzip);
  EXPECT_EQ(Choose("gzip;q=0.5, br;q=0.5"), kBrotli);
  EXPECT_EQ(Choose("gzip;q=0.501, br;q=0.5"), kGzip);
  EXPECT_EQ(Choose("gzip;q=0.5, identity"), kIdentity);
  EXPECT_EQ(Choose("gzip, identity"), kGzip);
  EXPECT_EQ(Choose("identity;q=0.5, br;q=0.4, gzip;q=0.6"), kGzip);
  // Identity that nobody has named comes last.
  EXPECT_EQ(Choose("gzip;q=0.001"), kGzip);
}

TEST(AcceptEncodingTest, Star) {
  EXPECT_EQ(Choose("*;q=0.5, gzip;q=0.3"), kBrotli);
  EXPECT_EQ(ChooseCoding("*;q=0.5, gzip;q=0.3", kGzipOnly), kIdentity);
  EXPECT_EQ(Choose("br;q=0, *"), kGzip);
  EXPECT_EQ(Choose("*;q=0"), kIdentity);
  EXPECT_EQ(Choose("*;q=0, gzip"), kGzip);
  EXPECT_EQ(Choose("gzip, *;q=0"), kGzip);
}

TEST(AcceptEncodingTest, WhatIsNotTaken) {
  EXPECT_EQ(Choose("gzip;q=0"), kIdentity);
  EXPECT_EQ(Choose("gzip;q=0.000, br;q=0.0"), kIdentity);
  EXPECT_EQ(Choose("identity;q=0, gzip;q=0.1"), kGzip);
  // There is nothing else to send.
  EXPECT_EQ(Choose("identity;q=0"), kIdentity);
  EXPECT_EQ(ChooseCoding("identity;q=0, br", kGzipOnly), kIdentity);
  EXPECT_FALSE(AcceptedCodings::Parse("identity;q=0, br").Takes(kIdentity));
  EXPECT_FALSE(AcceptedCodings::Parse("*;q=0").Takes(kIdentity));
  EXPECT_TRUE(AcceptedCodings::Parse("*;q=0, identity").Takes(kIdentity));
  EXPECT_TRUE(AcceptedCodings::Parse("br").Takes(kIdentity));
}

TEST(AcceptEncodingTest, Spelling) {
  EXPECT_EQ(Choose("GZip"), kGzip);
  EXPECT_EQ(Choose("x-gzip"), kGzip);
  EXPECT_EQ(Choose("BR"), kBrotli);
  EXPECT_EQ(Choose("gzip ; Q=0.5"), kGzip);
  EXPECT_EQ(Choose(" ,, gzip\t;\tq=1 ,"), kGzip);
  EXPECT_EQ(Choose("gzip2, brotli, xgzip"), kIdentity);
}

TEST(AcceptEncodingTest, SkipsWhatIsMalformed) {
  for (const absl::string_view field :
       {"gzip;q=", "gzip;q=2", "gzip;q=1.001", "gzip;q=0.0001", "gzip;q=.5",
        "gzip;q=-1", "gzip;q=a", "gzip;q=1 0", "gzip;q", "gzip;",
        "gzip;level=1", "gzip q=1", "gzip;q = 1", "gzip;q=1;q=1"}) {
    EXPECT_EQ(Choose(field), kIdentity) << field;
  }
  EXPECT_EQ(Choose("br;q=x, gzip"), kGzip);
  EXPECT_EQ(Choose("gzip;q=0, gzip"), kIdentity);
  EXPECT_EQ(Choose("gzip;q=1., br;q=0."), kGzip);
}

TEST(AcceptEncodingTest, Names) {
  EXPECT_EQ(ContentCodingName(kIdentity), "");
  EXPECT_EQ(ContentCodingName(kGzip), "gzip");
  EXPECT_EQ(ContentCodingName(kBrotli), "br");
}

}  // namespace
}  // namespace baton
