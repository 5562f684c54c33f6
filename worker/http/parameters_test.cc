#include "worker/http/parameters.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace baton {
namespace {

// The parameters with brackets around each name and value.
std::string Read(absl::string_view text) {
  std::string result;
  for (const auto& [name, value] : HttpParameters::Parse(text)) {
    absl::StrAppend(&result, "[", name, "][", value, "]");
  }
  return result;
}

TEST(HttpParametersTest, SplitsIntoPairs) {
  EXPECT_EQ(Read("a=1&b=2"), "[a][1][b][2]");
  EXPECT_EQ(Read("a=b=c"), "[a][b=c]");
  EXPECT_EQ(Read("a"), "[a][]");
  EXPECT_EQ(Read("a="), "[a][]");
  EXPECT_EQ(Read("=a"), "[][a]");
  EXPECT_EQ(Read("="), "[][]");
  EXPECT_EQ(Read("=="), "[][=]");
  EXPECT_EQ(Read("a=1;b=2"), "[a][1;b=2]");
  EXPECT_EQ(Read("?a=1#x"), "[?a][1#x]");
}

TEST(HttpParametersTest, SkipsEmptyParts) {
  EXPECT_EQ(Read(""), "");
  EXPECT_EQ(Read("&"), "");
  EXPECT_EQ(Read("&&a=1&&&b=2&"), "[a][1][b][2]");
}

TEST(HttpParametersTest, DecodesNamesAndValues) {
  EXPECT_EQ(Read("a+b=c+d"), "[a b][c d]");
  EXPECT_EQ(Read("%61%3D=%26%2b%25"), "[a=][&+%]");
  EXPECT_EQ(Read("q=gr%C3%BC%c3%9fe+%E2%82%AC"), "[q][gr\u00fc\u00dfe \u20ac]");
  EXPECT_EQ(Read("gr\u00fc\u00df=\xff%ff"), "[gr\u00fc\u00df][\xff\xff]");
  EXPECT_EQ(Read("a=x%00y"), absl::StrCat("[a][x", std::string(1, '\0'), "y]"));
}

TEST(HttpParametersTest, WhatIsDecodedIsNotReadAgain) {
  EXPECT_EQ(Read("a=%2541"), "[a][%41]");
  EXPECT_EQ(Read("a=%26b%3D1"), "[a][&b=1]");
  EXPECT_EQ(Read("a=%2B"), "[a][+]");
}

TEST(HttpParametersTest, KeepsWhatIsNoEscape) {
  for (const absl::string_view text :
       {"%", "%4", "%zz", "%4z", "%z4", "100%", "%%", "%-1", "%0x", "%u0041"}) {
    EXPECT_EQ(Read(text), absl::StrCat("[", text, "][]"));
    EXPECT_EQ(Read(absl::StrCat("a=", text)), absl::StrCat("[a][", text, "]"));
  }
  EXPECT_EQ(Read("%%41"), "[%A][]");
  EXPECT_EQ(Read("%+1"), "[% 1][]");
  // The end of a part is the end of an escape.
  EXPECT_EQ(Read("a%4=1&b=%4&1=2"), "[a%4][1][b][%4][1][2]");
}

TEST(HttpParametersTest, Gets) {
  const auto parameters = HttpParameters::Parse("a=1&b=2&a=3&e&%61=4&A=5");
  EXPECT_EQ(parameters.size(), 6u);
  EXPECT_FALSE(parameters.empty());
  EXPECT_EQ(parameters.Get("a"), "1");
  EXPECT_EQ(parameters.Get("A"), "5");
  EXPECT_EQ(parameters.Get("e"), "");
  EXPECT_EQ(parameters.Get("c"), std::nullopt);
  EXPECT_EQ(parameters.Get(""), std::nullopt);
  EXPECT_EQ(parameters.GetAll("a"),
            (std::vector<absl::string_view>{"1", "3", "4"}));
  EXPECT_TRUE(parameters.GetAll("c").empty());
}

TEST(HttpParametersTest, NothingIsEmpty) {
  const HttpParameters parameters;
  EXPECT_TRUE(parameters.empty());
  EXPECT_EQ(parameters.size(), 0u);
  EXPECT_FALSE(parameters.truncated());
  EXPECT_EQ(parameters.begin(), parameters.end());
}

TEST(HttpParametersTest, DropsWhatIsTooMany) {
  std::string text;
  for (size_t i = 0; i < kMaxHttpParameters; ++i) {
    absl::StrAppend(&text, "&p", i, "=", i);
  }
  // Empty parts don't count.
  const auto full = HttpParameters::Parse(absl::StrCat(text, "&&&"));
  EXPECT_EQ(full.size(), kMaxHttpParameters);
  EXPECT_FALSE(full.truncated());
  EXPECT_EQ(full.Get("p999"), "999");

  const auto over = HttpParameters::Parse(absl::StrCat(text, "&over=1"));
  EXPECT_EQ(over.size(), kMaxHttpParameters);
  EXPECT_TRUE(over.truncated());
  EXPECT_EQ(over.Get("over"), std::nullopt);
}

}  // namespace
}  // namespace baton
