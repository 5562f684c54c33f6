#include "worker/files/file_site.h"

#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/event_loop.h"
#include "worker/files/file_watch.h"
#include "worker/files/testing/test_folder.h"

namespace baton {
namespace {

using testing::TestFolder;
using Kind = FileSite::Found::Kind;

class FileSiteTest : public ::testing::Test {
 protected:
  FileSiteTest() {
    folder_.Write("root/index.html", "home");
    folder_.Write("root/a b.txt", "text");
    folder_.Write("root/docs/index.htm", "docs");
    folder_.Write("root/empty/sub/x", "x");
    folder_.Write("root/404.html", "not here");
    folder_.Write("root/.secret", "secret");
    folder_.Write("outside", "secret");
    folder_.Link("../outside", "root/out");
    folder_.Link("..", "root/up");
  }

  FileSite& site(FileSiteOptions options = {}) {
    if (site_ == nullptr) {
      options.root = folder_.Path("root");
      site_ = FileSite::Open(std::move(options), &watch_).value();
    }
    return *site_;
  }
  // In short: "200 content", "301 path", "list path" or a status.
  std::string Find(absl::string_view url_path) {
    const FileSite::Found found = site().Find(url_path);
    switch (found.kind) {
      case Kind::kFile:
        return absl::StrCat("200 ", found.file->Choose({})->content);
      case Kind::kDirectory:
        return absl::StrCat("list ", found.path);
      case Kind::kRedirect:
        return absl::StrCat("301 ", found.path);
      case Kind::kNothing:
        return absl::StrCat(found.status);
    }
    return "";
  }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    loop_->Turn(/*wait=*/false);
  }

  TestFolder folder_;
  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  FileWatch watch_;
  std::unique_ptr<FileSite> site_;
};

TEST_F(FileSiteTest, WhereAPathLeads) {
  EXPECT_EQ(site().cache(), nullptr) << "until somebody asks";
  EXPECT_EQ(Find("/"), "200 home");
  EXPECT_EQ(Find("/index.html"), "200 home");
  EXPECT_EQ(Find("/a%20b.txt"), "200 text");
  EXPECT_EQ(Find("/docs"), "301 /docs/");
  EXPECT_EQ(Find("//docs"), "301 /docs/") << "not to another host";
  EXPECT_EQ(Find("/empty/sub"), "301 /empty/sub/");
  EXPECT_EQ(Find("/docs/"), "403") << "no index, no listing";
  EXPECT_EQ(Find("/none"), "404");
  EXPECT_EQ(Find("/none/"), "404");
  EXPECT_EQ(Find("/index.html/"), "404");
  EXPECT_EQ(Find("/index.html/x"), "404");
}

TEST_F(FileSiteTest, WhatNobodyGets) {
  ASSERT_EQ(mkfifo(folder_.Path("root/fifo").c_str(), 0644), 0);
  for (const char* path :
       {"/.secret", "/out", "/up", "/up/", "/up/outside", "/fifo", "/fifo/",
        "/%2e%2e/outside", "/docs/..%2f..%2foutside", "/../outside", "/%00",
        "/docs/%2e%2e/%2e%2e/outside", "/index.html%00", "/%zz"}) {
    EXPECT_EQ(Find(path), "404") << path;
  }
}

TEST_F(FileSiteTest, OtherSpellingsShareAPlace) {
  for (const char* path :
       {"/a%20b.txt", "/%61%20b.txt", "//a%20b.txt", "/./a%20b.txt",
        "/docs/../a%20b.txt", "/a%20b%2etxt", "/a%20b%2Etxt", "///a%20b.txt"}) {
    EXPECT_EQ(Find(path), "200 text") << path;
  }
  EXPECT_EQ(site().cache()->entries(), 1u);
  EXPECT_NE(site().FindRemembered("/a%20b.txt"), nullptr);
  EXPECT_EQ(site().FindRemembered("//a%20b.txt"), nullptr);
}

TEST_F(FileSiteTest, AnIndexIsTheFirstThatIsThere) {
  site({.indexes = {"index.html", "index.htm"}});
  EXPECT_EQ(Find("/docs/"), "200 docs");
  folder_.Write("root/docs/index.html", "better");
  Advance(FileCache::kLookInterval);
  EXPECT_EQ(Find("/docs/"), "200 better");
  folder_.Remove("root/docs/index.html");
  Advance(absl::ZeroDuration());
  EXPECT_EQ(Find("/docs/"), "200 docs");
  EXPECT_EQ(Find("/empty/"), "403");
}

TEST_F(FileSiteTest, ADirectoryWithoutAnIndexIsListedIfWanted) {
  site({.autoindex = true});
  EXPECT_EQ(Find("/"), "200 home");
  EXPECT_EQ(Find("/docs/"), "list docs");
  EXPECT_EQ(Find("//empty//sub//"), "list empty/sub");
  EXPECT_EQ(Find("/up/"), "404") << "that is outside";
  folder_.Remove("root/index.html");
  Advance(absl::ZeroDuration());
  EXPECT_EQ(Find("/"), "list ");
}

TEST_F(FileSiteTest, AFallbackForWhatIsNotThere) {
  site({.fallback = "/index.html"});
  EXPECT_EQ(Find("/some/deep/link"), "200 home");
  EXPECT_EQ(Find("/.secret"), "200 home");
  EXPECT_EQ(Find("/docs"), "301 /docs/");
  EXPECT_EQ(Find("/docs/"), "403") << "that is there";
  EXPECT_EQ(site().cache()->entries(), 1u) << "whatever is asked for";
  folder_.Write("root/some", "now");
  EXPECT_EQ(Find("/some"), "200 now");
  folder_.Remove("root/index.html");
  Advance(absl::ZeroDuration());
  EXPECT_EQ(Find("/none"), "404");
  EXPECT_EQ(Find("/index.html"), "404");
  EXPECT_EQ(Find("/%69ndex.html"), "404");
}

TEST_F(FileSiteTest, PagesOfErrors) {
  FileSiteOptions options;
  options.error_pages[404] = "/404.html";
  site(std::move(options));
  EXPECT_EQ(Find("/none"), "404");
  const FileEntry* const page = site().FindErrorPage(404);
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(page->Choose({})->content, "not here");
  EXPECT_EQ(site().FindErrorPage(403), nullptr);
  folder_.Remove("root/404.html");
  Advance(absl::ZeroDuration());
  EXPECT_EQ(site().FindErrorPage(404), nullptr);
}

TEST_F(FileSiteTest, PagesMustBeThere) {
  const auto error = [this](FileSiteOptions options) {
    options.root = folder_.Path("root");
    return FileSite::Open(std::move(options)).status();
  };
  EXPECT_EQ(error({}), absl::OkStatus());
  for (const char* page : {"/none.html", "/docs/", "/docs", "/out", "/"}) {
    EXPECT_FALSE(error({.fallback = page}).ok()) << page;
    FileSiteOptions options;
    options.error_pages[500] = page;
    const absl::Status status = error(std::move(options));
    EXPECT_TRUE(absl::StrContains(status.message(), page)) << status;
  }
  EXPECT_FALSE(FileSite::Open({.root = folder_.Path("none")}).ok());
}

TEST_F(FileSiteTest, ARootThatIsSwappedAndRemovedIsNeverMissed) {
  folder_.Write("v1/a", "1");
  folder_.Write("v2/a", "2");
  folder_.Link("v1", "current");
  site_ = FileSite::Open({.root = folder_.Path("current")}, &watch_).value();
  EXPECT_EQ(Find("/a"), "200 1");
  // As a deployment does it, within the interval of looking.
  folder_.Link("v2", "next");
  folder_.Rename("next", "current");
  folder_.Remove("v1");
  Advance(absl::Milliseconds(5));
  EXPECT_EQ(Find("/a"), "200 2");
}

}  // namespace
}  // namespace baton
