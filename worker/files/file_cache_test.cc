#include "worker/files/file_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/event_loop.h"
#include "net/testing/descriptor_limit.h"
#include "net/unique_fd.h"
#include "worker/files/file_watch.h"
#include "worker/files/testing/test_folder.h"

namespace baton {
namespace {

using testing::DescriptorLimit;
using testing::TestFolder;

constexpr size_t kLarge = ServedFile::kMaxInMemory + 1;

size_t OpenDescriptors() {
  const std::filesystem::directory_iterator begin("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin, {}));
}

class FileCacheTest : public ::testing::Test {
 protected:
  const FileEntry* Find(absl::string_view name) {
    return cache_->Find(absl::StrCat("/", name));
  }
  const FileEntry* Load(const std::string& name) {
    const FileEntry* entry = nullptr;
    EXPECT_EQ(cache_->Load(absl::StrCat("/", name), name, &entry), 0) << name;
    return entry;
  }
  // Through the cache, as a request does it.
  std::string Get(const std::string& name) {
    const FileEntry* entry = Find(name);
    if (entry == nullptr &&
        cache_->Load(absl::StrCat("/", name), name, &entry) != 0) {
      return "none";
    }
    return entry->Form(ContentCoding::kIdentity)->content;
  }
  void Turn() { loop_->Turn(/*wait=*/false); }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    Turn();
  }
  // So that only looking tells of changes.
  void GoWithoutWatches() {
    cache_ = std::make_unique<FileCache>(*loop_, *tree_, nullptr, "");
  }

  TestFolder folder_;
  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  FileWatch watch_;
  std::unique_ptr<FileTree> tree_ = FileTree::Open(folder_.path()).value();
  std::unique_ptr<FileCache> cache_ =
      std::make_unique<FileCache>(*loop_, *tree_, &watch_, "X-A: b\r\n");
};

TEST_F(FileCacheTest, RemembersWhatWasLoaded) {
  folder_.Write("a", "content");
  EXPECT_EQ(Find("a"), nullptr);
  const FileEntry* const entry = Load("a");
  EXPECT_EQ(Find("a"), entry);
  const auto& file = entry->Form(ContentCoding::kIdentity);
  EXPECT_EQ(file->content, "content");
  EXPECT_TRUE(absl::StrContains(file->ok_fields, "X-A: b\r\n"));
  EXPECT_EQ(cache_->entries(), 1u);
  EXPECT_GT(cache_->memory(), file->memory());
  EXPECT_EQ(cache_->descriptors(), 0u);
}

TEST_F(FileCacheTest, WhatIsNotThereIsNotRemembered) {
  const FileEntry* entry = nullptr;
  EXPECT_EQ(cache_->Load("/a", "a", &entry), ENOENT);
  EXPECT_EQ(entry, nullptr);
  folder_.MakeFolder("folder");
  EXPECT_EQ(cache_->Load("/folder", "folder", &entry), EISDIR);
  EXPECT_EQ(cache_->entries(), 0u);
  EXPECT_EQ(cache_->memory(), 0u);
  folder_.Write("a", "now");
  EXPECT_EQ(Get("a"), "now");
}

TEST_F(FileCacheTest, EachKindOfChangeIsNoticedInTheNextTurn) {
  folder_.Write("a", "1");
  EXPECT_EQ(Get("a"), "1");
  folder_.Write("a", "2", 0);
  Turn();
  EXPECT_EQ(Get("a"), "2");
  folder_.Write("a", "3", O_APPEND);
  Turn();
  EXPECT_EQ(Get("a"), "23");
  ASSERT_EQ(truncate(folder_.Path("a").c_str(), 1), 0);
  Turn();
  EXPECT_EQ(Get("a"), "2");
  folder_.Replace("a", "4");
  Turn();
  EXPECT_EQ(Get("a"), "4");
  folder_.Rename("a", "b");
  Turn();
  EXPECT_EQ(Get("a"), "none");
  EXPECT_EQ(Get("b"), "4");
  folder_.Remove("b");
  Turn();
  EXPECT_EQ(Get("b"), "none");
  folder_.Write("a", "5");
  EXPECT_EQ(Get("a"), "5");
  const std::string etag = Find("a")->Form(ContentCoding::kIdentity)->etag;
  folder_.SetModified("a", 5);
  Turn();
  EXPECT_EQ(Get("a"), "5");
  EXPECT_NE(Find("a")->Form(ContentCoding::kIdentity)->etag, etag);
  folder_.SetMode("a", 0600);
  Turn();
  EXPECT_EQ(Find("a"), nullptr);
}

TEST_F(FileCacheTest, AChangedFileOfSeveralPathsIsForgottenForAll) {
  folder_.Write("a", "1");
  ASSERT_EQ(link(folder_.Path("a").c_str(), folder_.Path("b").c_str()), 0);
  ASSERT_EQ(link(folder_.Path("a").c_str(), folder_.Path("a.gz").c_str()), 0);
  Load("a");
  Load("b");
  const FileEntry* entry = nullptr;
  ASSERT_EQ(cache_->Load("/", "a", &entry), 0);
  EXPECT_EQ(cache_->entries(), 3u);
  folder_.Write("b", "2", 0);
  Turn();
  EXPECT_EQ(cache_->entries(), 0u);
  EXPECT_EQ(cache_->memory(), 0u);
}

TEST_F(FileCacheTest, AFileThatIsForgottenForOnePathIsWatchedForTheOther) {
  folder_.Write("a", "1");
  folder_.Write("b.gz", "b");
  folder_.Link("a", "b");
  Load("a");
  Load("b");
  folder_.Write("b.gz", "c");
  Turn();
  EXPECT_EQ(Find("b"), nullptr);
  EXPECT_NE(Find("a"), nullptr);
  folder_.Write("a", "2");
  Turn();
  EXPECT_EQ(Find("a"), nullptr);
}

TEST_F(FileCacheTest, WhatIsLoadedAgainIsWatchedStill) {
  folder_.Write("a", "1");
  Load("a");
  Load("a");
  EXPECT_EQ(cache_->entries(), 1u);
  folder_.Write("a", "2");
  Turn();
  EXPECT_EQ(Find("a"), nullptr);
}

TEST_F(FileCacheTest, NeighboursAreFoundByLooking) {
  folder_.Write("a", "plain");
  EXPECT_FALSE(Load("a")->has_neighbours());
  folder_.Write("a.gz", "zipped");
  Advance(FileCache::kLookInterval - absl::Milliseconds(1));
  ASSERT_NE(Find("a"), nullptr) << "not looked at yet";
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Find("a"), nullptr);
  const FileEntry* entry = Load("a");
  EXPECT_TRUE(entry->has_neighbours());
  EXPECT_EQ(entry->Choose("gzip")->content, "zipped");
  EXPECT_EQ(entry->Choose("br")->content, "plain");
  EXPECT_EQ(entry->Choose({})->content, "plain");
  EXPECT_TRUE(absl::StrContains(entry->Choose({})->ok_fields, "Vary: "));
  folder_.Remove("a.gz");
  Turn();
  EXPECT_EQ(Find("a"), nullptr) << "that is told by the kernel";
  EXPECT_FALSE(Load("a")->has_neighbours());
}

TEST_F(FileCacheTest, ANeighbourThatCanNotBeServedIsNone) {
  folder_.Write("a", "plain");
  folder_.MakeFolder("a.gz");
  folder_.Link("/etc/passwd", "a.br");
  const FileEntry* const entry = Load("a");
  EXPECT_FALSE(entry->has_neighbours());
  EXPECT_EQ(entry->Choose("gzip, br")->content, "plain");
}

TEST_F(FileCacheTest, WhatTheKernelDoesNotTellOfIsFoundByLooking) {
  folder_.Write("in/a", "1");
  EXPECT_EQ(Get("in/a"), "1");
  folder_.Rename("in", "out");
  folder_.Write("in/a", "2");
  Turn();
  EXPECT_EQ(Get("in/a"), "1") << "another folder has that name";
  Advance(FileCache::kLookInterval);
  EXPECT_EQ(Get("in/a"), "2");
  folder_.Write("c", "3");
  folder_.Link("c", "link");
  EXPECT_EQ(Get("link"), "3");
  folder_.Link("in/a", "next");
  folder_.Rename("next", "link");
  Advance(FileCache::kLookInterval);
  EXPECT_EQ(Get("link"), "2");
}

TEST_F(FileCacheTest, CachesOfTheSameFilesShareAWatch) {
  folder_.Write("a", "1");
  folder_.Write("b", "1");
  auto other = std::make_unique<FileCache>(*loop_, *tree_, &watch_, "");
  const FileEntry* entry = nullptr;
  for (const char* const name : {"a", "b"}) {
    Load(name);
    ASSERT_EQ(other->Load(absl::StrCat("/", name), name, &entry), 0);
  }
  folder_.Write("a", "2");
  Turn();
  EXPECT_EQ(Find("a"), nullptr);
  EXPECT_EQ(other->Find("/a"), nullptr);
  EXPECT_NE(other->Find("/b"), nullptr);
  other.reset();
  folder_.Write("b", "2");
  Turn();
  EXPECT_EQ(Find("b"), nullptr) << "still watched, for this one";
}

TEST_F(FileCacheTest, WithoutWatchesItLooks) {
  folder_.Write("a", "1");
  folder_.Write("b", "1");
  GoWithoutWatches();
  EXPECT_EQ(Get("a"), "1");
  folder_.Write("a", "2");
  Turn();
  EXPECT_EQ(Get("a"), "1");
  Advance(FileCache::kLookInterval);
  EXPECT_EQ(Get("a"), "2");
  Advance(FileCache::kLookInterval);
  const FileEntry* const same = Find("a");
  ASSERT_NE(same, nullptr) << "as it was";
  folder_.Replace("a", "3");
  Advance(FileCache::kLookInterval / 2);
  EXPECT_EQ(Find("a"), same);
}

TEST_F(FileCacheTest, AFileThatGoesBeforeIt) {
  folder_.Write("index.htm", "second");
  const FileEntry* entry = nullptr;
  ASSERT_EQ(cache_->Load("/", "index.htm", &entry, {"index.html"}), 0);
  Advance(FileCache::kLookInterval);
  EXPECT_EQ(Find(""), entry);
  folder_.MakeFolder("index.html");
  Advance(FileCache::kLookInterval);
  EXPECT_EQ(Find(""), entry) << "that is no file";
  folder_.Remove("index.html");
  folder_.Write("index.html", "first");
  Advance(FileCache::kLookInterval);
  EXPECT_EQ(Find(""), nullptr);
}

TEST_F(FileCacheTest, ARootThatMovesTakesAllWithIt) {
  folder_.Write("one/a", "1");
  folder_.Write("one/b", "1");
  folder_.Write("two/a", "2");
  folder_.Write("two/c", "2");
  folder_.Link("one", "root");
  tree_ = FileTree::Open(folder_.Path("root")).value();
  cache_ = std::make_unique<FileCache>(*loop_, *tree_, &watch_, "");
  EXPECT_EQ(Get("a"), "1");
  EXPECT_EQ(Get("b"), "1");
  folder_.Link("two", "next");
  folder_.Rename("next", "root");
  EXPECT_EQ(Get("a"), "1");
  Advance(FileCache::kLookInterval);
  EXPECT_EQ(Get("a"), "2");
  EXPECT_EQ(Get("b"), "none");
  folder_.Link("one", "next");
  folder_.Rename("next", "root");
  cache_->FollowRoot();
  EXPECT_EQ(cache_->entries(), 0u) << "at once, when somebody looks for more";
  EXPECT_EQ(Get("b"), "1");
}

TEST_F(FileCacheTest, DescriptorsAreBounded) {
  constexpr size_t kShare = 50;
  const DescriptorLimit limit(32 * kShare);
  cache_ = std::make_unique<FileCache>(*loop_, *tree_, &watch_, "");
  folder_.Write("small", "x");
  Load("small");  // with it comes the one for watches
  const size_t before = OpenDescriptors();
  for (size_t i = 0; i < kShare + 10; ++i) {
    folder_.Write(absl::StrCat(i), std::string(kLarge, 'x'));
    Load(absl::StrCat(i));
  }
  EXPECT_EQ(cache_->descriptors(), kShare);
  EXPECT_EQ(OpenDescriptors(), before + kShare);
  EXPECT_EQ(Find("0"), nullptr);
  Load("small");
  cache_->CloseSpare();
  EXPECT_EQ(cache_->descriptors(), 0u);
  EXPECT_EQ(OpenDescriptors(), before);
  EXPECT_NE(Find("small"), nullptr) << "it costs no descriptor";
}

TEST_F(FileCacheTest, DescriptorsAreBoundedHoweverManyThereAre) {
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur < 32 * (FileCache::kMaxDescriptors + 1)) {
    GTEST_SKIP() << "there are too few for that";
  }
  folder_.Write("large", std::string(kLarge, 'x'));
  const FileEntry* entry = nullptr;
  for (size_t i = 0; i < FileCache::kMaxDescriptors + 10; ++i) {
    ASSERT_EQ(cache_->Load(absl::StrCat("/", i), "large", &entry), 0);
  }
  EXPECT_EQ(cache_->descriptors(), FileCache::kMaxDescriptors);
}

TEST_F(FileCacheTest, MemoryIsBounded) {
  const std::string content(ServedFile::kMaxInMemory, 'x');
  folder_.Write("a", content);
  const FileEntry* entry = nullptr;
  size_t loaded = 0;
  for (; loaded < 1200; ++loaded) {
    // One file of many names.
    ASSERT_EQ(cache_->Load(absl::StrCat("/", loaded), "a", &entry), 0);
    ASSERT_LE(cache_->memory(), FileCache::kMaxMemory);
    ASSERT_EQ(entry->Form(ContentCoding::kIdentity)->content, content);
  }
  EXPECT_LT(cache_->entries(), loaded);
  EXPECT_GT(cache_->memory(), FileCache::kMaxMemory - 2 * content.size());
}

TEST_F(FileCacheTest, EntriesAreBoundedAndWhatIsUsedStays) {
  folder_.Write("a", "x");
  const FileEntry* entry = nullptr;
  for (size_t i = 0; i < FileCache::kMaxEntries; ++i) {
    ASSERT_EQ(cache_->Load(absl::StrCat("/", i), "a", &entry), 0);
  }
  EXPECT_EQ(cache_->entries(), FileCache::kMaxEntries);
  EXPECT_NE(Find("0"), nullptr);
  // All were used when they came; this one takes that from them, and the
  // oldest goes.
  ASSERT_EQ(cache_->Load("/more", "a", &entry), 0);
  EXPECT_EQ(Find("0"), nullptr);
  EXPECT_NE(Find("1"), nullptr);
  ASSERT_EQ(cache_->Load("/most", "a", &entry), 0);
  EXPECT_NE(Find("1"), nullptr) << "it was used since";
  EXPECT_EQ(Find("2"), nullptr);
  EXPECT_NE(Find("more"), nullptr);
  EXPECT_EQ(Find("most"), entry);
  EXPECT_EQ(cache_->entries(), FileCache::kMaxEntries);
}

TEST_F(FileCacheTest, WhatIsInUseStaysOpen) {
  folder_.Write("large", std::string(kLarge, 'x'));
  const std::shared_ptr<const ServedFile> used =
      Load("large")->Form(ContentCoding::kIdentity);
  folder_.Replace("large", "new");
  Turn();
  EXPECT_EQ(Get("large"), "new");
  cache_->CloseSpare();
  cache_ = nullptr;
  char byte = 0;
  EXPECT_EQ(pread(used->fd.get(), &byte, 1, kLarge - 1), 1);
  EXPECT_EQ(byte, 'x');
}

}  // namespace
}  // namespace baton
