#include "master/access_log_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

class AccessLogFilesTest : public testing::Test {
 protected:
  AccessLogFilesTest() : dir_(testing::TempDir() + "/access_logs_XXXXXX") {
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
  }

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  bool Exists(const std::string& name) const {
    return access(Path(name).c_str(), F_OK) == 0;
  }
  std::vector<std::string> Open() const {
    std::vector<std::string> names;
    for (const auto& [path, fd] : files_.files()) {
      EXPECT_TRUE(fd);
      names.push_back(path.substr(path.rfind('/') + 1));
    }
    return names;
  }
  using Names = std::vector<std::string>;

  std::string dir_;
  AccessLogFiles files_;
};

TEST_F(AccessLogFilesTest, APathOfTwoGenerationsIsOneFile) {
  ASSERT_TRUE(files_.Load(1, {Path("a"), Path("b")}).ok());
  const int fd = files_.files().at(Path("b")).get();
  ASSERT_TRUE(files_.Load(2, {Path("b"), Path("c")}).ok());
  EXPECT_EQ(Open(), Names({"a", "b", "c"}));
  EXPECT_EQ(files_.files().at(Path("b")).get(), fd);
  files_.Commit(2);
  EXPECT_EQ(Open(), Names({"b", "c"}));
}

TEST_F(AccessLogFilesTest, ADroppedGenerationLeavesTheOther) {
  ASSERT_TRUE(files_.Load(1, {Path("a")}).ok());
  ASSERT_TRUE(files_.Load(2, {Path("b")}).ok());
  files_.Drop(2);
  files_.Drop(3);
  EXPECT_EQ(Open(), Names({"a"}));
}

TEST_F(AccessLogFilesTest, OneThatFailsOpensNone) {
  const absl::Status status =
      files_.Load(1, {Path("a"), Path("no/such"), "stderr"});
  EXPECT_TRUE(absl::StrContains(status.message(), Path("no/such"))) << status;
  EXPECT_EQ(Open(), Names());
  files_.LoadAnyway(1, {Path("a"), Path("no/such"), "stderr"});
  EXPECT_EQ(Open(), Names({"a", "stderr"}));
}

TEST_F(AccessLogFilesTest, ReopenOpensWhatCouldNotBeToo) {
  files_.LoadAnyway(1, {Path("a"), Path("dir/b"), "stderr"});
  ASSERT_EQ(rename(Path("a").c_str(), Path("old").c_str()), 0);
  ASSERT_EQ(mkdir(Path("dir").c_str(), 0700), 0);
  Names opened;
  files_.Reopen({}, [&](const std::string& path, int fd) {
    EXPECT_EQ(files_.files().at(path).get(), fd);
    opened.push_back(path);
  });
  EXPECT_EQ(opened, Names({Path("a"), Path("dir/b")}));
  EXPECT_TRUE(Exists("a"));
}

TEST_F(AccessLogFilesTest, WhatOnlyWorkersHaveIsReopenedButNotKept) {
  ASSERT_TRUE(files_.Load(1, {Path("a"), Path("b")}).ok());
  ASSERT_TRUE(files_.Load(2, {Path("b")}).ok());
  files_.Commit(2);
  ASSERT_EQ(rename(Path("a").c_str(), Path("old").c_str()), 0);
  Names opened;
  files_.Reopen({Path("a"), Path("b"), "stderr"},
                [&](const std::string& path, int fd) {
                  EXPECT_GE(fd, 0);
                  opened.push_back(path);
                });
  EXPECT_EQ(opened, Names({Path("a"), Path("b")}));
  EXPECT_TRUE(Exists("a"));
  EXPECT_EQ(Open(), Names({"b"}));
}

TEST_F(AccessLogFilesTest, ACheckSaysWhatOpenWouldAndCreatesNothing) {
  ASSERT_EQ(symlink("elsewhere", Path("link").c_str()), 0);
  ASSERT_EQ(mknod(Path("socket").c_str(), S_IFSOCK | 0600, 0), 0);
  for (const char* name : {"new", "no/such/new", "link", "socket", ""}) {
    const absl::Status checked = CheckAccessLog(Path(name));
    EXPECT_FALSE(Exists("new"));
    EXPECT_EQ(checked.ok(), absl::string_view(name) == "new") << checked;
    if (!checked.ok()) {
      EXPECT_TRUE(absl::StrContains(checked.message(), Path(name))) << checked;
      EXPECT_EQ(files_.Load(1, {Path(name)}), checked);
    }
  }
  EXPECT_TRUE(CheckAccessLog("stderr").ok());
}

}  // namespace
}  // namespace baton
