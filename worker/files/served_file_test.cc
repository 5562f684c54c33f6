#include "worker/files/served_file.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "worker/files/testing/test_folder.h"

namespace baton {
namespace {

using testing::TestFolder;

constexpr int64_t kNoon = 1'700'000'000;  // Tue, 14 Nov 2023 22:13:20 GMT

class ServedFileTest : public ::testing::Test {
 protected:
  // `on_open` does what somebody else does meanwhile.
  template <typename OnOpen>
  int Open(const std::string& path, const ServedFileOptions& options,
           OnOpen on_open) {
    return OpenServedFile(*tree_, path, options, on_open, &file_);
  }
  int Open(const std::string& path, const ServedFileOptions& options = {}) {
    return Open(path, options, [](int) {});
  }

  TestFolder folder_;
  std::unique_ptr<FileTree> tree_ = FileTree::Open(folder_.path()).value();
  std::shared_ptr<const ServedFile> file_;
};

TEST_F(ServedFileTest, ASmallOneIsInMemoryWithItsFields) {
  folder_.Write("a.css", "body{}");
  folder_.SetModified("a.css", kNoon, 16);
  ASSERT_EQ(Open("a.css", {.more_fields = "X-A: b\r\n"}), 0);
  EXPECT_TRUE(file_->in_memory());
  EXPECT_EQ(file_->content, "body{}");
  EXPECT_EQ(file_->modified, kNoon);
  EXPECT_EQ(file_->etag, "\"17979cfe362a0010-6\"");
  EXPECT_EQ(file_->validator_fields,
            "Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
            "ETag: \"17979cfe362a0010-6\"\r\n"
            "X-A: b\r\n");
  EXPECT_EQ(file_->content_fields, "Accept-Ranges: bytes\r\n");
  EXPECT_EQ(file_->ok_fields,
            absl::StrCat("Content-Type: text/css; charset=utf-8\r\n",
                         file_->validator_fields, file_->content_fields,
                         "Content-Length: 6\r\n"));
  EXPECT_GE(file_->memory(), file_->content.size() + file_->ok_fields.size());
}

TEST_F(ServedFileTest, ANeighbourHasTheTypeOfTheFileAndAnEtagOfItsOwn) {
  folder_.Write("a.css", "body{}");
  folder_.Write("a.css.gz", "zipped");
  folder_.SetModified("a.css", kNoon);
  folder_.SetModified("a.css.gz", kNoon);
  ASSERT_EQ(Open("a.css", {.has_neighbours = true}), 0);
  EXPECT_TRUE(
      absl::StrContains(file_->validator_fields, "Vary: Accept-Encoding\r\n"));
  EXPECT_FALSE(absl::StrContains(file_->ok_fields, "Content-Encoding"));
  const std::string etag = file_->etag;
  ASSERT_EQ(
      Open("a.css", {.coding = ContentCoding::kGzip, .has_neighbours = true}),
      0);
  EXPECT_EQ(file_->content, "zipped");
  EXPECT_EQ(file_->media_type, "text/css; charset=utf-8");
  EXPECT_TRUE(
      absl::StrContains(file_->content_fields, "Content-Encoding: gzip\r\n"));
  EXPECT_FALSE(absl::StrContains(file_->validator_fields, "Content-Encoding"))
      << "a 304 has none";
  EXPECT_NE(file_->etag, etag) << "though size and times are the same";
  EXPECT_EQ(Open("a.css", {.coding = ContentCoding::kBrotli}), ENOENT);
  EXPECT_EQ(NeighbourOf("x/a", ContentCoding::kBrotli), "x/a.br");
  EXPECT_EQ(NeighbourOf("x/a", ContentCoding::kIdentity), "x/a");
}

TEST_F(ServedFileTest, HowMuchIsHeldInMemory) {
  const std::string most(ServedFile::kMaxInMemory, 'x');
  folder_.Write("empty", "");
  folder_.Write("most", most);
  folder_.Write("more", most + "x");
  ASSERT_EQ(Open("empty"), 0);
  EXPECT_TRUE(file_->in_memory());
  EXPECT_EQ(file_->size(), 0);
  ASSERT_EQ(Open("most"), 0);
  EXPECT_TRUE(file_->in_memory());
  EXPECT_EQ(file_->content, most);
  ASSERT_EQ(Open("more"), 0);
  EXPECT_FALSE(file_->in_memory());
  EXPECT_EQ(file_->size(), ServedFile::kMaxInMemory + 1);
  EXPECT_TRUE(file_->content.empty());
  char last = 0;
  EXPECT_EQ(pread(file_->fd.get(), &last, 1, ServedFile::kMaxInMemory), 1);
}

TEST_F(ServedFileTest, TimesBeyondThePresentAndThePast) {
  folder_.Write("a", "x");
  folder_.SetModified("a", time(nullptr) + 1'000'000);
  ASSERT_EQ(Open("a"), 0);
  EXPECT_FALSE(absl::StrContains(file_->ok_fields, "Last-Modified"))
      << file_->ok_fields;
  folder_.SetModified("a", -2, 500'000'000);
  ASSERT_EQ(Open("a"), 0);
  EXPECT_EQ(file_->modified, -2) << "rounded down";
  EXPECT_TRUE(absl::StrContains(file_->ok_fields,
                                "Last-Modified: Wed, 31 Dec 1969 23:59:58 GMT"))
      << file_->ok_fields;
}

TEST_F(ServedFileTest, AChangeBeforeItIsReadIsSeen) {
  folder_.Write("a", "old");
  EXPECT_EQ(Open("a", {}, [this](int) { folder_.Write("a", "newer"); }), 0);
  EXPECT_EQ(file_->content, "newer");
  EXPECT_EQ(file_->size(), 5);
}

TEST_F(ServedFileTest, WhatIsReplacedBeforeItIsWatchedIsOpenedAnew) {
  folder_.Write("a", "old");
  int opened = 0;
  EXPECT_EQ(Open("a", {},
                 [&](int) {
                   if (++opened == 1) folder_.Replace("a", "new");
                 }),
            0);
  EXPECT_EQ(file_->content, "new");
  EXPECT_EQ(opened, 2) << "the new one is watched, too";
  EXPECT_EQ(Open("a", {}, [this](int) { folder_.Remove("a"); }), ENOENT);
  folder_.Write("a", "x");
  EXPECT_EQ(Open("a", {}, [this](int) { folder_.Replace("a", "x"); }), EAGAIN)
      << "each time";
}

TEST_F(ServedFileTest, WhatIsNoFileIsNone) {
  folder_.MakeFolder("folder");
  folder_.Link("/etc/passwd", "link");
  int opened = 0;
  EXPECT_EQ(Open("folder", {}, [&](int) { ++opened; }), EISDIR);
  EXPECT_EQ(Open("link", {}, [&](int) { ++opened; }), EXDEV);
  EXPECT_EQ(Open("none", {}, [&](int) { ++opened; }), ENOENT);
  EXPECT_EQ(opened, 0);
  EXPECT_EQ(file_, nullptr);
}

}  // namespace
}  // namespace baton
