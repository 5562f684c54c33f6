#include "worker/files/directory_page.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "worker/files/directory_listing.h"

namespace baton {
namespace {

DirectoryEntry File(absl::string_view name, int64_t size = 0,
                    int64_t modified = 0) {
  return {std::string(name), false, size, modified};
}

DirectoryEntry Folder(absl::string_view name) {
  return {std::string(name), true, 0, 0};
}

// From the body on: what is said of this directory.
std::string Body(absl::string_view path, const DirectoryListing& listing) {
  const std::string page = DirectoryPage(path, listing);
  const size_t begin = page.find("<body>");
  const size_t script = page.find("<script>");
  EXPECT_NE(begin, std::string::npos);
  return begin == std::string::npos ? "" : page.substr(begin, script - begin);
}

// What the page has for this one entry.
std::string Row(const DirectoryEntry& entry) {
  const std::string body = Body("/", {{entry}, false});
  const size_t begin = body.find("<tbody>\n") + 8;
  return body.substr(begin, body.find("</tbody>") - begin);
}

#define EXPECT_HAS(text, part) \
  EXPECT_TRUE(absl::StrContains(text, part)) << (text)

TEST(DirectoryPageTest, AFile) {
  EXPECT_EQ(Row(File("notes.txt", 1536, 1000000000)),
            "<tr><td><a href=\"./notes.txt\"><bdi>notes.txt</bdi></a></td>"
            "<td><data value=\"1536\" title=\"1,536 bytes\">1.5 KiB</data></td>"
            "<td><time datetime=\"2001-09-09T01:46:40Z\">2001-09-09 01:46"
            "</time></td></tr>\n");
}

TEST(DirectoryPageTest, ADirectory) {
  EXPECT_EQ(Row(Folder("pub")),
            "<tr class=\"d\"><td><a href=\"./pub/\"><bdi>pub/</bdi></a></td>"
            "<td></td><td><time datetime=\"1970-01-01T00:00:00Z\">1970-01-01 "
            "00:00</time></td></tr>\n");
}

TEST(DirectoryPageTest, LinksOfOddNamesStayHere) {
  EXPECT_HAS(Row(File("javascript:x")), "<a href=\"./javascript:x\">");
  EXPECT_HAS(Row(Folder("a:b")), "<a href=\"./a:b/\">");
  EXPECT_HAS(Row(File("a?b#c%20d")), "<a href=\"./a%3Fb%23c%2520d\">");
  EXPECT_HAS(Row(File("\\\\host")), "<a href=\"./%5C%5Chost\">");
  EXPECT_HAS(Row(File("\"><script>")),
             "<a href=\"./%22%3E%3Cscript%3E\"><bdi>&quot;&gt;&lt;script&gt;<");
  EXPECT_HAS(Row(File("a b\nc\xFF")),
             "<a href=\"./a%20b%0Ac%FF\"><bdi>a b\u240Ac\uFFFD<");
  EXPECT_HAS(Row(File("a&b'c")), "<a href=\"./a%26b%27c\"><bdi>a&amp;b&#39;c<");
  EXPECT_HAS(Row(File("\u00E4")), "<a href=\"./%C3%A4\"><bdi>\u00E4<");
}

TEST(DirectoryPageTest, TheTopHasNoParent) {
  const std::string body = Body("/", {});
  EXPECT_HAS(body, "<h1>Index of /</h1>");
  EXPECT_FALSE(absl::StrContains(body, "../"));
}

TEST(DirectoryPageTest, Breadcrumb) {
  EXPECT_HAS(Body("/pub/", {}),
             "<h1><a href=\"../\" title=\"Top\">Index of</a><i>/</i>"
             "<bdi>pub</bdi></h1>");
  const std::string body = Body("/a/<b>/c/", {});
  EXPECT_HAS(body,
             "<h1><a href=\"../../../\" title=\"Top\">Index of</a><i>/</i>"
             "<a href=\"../../\"><bdi>a</bdi></a><i>/</i>"
             "<a href=\"../\"><bdi>&lt;b&gt;</bdi></a><i>/</i>"
             "<bdi>c</bdi></h1>");
  EXPECT_HAS(body, "<a href=\"../\">Parent directory</a>");
}

// A client counts an empty segment as one, so links do.
TEST(DirectoryPageTest, BreadcrumbWithEmptySegments) {
  EXPECT_HAS(Body("//evil/", {}),
             "<h1><a href=\"../../\" title=\"Top\">Index of</a><i>/</i>"
             "<i>/</i><bdi>evil</bdi></h1>");
}

TEST(DirectoryPageTest, BreadcrumbOfADeepPathIsBounded) {
  std::string path = "/";
  for (int i = 0; i < 2000; ++i) path += "a/";
  EXPECT_LT(DirectoryPage(path, {}).size(), 50000u);
}

TEST(DirectoryPageTest, CountsAndTotal) {
  EXPECT_HAS(Body("/", {{Folder("d"), File("a", 1024), File("b", 512)}, false}),
             "<p>1 directory, 2 files, <span title=\"1,536 bytes\">1.5 KiB");
  EXPECT_HAS(Body("/", {}), "<p>0 directories, 0 files, ");
  EXPECT_HAS(Body("/", {}), "There is nothing here.");
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_HAS(Body("/", {{File("a", most), File("b", most)}, false}),
             "9,223,372,036,854,775,807 bytes\">8.0 EiB");
}

TEST(DirectoryPageTest, SaysThatThereIsMore) {
  const absl::string_view note = "more entries than the 1 shown here";
  EXPECT_HAS(Body("/", {{File("a")}, true}), note);
  EXPECT_FALSE(absl::StrContains(Body("/", {{File("a")}, false}), note));
}

TEST(DirectoryPageTest, DatesHaveFourDigitsOfYear) {
  const int64_t most = std::numeric_limits<int64_t>::max();
  EXPECT_HAS(Row(File("a", 0, most)), "9999-12-31T23:59:59Z");
  EXPECT_HAS(Row(File("a", 0, -most)), "0001-01-01T00:00:00Z");
  EXPECT_HAS(Row(File("a", 0, -1)), "1969-12-31T23:59:59Z");
}

TEST(DirectoryPageTest, NeedsNothingFromElsewhere) {
  const std::string page = DirectoryPage("/pub/", {{File("a")}, false});
  EXPECT_FALSE(absl::StrContains(page, "https:"));
  EXPECT_FALSE(absl::StrContains(page, "src="));
  EXPECT_FALSE(absl::StrContains(page, "@import"));
}

TEST(ReadableSizeTest, ThreeDigitsAtMost) {
  EXPECT_EQ(ReadableSize(0), "0 B");
  EXPECT_EQ(ReadableSize(1023), "1023 B");
  EXPECT_EQ(ReadableSize(1024), "1.0 KiB");
  EXPECT_EQ(ReadableSize(10188), "9.9 KiB");
  EXPECT_EQ(ReadableSize(10189), "10 KiB");
  EXPECT_EQ(ReadableSize(1023 * 1024), "1023 KiB");
  EXPECT_EQ(ReadableSize(1024 * 1024 - 1), "1.0 MiB");
  EXPECT_EQ(ReadableSize(int64_t{5} << 40), "5.0 TiB");
}

TEST(GroupedNumberTest, ThreeDigitsAGroup) {
  EXPECT_EQ(GroupedNumber(0), "0");
  EXPECT_EQ(GroupedNumber(999), "999");
  EXPECT_EQ(GroupedNumber(1000), "1,000");
  EXPECT_EQ(GroupedNumber(-1000), "-1,000");
  EXPECT_EQ(GroupedNumber(-100), "-100");
  EXPECT_EQ(GroupedNumber(12345678), "12,345,678");
}

}  // namespace
}  // namespace baton
