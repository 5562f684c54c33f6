#include "worker/files/file_path.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

// "404", or the file, with a '/' behind what names a directory.
std::string Decode(absl::string_view raw) {
  const std::optional<FilePath> path = DecodeFilePath(raw);
  if (!path.has_value()) return "404";
  return absl::StrCat(path->relative, path->names_directory ? "/" : "");
}

TEST(FilePathTest, Decodes) {
  EXPECT_EQ(Decode("/"), "/");
  EXPECT_EQ(Decode("/a"), "a");
  EXPECT_EQ(Decode("/a/"), "a/");
  EXPECT_EQ(Decode("/a/b.html"), "a/b.html");
  EXPECT_EQ(Decode("/a%20b/%c3%BC"), "a b/\u00fc");
  EXPECT_EQ(Decode("/a+b"), "a+b");
  EXPECT_EQ(Decode("/%61%2e%2E"), "a..");
}

TEST(FilePathTest, DecodesOnce) {
  EXPECT_EQ(Decode("/%2561"), "%61");
  EXPECT_EQ(Decode("/a/%252e%252e/b"), "a/%2e%2e/b");
  EXPECT_EQ(Decode("/a%252Fb"), "a%2Fb");
  EXPECT_EQ(Decode("/%2500"), "%00");
}

TEST(FilePathTest, DropsEmptySegments) {
  EXPECT_EQ(Decode("//"), "/");
  EXPECT_EQ(Decode("//a"), "a");
  EXPECT_EQ(Decode("///a//b///"), "a/b/");
  EXPECT_EQ(Decode("//etc/passwd"), "etc/passwd");
}

// RFC 3986 section 5.2.4.
TEST(FilePathTest, RemovesDotSegments) {
  EXPECT_EQ(Decode("/."), "/");
  EXPECT_EQ(Decode("/./"), "/");
  EXPECT_EQ(Decode("/./a"), "a");
  EXPECT_EQ(Decode("/a/./b"), "a/b");
  EXPECT_EQ(Decode("/a/."), "a/");
  EXPECT_EQ(Decode("/a/.."), "/");
  EXPECT_EQ(Decode("/a/../"), "/");
  EXPECT_EQ(Decode("/a/../b"), "b");
  EXPECT_EQ(Decode("/a/b/.."), "a/");
  EXPECT_EQ(Decode("/a/b/../c"), "a/c");
  EXPECT_EQ(Decode("/a/b/../../c"), "c");
  EXPECT_EQ(Decode("/a//../b"), "b");
  EXPECT_EQ(Decode("/%2e/a/%2E%2e/b/.%2e/c"), "c");
  EXPECT_EQ(Decode("/a/../.well-known/b"), ".well-known/b");
}

TEST(FilePathTest, RefusesToLeaveTheRoot) {
  for (const absl::string_view raw :
       {"/..", "/../", "/../a", "//..", "//../a", "/./..", "/a/../..",
        "/a/../../a", "/%2e%2e", "/.%2e/a", "/%2E./a", "/a/%2e%2e/%2e%2e/b"}) {
    EXPECT_EQ(Decode(raw), "404") << raw;
  }
}

TEST(FilePathTest, RefusesDotFiles) {
  for (const absl::string_view raw :
       {"/...", "/.git/config", "/a/.htaccess", "/%2egit", "/.git/../a",
        "/..%5ca", "/..\\a"}) {
    EXPECT_EQ(Decode(raw), "404") << raw;
  }
  // A dot elsewhere is one of a name.
  EXPECT_EQ(Decode("/a./b..c"), "a./b..c");
}

// RFC 8615.
TEST(FilePathTest, WellKnown) {
  EXPECT_EQ(Decode("/.well-known"), ".well-known");
  EXPECT_EQ(Decode("/.well-known/acme-challenge/x"),
            ".well-known/acme-challenge/x");
  EXPECT_EQ(Decode("//%2Ewell-known/"), ".well-known/");
  EXPECT_EQ(Decode("/a/.well-known"), "404");
  EXPECT_EQ(Decode("/.well-known/.well-known"), "404");
  EXPECT_EQ(Decode("/.well-known/../a"), "a");
  EXPECT_EQ(Decode("/.well-knownx"), "404");
  EXPECT_EQ(Decode("/.Well-Known"), "404");
}

TEST(FilePathTest, RefusesBadEscapes) {
  for (const absl::string_view raw :
       {"/%",        "/%4",   "/a%",     "/a%2",    "/%zz",
        "/%4z",      "/%z4",  "/%%",     "/%u0041", "/%-1",
        "/% 1",      "/a%/b", "/a%2/b",  "/%00",    "/a%00b",
        "/a.png%00", "/%2f",  "/%2Fetc", "/a%2fb",  "/a%2F..%2Fb"}) {
    EXPECT_EQ(Decode(raw), "404") << raw;
  }
  EXPECT_EQ(Decode(absl::string_view("/a\0b", 4)), "404");
}

TEST(FilePathTest, BeginsWithASlash) {
  EXPECT_EQ(Decode(""), "404");
  EXPECT_EQ(Decode("a"), "404");
  EXPECT_EQ(Decode("*"), "404");
  EXPECT_EQ(Decode("%2Fa"), "404");
}

TEST(FilePathTest, AllElseIsAName) {
  EXPECT_EQ(Decode("/a\\..\\b"), "a\\..\\b");
  EXPECT_EQ(Decode("/%5c"), "\\");
  EXPECT_EQ(Decode("/C:"), "C:");
  EXPECT_EQ(Decode("/~root"), "~root");
  // '.' and '/' in too many bytes.
  EXPECT_EQ(Decode("/%c0%ae%c0%ae/a"), "\xc0\xae\xc0\xae/a");
  EXPECT_EQ(Decode("/%c0%afa"),
            "\xc0\xaf"
            "a");
  EXPECT_EQ(Decode("/%e0%80%ae"), "\xe0\x80\xae");
  EXPECT_EQ(Decode("/%ff%fe%0a%0d%7f"), "\xff\xfe\n\r\x7f");
}

TEST(FilePathTest, Sizes) {
  const std::string name(255, 'a');
  EXPECT_EQ(Decode(absl::StrCat("/", name)), name);
  EXPECT_EQ(Decode(absl::StrCat("/", name, "a")), "404");
  EXPECT_EQ(Decode(absl::StrCat("/b/", name, "a/b")), "404");
  std::string escaped = "/";
  for (int i = 0; i < 255; ++i) escaped += "%61";
  EXPECT_EQ(Decode(escaped), name);
  EXPECT_EQ(Decode(absl::StrCat(escaped, "%61")), "404");

  std::string deep;  // of 15 * 256 + 160 = 4000 bytes
  for (int i = 0; i < 15; ++i) absl::StrAppend(&deep, "/", name);
  absl::StrAppend(&deep, "/", std::string(160, 'a'));
  EXPECT_EQ(Decode(deep), deep.substr(1));
  EXPECT_TRUE(IsCanonicalFilePath(deep));
  EXPECT_EQ(Decode(absl::StrCat(deep, "/")), absl::StrCat(deep, "/").substr(1));
  EXPECT_TRUE(IsCanonicalFilePath(absl::StrCat(deep, "/")));
  EXPECT_EQ(Decode(absl::StrCat(deep, "a")), "404");
  EXPECT_FALSE(IsCanonicalFilePath(absl::StrCat(deep, "a")));
  EXPECT_EQ(Decode(std::string(30000, '/')), "/");
}

TEST(FilePathTest, Encodes) {
  EXPECT_EQ(EncodeFilePath(""), "/");
  EXPECT_EQ(EncodeFilePath("a"), "/a");
  EXPECT_EQ(EncodeFilePath("a/b/"), "/a/b/");
  EXPECT_EQ(EncodeFilePath("a b"), "/a%20b");
  EXPECT_EQ(EncodeFilePath("\u00fc"), "/%C3%BC");
  EXPECT_EQ(EncodeFilePath("100%"), "/100%25");
  EXPECT_EQ(EncodeFilePath("a?b#c"), "/a%3Fb%23c");
  EXPECT_EQ(EncodeFilePath("\\\\host"), "/%5C%5Chost");
  EXPECT_EQ(EncodeFilePath("<a href=\"'x'\">&amp;"),
            "/%3Ca%20href=%22%27x%27%22%3E%26amp;");
  EXPECT_EQ(EncodeFilePath("a\r\nSet-Cookie: x"), "/a%0D%0ASet-Cookie:%20x");
  EXPECT_EQ(EncodeFilePath("A-z0.9_~!$()*+,;=:@"), "/A-z0.9_~!$()*+,;=:@");
  EXPECT_EQ(EncodeFilePath("//host/a"), "/host/a");
  EXPECT_EQ(EncodeFilePath("a//b"), "/a/b");
  EXPECT_EQ(EncodeFilePath({.relative = "a", .names_directory = true}), "/a/");
  EXPECT_EQ(EncodeFilePath({.relative = "", .names_directory = true}), "/");
}

TEST(FilePathTest, DecodesWhatItEncodes) {
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/' || byte == '.') continue;
    const std::string name(1, static_cast<char>(byte));
    for (const bool names_directory : {false, true}) {
      const FilePath path = {.relative = name,
                             .names_directory = names_directory};
      const std::string text = EncodeFilePath(path);
      EXPECT_EQ(DecodeFilePath(text), path) << byte;
      EXPECT_TRUE(IsCanonicalFilePath(text)) << text;
    }
  }
}

TEST(FilePathTest, KnowsWhatIsCanonical) {
  for (const absl::string_view raw :
       {"/", "/a", "/a/", "/a/b.html", "/%20", "/%C3%BC", "/.well-known/a"}) {
    EXPECT_TRUE(IsCanonicalFilePath(raw)) << raw;
    EXPECT_EQ(EncodeFilePath(*DecodeFilePath(raw)), raw);
  }
  for (const absl::string_view raw : {"",
                                      "a",
                                      "//",
                                      "//a",
                                      "/a//",
                                      "/a//b",
                                      "/.",
                                      "/..",
                                      "/.git",
                                      "/a/..",
                                      "/a/.well-known",
                                      "/%61",
                                      "/%2E",
                                      "/a%2e",
                                      "/%c3%bc",
                                      "/%C3%bC",
                                      "/a b",
                                      "/\u00fc",
                                      "/&",
                                      "/'",
                                      "/\"",
                                      "/%",
                                      "/%0",
                                      "/%00",
                                      "/%2F",
                                      "/a%zz"}) {
    EXPECT_FALSE(IsCanonicalFilePath(raw)) << raw;
  }
}

}  // namespace
}  // namespace baton
