#include "worker/files/directory_listing.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

// A root, and beside it what is outside.
class DirectoryListingTest : public testing::Test {
 protected:
  void SetUp() override {
    top_ = absl::StrCat(testing::TempDir(), "/listing.XXXXXX");
    ASSERT_NE(mkdtemp(top_.data()), nullptr);
    Directory("../root");
    Directory("../outside");
    Write("../outside/secret", 5);
    root_.reset(open(Path("").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    ASSERT_GE(root_.get(), 0);
  }

  void TearDown() override { std::filesystem::remove_all(top_); }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(top_, "/root/", name);
  }
  void Directory(absl::string_view name) {
    // The root may not be there yet: no ".." through it.
    const std::string path = name.substr(0, 3) == "../"
                                 ? absl::StrCat(top_, name.substr(2))
                                 : Path(name);
    ASSERT_EQ(mkdir(path.c_str(), 0777), 0) << path;
  }
  void Write(absl::string_view name, off_t size) {
    const UniqueFd file(
        open(Path(name).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
    ASSERT_GE(file.get(), 0) << name;
    ASSERT_EQ(ftruncate(file.get(), size), 0) << name;
  }
  void Link(const std::string& target, absl::string_view name) {
    ASSERT_EQ(symlink(target.c_str(), Path(name).c_str()), 0) << name;
  }

  DirectoryListing List(absl::string_view path) {
    absl::StatusOr<DirectoryListing> listing = ListDirectory(root_.get(), path);
    EXPECT_TRUE(listing.ok()) << listing.status();
    return listing.ok() ? *listing : DirectoryListing();
  }
  // Directories with a slash.
  std::string Names(absl::string_view path) {
    std::string names;
    for (const DirectoryEntry& entry : List(path).entries) {
      absl::StrAppend(&names, entry.name, entry.is_directory ? "/ " : " ");
    }
    return names;
  }

  std::string top_;
  UniqueFd root_;
};

TEST_F(DirectoryListingTest, FilesAndDirectoriesWithSizeAndTime) {
  Directory("pub");
  Directory("pub/inner");
  Write("pub/file", 1234);
  const timespec times[2] = {{.tv_sec = 7, .tv_nsec = 0},
                             {.tv_sec = 1000000000, .tv_nsec = 5}};
  ASSERT_EQ(utimensat(AT_FDCWD, Path("pub/file").c_str(), times, 0), 0);

  const DirectoryListing listing = List("pub");

  ASSERT_EQ(listing.entries.size(), 2u);
  EXPECT_FALSE(listing.truncated);
  EXPECT_EQ(listing.entries[0].name, "inner");
  EXPECT_TRUE(listing.entries[0].is_directory);
  EXPECT_EQ(listing.entries[0].size, 0);
  EXPECT_EQ(listing.entries[1].name, "file");
  EXPECT_FALSE(listing.entries[1].is_directory);
  EXPECT_EQ(listing.entries[1].size, 1234);
  EXPECT_EQ(listing.entries[1].modified, 1000000000);
}

TEST_F(DirectoryListingTest, TheRootHasTwoNames) {
  Write("file", 0);

  EXPECT_EQ(Names(""), "file ");
  EXPECT_EQ(Names("."), "file ");
}

TEST_F(DirectoryListingTest, NeitherDotFilesNorWhatIsNoFile) {
  Write(".htpasswd", 1);
  Directory(".git");
  Directory("pub");
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0666), 0);
  Link("fifo", "to_fifo");
  Link("/dev/null", "to_device");

  EXPECT_EQ(Names(""), "pub/ ");
}

TEST_F(DirectoryListingTest, LinksThatStayBeneathTheRoot) {
  Directory("pub");
  Directory("pub/deep");
  Write("page", 7);
  Link("../page", "pub/up");
  Link("up", "pub/chain");
  Link("deep", "pub/folder");

  const DirectoryListing listing = List("pub");

  EXPECT_EQ(Names("pub"), "deep/ folder/ chain up ");
  ASSERT_EQ(listing.entries.size(), 4u);
  EXPECT_EQ(listing.entries[2].size, 7);
}

TEST_F(DirectoryListingTest, NoLinksThatLeaveTheRoot) {
  Directory("pub");
  Write("page", 7);
  Link("../../outside/secret", "pub/relative");
  Link("../outside", "folder");
  Link(absl::StrCat(top_, "/outside/secret"), "absolute");
  // Back in: but by an absolute path, whose start is outside.
  Link(Path("page"), "absolute_in");
  Link("../root/page", "out_and_in");
  Link("pub/relative", "chain");
  Link("nowhere", "dangling");
  Link("loop", "loop");
  Link("/proc/self/cwd", "magic");

  EXPECT_EQ(Names(""), "pub/ page ");
  EXPECT_EQ(Names("pub"), "");
}

TEST_F(DirectoryListingTest, WhatIsNoDirectoryInTheRoot) {
  Write("file", 1);
  Link("../outside", "out");
  const auto code = [this](absl::string_view path) {
    return ListDirectory(root_.get(), path).status().code();
  };

  EXPECT_EQ(code("nowhere"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code("file"), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(".."), absl::StatusCode::kNotFound);
  EXPECT_EQ(code("../outside"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code("out"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code("/"), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(absl::string_view(".\0x", 3)), absl::StatusCode::kNotFound);
}

TEST_F(DirectoryListingTest, NamesAreBytes) {
  Write("a\nb", 0);
  Write("\xFF\xFE", 0);
  Write("<b>", 0);

  EXPECT_EQ(Names(""), "<b> a\nb \xFF\xFE ");
}

TEST_F(DirectoryListingTest, MoreThanThereIsRoomFor) {
  for (size_t i = 0; i < kMaxDirectoryEntries; ++i) Write(absl::StrCat(i), 0);
  Write(".not_counted", 0);
  EXPECT_EQ(List("").entries.size(), kMaxDirectoryEntries);
  EXPECT_FALSE(List("").truncated);

  Write("one_more", 0);

  EXPECT_EQ(List("").entries.size(), kMaxDirectoryEntries);
  EXPECT_TRUE(List("").truncated);
}

TEST(IsNameBeforeTest, DigitsAreNumbers) {
  const std::vector<std::string> sorted = {"",
                                           "1",
                                           "02",
                                           "2",
                                           "2a",
                                           "10",
                                           "10000000000000000000001",
                                           "a",
                                           "A1",
                                           "a1b2",
                                           "a01b10",
                                           "a2",
                                           "a10",
                                           "B",
                                           "b.1",
                                           "c-1.9.2",
                                           "c-1.10.0",
                                           "\xC3\xA4"};
  for (size_t i = 0; i < sorted.size(); ++i) {
    for (size_t j = 0; j < sorted.size(); ++j) {
      EXPECT_EQ(IsNameBefore(sorted[i], sorted[j]), i < j)
          << sorted[i] << " and " << sorted[j];
    }
  }
}

}  // namespace
}  // namespace baton
