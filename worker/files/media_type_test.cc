#include "worker/files/media_type.h"

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr absl::string_view kUnknown = "application/octet-stream";

TEST(MediaTypeTest, WhatSitesAreMadeOf) {
  EXPECT_EQ(MediaType("index.html"), "text/html; charset=utf-8");
  EXPECT_EQ(MediaType("a/b.htm"), "text/html; charset=utf-8");
  EXPECT_EQ(MediaType("style.css"), "text/css; charset=utf-8");
  EXPECT_EQ(MediaType("app.js"), "text/javascript; charset=utf-8");
  EXPECT_EQ(MediaType("app.mjs"), "text/javascript; charset=utf-8");
  EXPECT_EQ(MediaType("app.js.map"), "application/json");
  EXPECT_EQ(MediaType("data.json"), "application/json");
  EXPECT_EQ(MediaType("app.webmanifest"), "application/manifest+json");
  EXPECT_EQ(MediaType("app.wasm"), "application/wasm");
  EXPECT_EQ(MediaType("font.woff2"), "font/woff2");
  EXPECT_EQ(MediaType("a.png"), "image/png");
  EXPECT_EQ(MediaType("a.jpg"), "image/jpeg");
  EXPECT_EQ(MediaType("a.jpeg"), "image/jpeg");
  EXPECT_EQ(MediaType("a.avif"), "image/avif");
  EXPECT_EQ(MediaType("a.webp"), "image/webp");
  EXPECT_EQ(MediaType("a.svg"), "image/svg+xml");
  EXPECT_EQ(MediaType("favicon.ico"), "image/vnd.microsoft.icon");
  EXPECT_EQ(MediaType("README.md"), "text/markdown; charset=utf-8");
  EXPECT_EQ(MediaType("robots.txt"), "text/plain; charset=utf-8");
  EXPECT_EQ(MediaType("a.log"), "text/plain; charset=utf-8");
  EXPECT_EQ(MediaType("feed.xml"), "application/xml");
  EXPECT_EQ(MediaType("a.pdf"), "application/pdf");
  EXPECT_EQ(MediaType("a.mp4"), "video/mp4");
  EXPECT_EQ(MediaType("part.ts"), "video/mp2t");
  EXPECT_EQ(MediaType("a.deb"), "application/vnd.debian.binary-package");
}

TEST(MediaTypeTest, TheLastExtensionOfTheLastSegment) {
  EXPECT_EQ(MediaType("a.tar.gz"), "application/gzip");
  EXPECT_EQ(MediaType("/a.html/b.png"), "image/png");
  EXPECT_EQ(MediaType("a.html/b"), kUnknown);
  EXPECT_EQ(MediaType("a.html/"), kUnknown);
}

TEST(MediaTypeTest, InAnyCase) {
  EXPECT_EQ(MediaType("INDEX.HTML"), "text/html; charset=utf-8");
  EXPECT_EQ(MediaType("a.Png"), "image/png");
  // In capitals in Debian's table.
  EXPECT_EQ(MediaType("a.eln"), "application/vnd.eln+zip");
}

TEST(MediaTypeTest, ExtensionsOfAnyLength) {
  EXPECT_EQ(MediaType("a.c"), "text/x-csrc; charset=utf-8");
  EXPECT_EQ(MediaType("a.markdown"), "text/markdown; charset=utf-8");
  EXPECT_EQ(MediaType("a.markdow"), kUnknown);
  EXPECT_EQ(MediaType("a.markdownn"), kUnknown);
  EXPECT_EQ(MediaType("a.AtomDeleted"), "application/atomdeleted+xml");
  EXPECT_EQ(MediaType("a.sarif-external-properties"),
            "application/sarif-external-properties+json");
}

// The first and the last one of Debian's, and one that it has twice.
TEST(MediaTypeTest, TheWholeOfTheTable) {
  EXPECT_EQ(MediaType("a.wrl"), "model/vrml");
  EXPECT_EQ(MediaType("a.sh"), "application/x-sh");
  EXPECT_EQ(MediaType("a~"), kUnknown);
  EXPECT_EQ(MediaType("a.~"), "application/x-trash");
}

TEST(MediaTypeTest, Unknown) {
  for (const absl::string_view path :
       {"", ".", "/", "Makefile", "html", "a.", "a.html.", "a.nosuch",
        "a.html ", "a. html", "a.htm\xff", "a.zzzzzzzz", "a.zzzzzzzzz"}) {
    EXPECT_EQ(MediaType(path), kUnknown) << path;
  }
}

}  // namespace
}  // namespace baton
