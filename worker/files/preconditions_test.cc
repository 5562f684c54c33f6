#include "worker/files/preconditions.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "worker/files/http_date.h"
#include "worker/http/http_head.h"

namespace baton {
namespace {

using Fields = std::vector<HttpField>;

constexpr int64_t kNow = 1795000000;
constexpr int64_t kModified = kNow - 1000;
constexpr absl::string_view kEtag = "\"x,y\"";

Precondition Check(const Fields& fields) {
  return CheckPreconditions(FileConditions::Collect(fields),
                            {.etag = kEtag, .modified = kModified}, kNow);
}

bool Applies(absl::string_view if_range, int64_t now = kNow) {
  const Fields fields = {{"Range", "bytes=0-1"}, {"If-Range", if_range}};
  return RangeApplies(FileConditions::Collect(fields),
                      {.etag = kEtag, .modified = kModified}, now);
}

TEST(FileConditionsTest, NothingOfInterest) {
  const Fields fields = {{"Host", "h"},
                         {"Accept-Language", "de"},
                         {"Cache-Control", "no-cache"},
                         {"Cookie", "range"}};
  const FileConditions conditions = FileConditions::Collect(fields);
  EXPECT_FALSE(conditions.any());
  EXPECT_FALSE(conditions.any_but_coding);
  EXPECT_FALSE(FileConditions::Collect({}).any());
}

TEST(FileConditionsTest, AcceptEncodingAlone) {
  const Fields fields = {{"Host", "h"}, {"accept-encoding", "gzip"}};
  const FileConditions conditions = FileConditions::Collect(fields);
  EXPECT_TRUE(conditions.any());
  EXPECT_FALSE(conditions.any_but_coding);
  EXPECT_EQ(conditions.accept_encoding, "gzip");
}

TEST(FileConditionsTest, Collects) {
  const Fields fields = {
      {"IF-MATCH", "1"},          {"If-None-Match", "2"},
      {"if-modified-since", "3"}, {"If-Unmodified-Since", "4"},
      {"If-Range", "5"},          {"range", "6"},
      {"Accept-Encoding", "7"}};
  const FileConditions conditions = FileConditions::Collect(fields);
  EXPECT_EQ(conditions.if_match, "1");
  EXPECT_EQ(conditions.if_none_match, "2");
  EXPECT_EQ(conditions.if_modified_since, "3");
  EXPECT_EQ(conditions.if_unmodified_since, "4");
  EXPECT_EQ(conditions.if_range, "5");
  EXPECT_EQ(conditions.range, "6");
  EXPECT_EQ(conditions.accept_encoding, "7");
  EXPECT_TRUE(conditions.any_but_coding);
  for (const HttpField& field : fields) {
    const FileConditions one = FileConditions::Collect({&field, 1});
    EXPECT_TRUE(one.any()) << field.name;
    EXPECT_EQ(one.any_but_coding, field.name != "Accept-Encoding");
  }
}

TEST(FileConditionsTest, AnEmptyOneIsThere) {
  const Fields fields = {{"If-None-Match", ""}, {"Accept-Encoding", ""}};
  const FileConditions conditions = FileConditions::Collect(fields);
  EXPECT_EQ(conditions.if_none_match, "");
  EXPECT_EQ(conditions.accept_encoding, "");
}

TEST(FileConditionsTest, JoinsListsOfSeveralLines) {
  const Fields fields = {
      {"If-None-Match", "\"a\""}, {"Accept-Encoding", "gzip"},
      {"if-none-match", "\"b\""}, {"If-Match", ""},
      {"If-Match", "\"x\""},      {"If-None-Match", "\"c\""},
      {"Accept-Encoding", "br"}};
  const FileConditions collected = FileConditions::Collect(fields);
  const absl::string_view before = *collected.if_none_match;
  // The views survive a move.
  FileConditions moved;
  {
    FileConditions other = FileConditions::Collect(fields);
    moved = std::move(other);
  }
  EXPECT_EQ(before, "\"a\", \"b\", \"c\"");
  EXPECT_EQ(moved.if_none_match, "\"a\", \"b\", \"c\"");
  EXPECT_EQ(moved.if_match, ", \"x\"");
  EXPECT_EQ(moved.accept_encoding, "gzip, br");
}

TEST(FileConditionsTest, OthersMayBeThereOnce) {
  const Fields fields = {
      {"Range", "bytes=0-1"},       {"Range", "bytes=0-1"},
      {"If-Modified-Since", "a"},   {"If-Modified-Since", "a"},
      {"If-Unmodified-Since", "a"}, {"If-Unmodified-Since", "a"},
      {"If-Unmodified-Since", "a"}};
  EXPECT_FALSE(FileConditions::Collect(fields).any());
}

TEST(FileConditionsTest, TwoIfRangeNeverApply) {
  const Fields fields = {
      {"Range", "bytes=0-1"}, {"If-Range", kEtag}, {"If-Range", kEtag}};
  EXPECT_FALSE(RangeApplies(FileConditions::Collect(fields),
                            {.etag = kEtag, .modified = kModified}, kNow));
}

TEST(PreconditionsTest, IfMatch) {
  for (const absl::string_view list :
       {"*", "\"x,y\"", "\"a\", \"x,y\"", "\"a\",\"b,c\" ,\t\"x,y\",",
        ",\"x,y\"", "W/\"x,y\", \"x,y\"", "\"\", \"x,y\""}) {
    EXPECT_EQ(Check({{"If-Match", list}}), Precondition::kProceed) << list;
  }
  for (const absl::string_view list :
       {"", ",", "\"x\"", "\"y\"", "\"X,Y\"", "W/\"x,y\"", "x,y", "\"x,y",
        "x,y\"", "**", "*, \"x,y\"", "\"a\", *", "w/\"a\", \"x,y\"",
        "W/ \"a\", \"x,y\"", "a, \"x,y\"", "\"a\" \"x,y\"", "\"x,y\"z",
        "\"a\"\"x,y\""}) {
    EXPECT_EQ(Check({{"If-Match", list}}), Precondition::kFailed) << list;
  }
}

TEST(PreconditionsTest, IfNoneMatch) {
  for (const absl::string_view list :
       {"*", "\"x,y\"", "W/\"x,y\"", "\"a\", W/\"x,y\"", "W/\"a\",\"x,y\"",
        "\"x,y\", bad"}) {
    EXPECT_EQ(Check({{"If-None-Match", list}}), Precondition::kNotModified)
        << list;
  }
  for (const absl::string_view list :
       {"", "\"a\"", "W/\"a\"", "x,y", "w/\"x,y\"", "bad, \"x,y\"", "\"x,y"}) {
    EXPECT_EQ(Check({{"If-None-Match", list}}), Precondition::kProceed) << list;
  }
}

TEST(PreconditionsTest, IfModifiedSince) {
  const auto check = [](int64_t date) {
    return Check({{"If-Modified-Since", FormatHttpDate(date)}});
  };
  EXPECT_EQ(check(kModified - 1), Precondition::kProceed);
  EXPECT_EQ(check(kModified), Precondition::kNotModified);
  EXPECT_EQ(check(kModified + 1), Precondition::kNotModified);
  EXPECT_EQ(check(kNow), Precondition::kNotModified);
  // Nobody has seen a file of then.
  EXPECT_EQ(check(kNow + 1), Precondition::kProceed);
  EXPECT_EQ(Check({{"If-Modified-Since", "yesterday"}}),
            Precondition::kProceed);
}

TEST(PreconditionsTest, IfUnmodifiedSince) {
  const auto check = [](int64_t date) {
    return Check({{"If-Unmodified-Since", FormatHttpDate(date)}});
  };
  EXPECT_EQ(check(kModified - 1), Precondition::kFailed);
  EXPECT_EQ(check(kModified), Precondition::kProceed);
  EXPECT_EQ(check(kNow + 1), Precondition::kProceed);
  EXPECT_EQ(Check({{"If-Unmodified-Since", "yesterday"}}),
            Precondition::kProceed);
}

// RFC 9110 section 13.2.2.
TEST(PreconditionsTest, Precedence) {
  const std::string before = FormatHttpDate(kModified - 1);
  const std::string after = FormatHttpDate(kModified + 1);
  // An etag goes before a date.
  EXPECT_EQ(Check({{"If-Match", kEtag}, {"If-Unmodified-Since", before}}),
            Precondition::kProceed);
  EXPECT_EQ(Check({{"If-Match", "\"a\""}, {"If-Unmodified-Since", after}}),
            Precondition::kFailed);
  EXPECT_EQ(Check({{"If-None-Match", "\"a\""}, {"If-Modified-Since", after}}),
            Precondition::kProceed);
  EXPECT_EQ(Check({{"If-None-Match", kEtag}, {"If-Modified-Since", before}}),
            Precondition::kNotModified);
  EXPECT_EQ(Check({{"If-None-Match", ""}, {"If-Modified-Since", after}}),
            Precondition::kProceed);
  // 412 goes before 304; one that holds does not keep the other from it.
  EXPECT_EQ(Check({{"If-None-Match", kEtag}, {"If-Match", "\"a\""}}),
            Precondition::kFailed);
  EXPECT_EQ(Check({{"If-None-Match", kEtag}, {"If-Match", kEtag}}),
            Precondition::kNotModified);
  EXPECT_EQ(
      Check({{"If-Unmodified-Since", after}, {"If-Modified-Since", after}}),
      Precondition::kNotModified);
  EXPECT_EQ(Check({}), Precondition::kProceed);
  EXPECT_EQ(Check({{"Range", "bytes=0-1"}}), Precondition::kProceed);
}

TEST(RangeAppliesTest, WithoutIfRange) {
  const Fields fields = {{"Range", "bytes=0-1"}};
  EXPECT_TRUE(RangeApplies(FileConditions::Collect(fields),
                           {.etag = kEtag, .modified = kModified}, kNow));
}

TEST(RangeAppliesTest, Etags) {
  EXPECT_TRUE(Applies("\"x,y\""));
  for (const absl::string_view value :
       {"W/\"x,y\"", "\"a\"", "x,y", "*", "", "\"x,y\", \"a\"", "\"x,y"}) {
    EXPECT_FALSE(Applies(value)) << value;
  }
}

TEST(RangeAppliesTest, Dates) {
  EXPECT_TRUE(Applies(FormatHttpDate(kModified)));
  EXPECT_FALSE(Applies(FormatHttpDate(kModified - 1)));
  EXPECT_FALSE(Applies(FormatHttpDate(kModified + 1)));
  // It may still change within its second.
  EXPECT_FALSE(Applies(FormatHttpDate(kModified), kModified));
  EXPECT_TRUE(Applies(FormatHttpDate(kModified), kModified + 1));
  EXPECT_FALSE(Applies(FormatHttpDate(kModified), kModified - 1));
  EXPECT_FALSE(Applies("Sun, 06 Nov 1994"));
}

}  // namespace
}  // namespace baton
