// A folder that changes while it is served: the next request sees it, or, what
// the kernel does not tell of, one soon after.

#include <cstddef>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/files_fixture.h"
#include "tests/server_process.h"

namespace baton {
namespace {

// More than a worker keeps in memory.
constexpr size_t kLarge = 100'000;

class ServerFilesChangeTest : public FilesFixture,
                              public testing::WithParamInterface<size_t> {
 protected:
  std::string Text(char c) const { return std::string(GetParam(), c); }
  std::string Now() { return Get("/f").body.substr(0, 1); }
};

TEST_P(ServerFilesChangeTest, TheNextRequestSeesIt) {
  Write("f", Text('a'));
  Serve();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Now(), "a");
    Write("f", Text('b'));
    EXPECT_EQ(Now(), "b") << "written to";
    ReplaceFile(At("f"), Text('c'));
    EXPECT_EQ(Now(), "c") << "replaced";
    Write("f", Text('d') + "and longer");
    EXPECT_EQ(Get("/f").body, Text('d') + "and longer");
    std::filesystem::remove(At("f"));
    EXPECT_EQ(Get("/f").status, 404) << "removed";
    Write("f", Text('a'));
    EXPECT_EQ(Now(), "a") << "there again";
  }
}

TEST_P(ServerFilesChangeTest, WhoHasTheOldOneGetsTheNewOne) {
  Write("f", Text('a'));
  Serve();
  const std::string old = Get("/f").Field("ETag");
  Write("f", Text('b') + ".");
  const std::string fields = absl::StrCat("If-None-Match: ", old, "\r\n");
  EXPECT_EQ(Get("/f", fields).status, 200);
  EXPECT_NE(Get("/f", fields).Field("ETag"), old);
}

INSTANTIATE_TEST_SUITE_P(InMemoryAndNot, ServerFilesChangeTest,
                         testing::Values(1, kLarge));

using ServerFilesSoonTest = FilesFixture;

TEST_F(ServerFilesSoonTest, WhatIsOnlyLookedForIsSeenSoon) {
  Write("a.css", "plain");
  Write("folder/f", "old");
  Write("other/f", "new");
  Serve();
  const std::string takes = "Accept-Encoding: gzip\r\n";
  EXPECT_EQ(Get("/a.css", takes).body, "plain");
  EXPECT_EQ(Get("/folder/f").body, "old");
  Write("a.css.gz", "zipped");
  std::filesystem::rename(At("folder"), At("gone"));
  std::filesystem::rename(At("other"), At("folder"));
  WaitUntil("there is a compressed neighbour",
            [&] { return Get("/a.css", takes).body == "zipped"; });
  WaitUntil("another folder has that name",
            [&] { return Get("/folder/f").body == "new"; });
  std::filesystem::remove(At("a.css.gz"));
  EXPECT_EQ(Get("/a.css", takes).body, "plain") << "at once";
}

TEST_F(ServerFilesSoonTest, ARootThatIsALinkIsFollowed) {
  Write("1/f", "first");
  Write("1/only", "");
  Write("2/f", "second");
  std::filesystem::create_directory_symlink(At("1"), At("now"));
  Start(absl::StrCat("--listen=http://127.0.0.1:0?root=", At("now"),
                     "\n--workers=1"));
  EXPECT_EQ(Get("/f").body, "first");
  std::filesystem::create_directory_symlink(At("2"), At("next"));
  std::filesystem::rename(At("next"), At("now"));
  WaitUntil("the other one is served",
            [&] { return Get("/f").body == "second"; });
  EXPECT_EQ(Get("/only").status, 404);
  // In the middle of such a swap there may be nothing: what was there serves.
  std::filesystem::remove(At("now"));
  EXPECT_EQ(Get("/f").body, "second");
}

}  // namespace
}  // namespace baton
