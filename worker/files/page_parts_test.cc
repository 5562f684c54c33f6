#include "worker/files/page_parts.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace baton {
namespace {

TEST(HtmlTextTest, Markup) {
  EXPECT_EQ(HtmlText("<a href=\"x\" id='y'>&amp;"),
            "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;");
}

TEST(HtmlTextTest, CharactersOfEveryLength) {
  const absl::string_view text =
      "a\u00E4\u20AC\U0001F600 \u0800\uD7FF\uE000"
      "\U00010000\U0010FFFF";
  EXPECT_EQ(HtmlText(text), text);
}

TEST(HtmlTextTest, WhatIsNotUtf8IsReplaced) {
  EXPECT_EQ(HtmlText("a\xFFz"), "a\uFFFDz");
  EXPECT_EQ(HtmlText("\x80"), "\uFFFD");
  EXPECT_EQ(HtmlText("\xC3"), "\uFFFD");
  EXPECT_EQ(HtmlText("\xE2\x82<"), "\uFFFD\uFFFD&lt;");
  EXPECT_EQ(HtmlText("\xF0\x9F\x98\""), "\uFFFD\uFFFD\uFFFD&quot;");
  // Overlong '/', overlong NUL in three and four bytes.
  EXPECT_EQ(HtmlText("\xC0\xAF"), "\uFFFD\uFFFD");
  EXPECT_EQ(HtmlText("\xE0\x80\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(HtmlText("\xF0\x80\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  // A surrogate, and beyond the last character.
  EXPECT_EQ(HtmlText("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(HtmlText("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
}

TEST(HtmlTextTest, ControlCharactersAreSeen) {
  EXPECT_EQ(HtmlText("a\nb\x1B\x7F"), "a\u240Ab\u241B\u2421");
  EXPECT_EQ(HtmlText(absl::string_view("\0", 1)), "\u2400");
}

TEST(PageHeadTest, TitleIsText) {
  const std::string head = PageHead("</title><script>", "h1 { }");
  EXPECT_TRUE(
      absl::StrContains(head, "<title>&lt;/title&gt;&lt;script&gt;</title>"));
  EXPECT_TRUE(absl::StrContains(head, "h1 { }</style>"));
  EXPECT_FALSE(absl::StrContains(head, "http"));
}

}  // namespace
}  // namespace baton
