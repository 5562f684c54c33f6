#include "worker/http/file_options.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using Options = std::vector<std::pair<std::string, std::string>>;

FileSiteOptions Read(Options options) {
  options.emplace_back("root", "/srv");
  absl::StatusOr<std::optional<FileSiteOptions>> read =
      ReadFileOptions(options);
  EXPECT_TRUE(read.ok()) << read.status();
  return read.ok() ? **std::move(read) : FileSiteOptions();
}

std::string ErrorOf(const std::string& name, const std::string& value) {
  return std::string(ReadFileOptions(Options{{name, value}, {"root", "/srv"}})
                         .status()
                         .message());
}

TEST(FileOptionsTest, WithoutARootThereIsNoSite) {
  EXPECT_EQ(*ReadFileOptions({}), std::nullopt);
  EXPECT_EQ(*ReadFileOptions(Options{{"max_body", "5"}}), std::nullopt);
  EXPECT_EQ(ReadFileOptions(Options{{"autoindex", "1"}}).status().message(),
            "autoindex= is of no use without root=");
}

TEST(FileOptionsTest, Defaults) {
  const FileSiteOptions site = Read({{"max_body", "5"}});
  EXPECT_EQ(site.root, "/srv");
  EXPECT_EQ(site.indexes, std::vector<std::string>{"index.html"});
  EXPECT_FALSE(site.autoindex);
  EXPECT_EQ(site.fields, "");
  EXPECT_EQ(site.fallback, "");
  EXPECT_TRUE(site.error_pages.empty());
}

TEST(FileOptionsTest, AllOfThem) {
  const FileSiteOptions site = Read({{"autoindex", "1"},
                                     {"cache_control", "public, max-age=60"},
                                     {"error_page", "404:/404.html"},
                                     {"error_page", "503:/a%20b"},
                                     {"fallback", "/index.html"},
                                     {"header", "X-A:b"},
                                     {"header", "X-A: c : d "},
                                     {"index", "index.html;index.htm"}});
  EXPECT_TRUE(site.autoindex);
  EXPECT_EQ(site.fields, "X-A: b\r\nX-A: c : d\r\n");
  EXPECT_EQ(site.file_fields, "Cache-Control: public, max-age=60\r\n");
  EXPECT_EQ(site.fallback, "/index.html");
  EXPECT_EQ(site.error_pages.at(404), "/404.html");
  EXPECT_EQ(site.error_pages.at(503), "/a%20b");
  EXPECT_EQ(site.indexes,
            (std::vector<std::string>{"index.html", "index.htm"}));
}

TEST(FileOptionsTest, AnErrorNamesTheOptionAndItsValue) {
  EXPECT_EQ(ErrorOf("autoindex", "yes"), "autoindex=\"yes\": must be 0 or 1");
  EXPECT_EQ(
      ErrorOf("error_page", "404"),
      "error_page=\"404\": must be STATUS:PATH, with a status out of 403, "
      "404, 405, 412, 416, 500, 503");
  EXPECT_EQ(ErrorOf("error_page", "404:x"),
            "error_page=\"404:x\": must be the path of a URL, such as "
            "/index.html");
}

TEST(FileOptionsTest, FieldsThatAreNoneOrNotTheSites) {
  for (const char* header : {"X-A",
                             ":b",
                             "X-A:\r\nX-B:c",
                             "X-A:b\n",
                             "X A:b",
                             "X-A:b\r\nX-B:c",
                             "X-A:b\nX-B:c",
                             "Date:x",
                             "content-length:5",
                             "Connection:close",
                             "Transfer-Encoding:chunked",
                             "Server:x",
                             "Content-Type:text/plain",
                             "ETag:\"x\"",
                             "Last-Modified:never",
                             "accept-ranges:none",
                             "Content-Encoding:gzip",
                             "Content-Range:bytes 0-1/5",
                             "Location:/",
                             "Allow:GET"}) {
    EXPECT_NE(ErrorOf("header", header), "") << header;
  }
  EXPECT_NE(ErrorOf("cache_control", "public\r\nX-A: b"), "");
  EXPECT_EQ(ErrorOf("header", "Vary:Origin"), "");
}

TEST(FileOptionsTest, NamesAndPathsThatAreNone) {
  for (const char* index : {"", ";", "a;", "..", ".a", "a/b", "a;../b"}) {
    EXPECT_NE(ErrorOf("index", index), "") << index;
  }
  for (const char* page : {"", "index.html", "//a", "/../a", "/a/../b", "/.a",
                           "/a%2fb", "/a b", "/%61"}) {
    EXPECT_NE(ErrorOf("fallback", page), "") << page;
    EXPECT_NE(ErrorOf("error_page", absl::StrCat("404:", page)), "") << page;
  }
  for (const char* page : {"200:/a", "399:/a", "600:/a", "4o4:/a", ":/a",
                           "99999999999:/a", "-404:/a", "404/a"}) {
    EXPECT_NE(ErrorOf("error_page", page), "") << page;
  }
  const absl::Status twice = ReadFileOptions(Options{{"error_page", "404:/a"},
                                                     {"error_page", "404:/b"},
                                                     {"root", "/srv"}})
                                 .status();
  EXPECT_TRUE(absl::StrContains(twice.message(), "another page")) << twice;
}

}  // namespace
}  // namespace baton
