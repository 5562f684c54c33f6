#include "worker/files/file_watch.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/event_loop.h"
#include "net/testing/descriptor_limit.h"
#include "net/unique_fd.h"
#include "worker/files/testing/test_folder.h"

namespace baton {
namespace {

using testing::DescriptorLimit;
using testing::TestFolder;

// Notes its name when it is told.
class Noter final : public FileWatch::Watcher {
 public:
  Noter(std::string name, std::vector<std::string>* told)
      : name_(std::move(name)), told_(told) {}

 private:
  void OnChange() override { told_->push_back(name_); }

  const std::string name_;
  std::vector<std::string>* const told_;
};

using Told = std::vector<std::string>;

class FileWatchTest : public ::testing::Test {
 protected:
  ~FileWatchTest() override {
    for (const auto& noter : noters_) watch_.Forget(*noter);
  }

  // Who watches nothing yet.
  Noter& New(std::string name) {
    noters_.push_back(std::make_unique<Noter>(std::move(name), &told_));
    return *noters_.back();
  }
  bool Watch(absl::string_view file, Noter& noter) {
    const UniqueFd fd(open(folder_.Path(file).c_str(), O_RDONLY | O_CLOEXEC));
    return watch_.Watch(fd.get(), noter);
  }
  // One of the file's name, which watches it.
  Noter& Watch(const std::string& file) {
    Noter& noter = New(file);
    EXPECT_TRUE(Watch(file, noter));
    return noter;
  }
  // Who was told in one turn.
  Told Turn() {
    told_.clear();
    loop_->Turn(/*wait=*/false);
    return told_;
  }

  TestFolder folder_;
  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  Told told_;
  std::vector<std::unique_ptr<Noter>> noters_;
  FileWatch watch_;
};

TEST_F(FileWatchTest, EachKindOfChangeIsToldInTheNextTurn) {
  const auto is_told_of = [this](void (*change)(const TestFolder&)) {
    folder_.Write("file", "content");
    Noter& noter = Watch("file");
    EXPECT_EQ(Turn(), Told()) << "no change yet";
    change(folder_);
    const bool told = Turn() == Told{"file"};
    watch_.Forget(noter);
    folder_.Remove("file");
    Turn();
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
  Watch("file");
  const UniqueFd fd(open(folder_.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  char bytes[10];
  EXPECT_EQ(read(fd.get(), bytes, sizeof(bytes)), 7);
  EXPECT_EQ(Turn(), Told());
}

TEST_F(FileWatchTest, AFileThatIsOpenCanBeWatchedWhenItHasLostItsName) {
  folder_.Write("file", "content");
  const UniqueFd fd(open(folder_.Path("file").c_str(), O_RDWR | O_CLOEXEC));
  folder_.Remove("file");
  Noter& noter = New("open");
  EXPECT_TRUE(watch_.Watch(fd.get(), noter));
  ASSERT_EQ(pwrite(fd.get(), "x", 1, 0), 1);
  EXPECT_EQ(Turn(), Told{"open"});
}

TEST_F(FileWatchTest, WhoeverWatchesAFileIsTold) {
  folder_.Write("file", "content");
  folder_.Write("other", "content");
  ASSERT_EQ(link(folder_.Path("file").c_str(), folder_.Path("name").c_str()),
            0);
  Watch("file");
  Watch("name");  // the second name of a file
  Noter& both = New("both");
  EXPECT_TRUE(Watch("file", both));
  EXPECT_TRUE(Watch("other", both));
  Watch("other");
  folder_.Write("name", "x", 0);
  EXPECT_EQ(Turn(), (Told{"file", "name", "both"}));
  folder_.Write("other", "x", 0);
  EXPECT_EQ(Turn(), Told{"other"}) << "who was told watches nothing more";
}

TEST_F(FileWatchTest, WhoHasBeenForgottenIsNotTold) {
  folder_.Write("file", "content");
  Noter& one = Watch("file");
  Noter& two = New("two");
  EXPECT_TRUE(Watch("file", two));
  folder_.Write("file", "x", 0);  // the event is there already
  watch_.Forget(one);
  EXPECT_EQ(Turn(), Told{"two"});
  watch_.Forget(two);  // no harm
  folder_.Write("file", "y", 0);
  EXPECT_EQ(Turn(), Told());
}

TEST_F(FileWatchTest, ManyChangesAtOnce) {
  constexpr size_t kFiles = 300;  // more than one read takes
  for (size_t i = 0; i < kFiles; ++i) {
    folder_.Write(absl::StrCat(i), "x");
    Watch(absl::StrCat(i));
  }
  for (size_t i = 0; i < kFiles; ++i) folder_.Write(absl::StrCat(i), "y", 0);
  EXPECT_EQ(Turn().size(), kFiles);
}

TEST_F(FileWatchTest, WhatCouldNotBeWatchedCanBeLater) {
  folder_.Write("file", "content");
  const UniqueFd fd(open(folder_.Path("file").c_str(), O_RDONLY | O_CLOEXEC));
  Noter& noter = New("file");
  {
    const DescriptorLimit limit(3);  // all that there may be are open
    EXPECT_FALSE(watch_.Watch(fd.get(), noter));
  }
  EXPECT_TRUE(watch_.Watch(fd.get(), noter));
  folder_.Write("file", "x", 0);
  EXPECT_EQ(Turn(), Told{"file"});
}

TEST_F(FileWatchTest, WhenEventsAreLostAnythingMayHaveChanged) {
  int most = 0;
  const UniqueFd limit(
      open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY | O_CLOEXEC));
  char text[20] = {};
  if (read(limit.get(), text, sizeof(text) - 1) > 0) most = atoi(text);
  if (most == 0 || most > 100'000) GTEST_SKIP() << "the queue is too long";
  for (const char* const name : {"a", "b", "c"}) folder_.Write(name, "x");
  Watch("a");
  Watch("b");
  const UniqueFd a(open(folder_.Path("a").c_str(), O_WRONLY | O_CLOEXEC));
  const UniqueFd b(open(folder_.Path("b").c_str(), O_WRONLY | O_CLOEXEC));
  // By turns: the same event twice in a row would be one.
  for (int i = 0; i < most; ++i) {
    ASSERT_EQ(pwrite((i % 2 == 0 ? a : b).get(), "y", 1, 0), 1);
  }
  Watch("c");
  folder_.Write("c", "z", 0);  // no room for it
  Told told = Turn();
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told, (Told{"a", "b", "c"}));
}

}  // namespace
}  // namespace baton
