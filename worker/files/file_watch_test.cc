#include "worker/files/file_watch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/event_loop.h"
#include "net/unique_fd.h"
#include "worker/files/testing/test_folder.h"

namespace baton {
namespace {

using testing::TestFolder;

class FileWatchTest : public ::testing::Test {
 protected:
  int Add(absl::string_view name) {
    const UniqueFd fd(open(folder_.Path(name).c_str(), O_RDONLY | O_CLOEXEC));
    const int watch = watch_.Add(fd.get());
    EXPECT_NE(watch, FileWatch::kNone);
    return watch;
  }
  // What was told in one turn.
  std::vector<int> Changes() {
    changes_.clear();
    loop_->Turn(/*wait=*/false);
    return changes_;
  }
  bool Changed(int watch) {
    const std::vector<int> changes = Changes();
    for (const int change : changes) EXPECT_EQ(change, watch);
    return !changes.empty();
  }

  TestFolder folder_;
  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  std::vector<int> changes_;
  FileWatch watch_{*loop_, [this](int watch) { changes_.push_back(watch); }};
};

TEST_F(FileWatchTest, EachKindOfChangeIsToldInTheNextTurn) {
  const auto is_told_of = [this](void (*change)(const TestFolder&)) {
    folder_.Write("file", "content");
    const int watch = Add("file");
    EXPECT_FALSE(Changed(watch)) << "no change yet";
    change(folder_);
    const bool told = Changed(watch);
    watch_.Remove(watch);
    folder_.Remove("file");
    Changes();
    return told;
  };
  EXPECT_TRUE(is_told_of(
      [](const TestFolder& folder) { folder.Write("file", "x", 0); }));
  EXPECT_TRUE(is_told_of(
      [](const TestFolder& folder) { folder.Write("file", "x", O_APPEND); }));
  EXPECT_TRUE(is_told_of([](const TestFolder& folder) {
    ASSERT_EQ(truncate(folder.Path("file").c_str(), 3), 0);
  }));
  EXPECT_TRUE(is_told_of(
      [](const TestFolder& folder) { folder.Replace("file", "x"); }));
  EXPECT_TRUE(
      is_told_of([](const TestFolder& folder) { folder.Remove("file"); }));
  EXPECT_TRUE(is_told_of(
      [](const TestFolder& folder) { folder.Rename("file", "other"); }));
  EXPECT_TRUE(is_told_of(
      [](const TestFolder& folder) { folder.SetMode("file", 0600); }));
  EXPECT_TRUE(is_told_of(
      [](const TestFolder& folder) { folder.SetModified("file", 5); }));
}

TEST_F(FileWatchTest, ToReadAFileIsNoChange) {
  folder_.Write("file", "content");
  const int watch = Add("file");
  const UniqueFd fd(open(folder_.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  char bytes[10];
  EXPECT_EQ(read(fd.get(), bytes, sizeof(bytes)), 7);
  EXPECT_FALSE(Changed(watch));
}

TEST_F(FileWatchTest, AFileThatIsOpenStaysWatchedWhenItHasLostItsName) {
  folder_.Write("file", "content");
  const UniqueFd fd(open(folder_.Path("file").c_str(), O_RDWR | O_CLOEXEC));
  const int watch = watch_.Add(fd.get());
  folder_.Remove("file");
  EXPECT_TRUE(Changed(watch));
  ASSERT_EQ(pwrite(fd.get(), "x", 1, 0), 1);
  EXPECT_TRUE(Changed(watch));
}

TEST_F(FileWatchTest, OneFileHasOneWatch) {
  folder_.Write("file", "content");
  folder_.Write("other", "content");
  ASSERT_EQ(link(folder_.Path("file").c_str(), folder_.Path("name").c_str()),
            0);
  const int watch = Add("file");
  EXPECT_EQ(Add("file"), watch);
  EXPECT_EQ(Add("name"), watch) << "the second name of a file";
  EXPECT_NE(Add("other"), watch);
  folder_.Write("name", "x", 0);
  EXPECT_EQ(Changes(), std::vector<int>{watch});
}

TEST_F(FileWatchTest, WhatIsRemovedIsNotToldOf) {
  folder_.Write("file", "content");
  const int watch = Add("file");
  watch_.Remove(watch);
  Changes();  // the kernel says once that the watch has ended
  folder_.Write("file", "x", 0);
  EXPECT_EQ(Changes(), std::vector<int>{});
  watch_.Remove(watch);  // no harm
  EXPECT_NE(Add("file"), watch) << "numbers do not come again";
}

TEST_F(FileWatchTest, ManyChangesAtOnce) {
  constexpr size_t kFiles = 300;  // more than one read takes
  for (size_t i = 0; i < kFiles; ++i) {
    folder_.Write(absl::StrCat(i), "x");
    Add(absl::StrCat(i));
  }
  for (size_t i = 0; i < kFiles; ++i) folder_.Write(absl::StrCat(i), "y", 0);
  EXPECT_EQ(Changes().size(), kFiles);
}

TEST_F(FileWatchTest, WhenEventsAreLostAnythingMayHaveChanged) {
  int most = 0;
  const UniqueFd limit(
      open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY | O_CLOEXEC));
  char text[20] = {};
  if (read(limit.get(), text, sizeof(text) - 1) > 0) most = atoi(text);
  if (most == 0 || most > 100'000) GTEST_SKIP() << "the queue is too long";
  folder_.Write("a", "x");
  folder_.Write("b", "x");
  Add("a");
  Add("b");
  const UniqueFd a(open(folder_.Path("a").c_str(), O_WRONLY | O_CLOEXEC));
  const UniqueFd b(open(folder_.Path("b").c_str(), O_WRONLY | O_CLOEXEC));
  // By turns: the same event twice in a row would be one.
  for (int i = 0; i < most; ++i) {
    ASSERT_EQ(pwrite((i % 2 == 0 ? a : b).get(), "y", 1, 0), 1);
  }
  ASSERT_EQ(pwrite((most % 2 == 0 ? a : b).get(), "y", 1, 0), 1);
  const std::vector<int> changes = Changes();
  ASSERT_FALSE(changes.empty());
  EXPECT_EQ(changes.back(), FileWatch::kAll);
}

}  // namespace
}  // namespace baton
