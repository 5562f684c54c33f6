#include "worker/files/file_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/unique_fd.h"
#include "worker/files/testing/test_folder.h"

namespace baton {
namespace {

using testing::TestFolder;

class FileTreeTest : public ::testing::Test {
 protected:
  FileTreeTest() {
    folder_.Write("root/a.txt", "hello");
    folder_.Write("root/in/b.txt", "b");
    folder_.Write("outside/secret", "secret");
    tree_ = FileTree::Open(folder_.Path("root")).value();
  }

  int OpenFile(const std::string& path) {
    fd_.reset();
    return tree_->OpenFile(path, &fd_, &facts_);
  }
  std::string Content() const {
    char bytes[100];
    const ssize_t got = read(fd_.get(), bytes, sizeof(bytes));
    return got < 0 ? "cannot be read" : std::string(bytes, got);
  }

  TestFolder folder_;
  std::unique_ptr<FileTree> tree_;
  UniqueFd fd_;
  FileFacts facts_;
};

TEST_F(FileTreeTest, ARootMustBeADirectory) {
  EXPECT_EQ(FileTree::Open(folder_.Path("none")).status().code(),
            absl::StatusCode::kNotFound);
  const absl::Status file = FileTree::Open(folder_.Path("root/a.txt")).status();
  EXPECT_FALSE(file.ok());
  EXPECT_TRUE(absl::StrContains(file.message(), "a.txt")) << file;
}

TEST_F(FileTreeTest, WhatIsInItIsOpenedWithWhatItIs) {
  ASSERT_EQ(OpenFile("a.txt"), 0);
  EXPECT_EQ(Content(), "hello");
  EXPECT_EQ(facts_.kind, FileKind::kRegular);
  EXPECT_EQ(facts_.stamp.size, 5);
  EXPECT_EQ(fcntl(fd_.get(), F_GETFD), FD_CLOEXEC);
  folder_.SetModified("root/in/b.txt", -2, 500'000'000);
  ASSERT_EQ(OpenFile("in/b.txt"), 0);
  EXPECT_EQ(facts_.stamp.modified_nanos, -1'500'000'000);
  FileFacts looked;
  EXPECT_EQ(tree_->Look("in/b.txt", &looked), 0);
  EXPECT_EQ(looked.stamp, facts_.stamp);
}

TEST_F(FileTreeTest, LinksThatStayInItAreFollowed) {
  folder_.Link("in/b.txt", "root/to_file");
  folder_.Link("in", "root/to_folder");
  folder_.Link("to_folder", "root/chain");
  folder_.Link("../a.txt", "root/in/up");
  for (const char* path :
       {"to_file", "to_folder/b.txt", "chain/b.txt", "in/up", "chain/up"}) {
    EXPECT_EQ(OpenFile(path), 0) << path;
  }
  EXPECT_EQ(tree_->FindDirectory("chain"), 0);
}

TEST_F(FileTreeTest, NothingLeadsOutOfIt) {
  folder_.Link("../outside/secret", "root/file");
  folder_.Link("../outside", "root/folder");
  folder_.Link("folder", "root/chain");
  folder_.Link("in/../../outside/secret", "root/detour");
  folder_.Link("../../root/a.txt", "root/in/out_and_in");
  folder_.Link(folder_.Path("outside/secret"), "root/absolute");
  folder_.Link(folder_.Path("root/a.txt"), "root/absolute_inside");
  folder_.Link("/", "root/slash");
  for (const std::string& path :
       {std::string("file"), std::string("folder/secret"),
        std::string("chain/secret"), std::string("detour"),
        std::string("in/out_and_in"), std::string("absolute"),
        std::string("absolute_inside"), std::string("slash/etc/passwd"),
        std::string("../outside/secret"), std::string("in/../../root/a.txt"),
        folder_.Path("root/a.txt")}) {
    EXPECT_EQ(OpenFile(path), EXDEV) << path;
    EXPECT_FALSE(fd_) << path;
  }
  for (const char* path : {"folder", "chain", "slash", "..", "in/../.."}) {
    EXPECT_EQ(tree_->FindDirectory(path), EXDEV) << path;
    EXPECT_EQ(OpenFile(path), EISDIR) << path;
  }
}

TEST_F(FileTreeTest, AProcInItHasNoWayOut) {
  tree_ = FileTree::Open("/proc").value();
  EXPECT_EQ(tree_->FindDirectory("self/root"), ELOOP);
  EXPECT_EQ(OpenFile("self/root/etc/passwd"), ELOOP);
  EXPECT_EQ(OpenFile("self/exe"), ELOOP);
}

TEST_F(FileTreeTest, NothingButRegularFilesIsOpened) {
  ASSERT_EQ(mkfifo(folder_.Path("root/fifo").c_str(), 0644), 0);
  folder_.Link("fifo", "root/to_fifo");
  EXPECT_EQ(OpenFile("fifo"), EISDIR) << "and nobody waits for a writer";
  EXPECT_EQ(OpenFile("to_fifo"), EISDIR);
  EXPECT_EQ(OpenFile("in"), EISDIR);
  EXPECT_EQ(OpenFile(""), EISDIR);
  EXPECT_EQ(tree_->FindDirectory(""), 0);
  EXPECT_EQ(tree_->FindDirectory("fifo"), ENOTDIR);
  EXPECT_EQ(tree_->FindDirectory("a.txt"), ENOTDIR);
}

TEST_F(FileTreeTest, WhatIsNotThereIsNot) {
  folder_.Link("nowhere", "root/dangling");
  folder_.Link("loop", "root/loop");
  EXPECT_EQ(OpenFile("none"), ENOENT);
  EXPECT_EQ(OpenFile("none/none"), ENOENT);
  EXPECT_EQ(OpenFile("dangling"), ENOENT);
  EXPECT_EQ(OpenFile("loop"), ELOOP);
  EXPECT_EQ(OpenFile("a.txt/x"), ENOTDIR);
  EXPECT_EQ(OpenFile("a.txt/"), ENOTDIR);
  EXPECT_EQ(OpenFile(std::string(256, 'x')), ENAMETOOLONG);
}

// Root is refused nothing for its capabilities. Without them, in a child, for
// there is no way back. The number of the check that failed.
int WithoutCapabilities(const std::string& root) {
  const pid_t child = fork();
  PCHECK(child >= 0);
  if (child == 0) {
    __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3,
                                       .pid = 0};
    const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    if (syscall(SYS_capset, &header, none) != 0) _exit(1);
    absl::StatusOr<std::unique_ptr<FileTree>> tree = FileTree::Open(root);
    if (!tree.ok()) _exit(2);
    UniqueFd fd;
    FileFacts facts;
    if ((*tree)->OpenFile("a.txt", &fd, &facts) != 0) _exit(3);
    if ((*tree)->OpenFile("private", &fd, &facts) != EACCES) _exit(4);
    if ((*tree)->OpenFile("closed/file", &fd, &facts) != EACCES) _exit(5);
    if ((*tree)->FindDirectory("closed") != 0) _exit(6);
    if (FileTree::Open(absl::StrCat(root, "/closed")).ok()) _exit(7);
    if ((*tree)->OpenFile("leaves/a", &fd, &facts) != EXDEV) _exit(8);
    if ((*tree)->Look("leaves/none", &facts) != EXDEV) _exit(9);
    _exit(0);
  }
  int status = 0;
  PCHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(FileTreeTest, WhatMayNotBeRead) {
  folder_.Write("root/private", "x");
  folder_.SetMode("root/private", 0);
  folder_.Write("root/closed/file", "x");
  folder_.SetMode("root/closed", 0600);
  // What is outside does not show in which error it is.
  folder_.Write("shut/a", "x");
  folder_.SetMode("shut", 0600);
  folder_.Link("../shut", "root/leaves");
  EXPECT_EQ(WithoutCapabilities(folder_.Path("root")), 0);
  // So that they can be removed.
  folder_.SetMode("root/closed", 0700);
  folder_.SetMode("shut", 0700);
}

TEST_F(FileTreeTest, ARootThatIsALinkIsFollowedWhenItMoves) {
  folder_.Write("second/a.txt", "second");
  folder_.Link("root", "current");
  tree_ = FileTree::Open(folder_.Path("current")).value();
  EXPECT_FALSE(tree_->RootHasMoved());
  folder_.Link("second", "next");
  folder_.Rename("next", "current");
  EXPECT_TRUE(tree_->RootHasMoved());
  ASSERT_EQ(OpenFile("a.txt"), 0);
  EXPECT_EQ(Content(), "hello") << "the old one until then";
  tree_->Follow();
  EXPECT_FALSE(tree_->RootHasMoved());
  ASSERT_EQ(OpenFile("a.txt"), 0);
  EXPECT_EQ(Content(), "second");
}

TEST_F(FileTreeTest, ARootThatIsGoneIsServedUntilThereIsAnother) {
  folder_.Rename("root", "old");
  EXPECT_FALSE(tree_->RootHasMoved()) << "nothing there to follow";
  tree_->Follow();
  EXPECT_EQ(OpenFile("a.txt"), 0);
  folder_.Write("root/a.txt", "new");
  EXPECT_TRUE(tree_->RootHasMoved());
  tree_->Follow();
  ASSERT_EQ(OpenFile("a.txt"), 0);
  EXPECT_EQ(Content(), "new");
}

TEST_F(FileTreeTest, ACopyOfTheRootOutlivesIt) {
  const UniqueFd copy = tree_->CopyRootFd();
  tree_ = nullptr;
  ASSERT_TRUE(copy);
  EXPECT_EQ(faccessat(copy.get(), "a.txt", R_OK, 0), 0);
}

}  // namespace
}  // namespace baton
