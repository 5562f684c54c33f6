#include "master/pid_file.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::HasSubstr;

std::string NewPath() {
  return testing::TempDir() + "/pid_file_test." + std::to_string(getpid()) +
         "." + testing::UnitTest::GetInstance()->current_test_info()->name();
}

std::string Contents(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

bool Exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

// Tries to lock in another process, since locks of one process do not conflict.
// Returns what it was told, "" if it got the lock.
std::string LockElsewhere(const std::string& path) {
  int pipe_fds[2];
  EXPECT_EQ(pipe(pipe_fds), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto file = PidFile::Lock(path);
    const std::string text(file.status().message());
    const ssize_t written = write(pipe_fds[1], text.data(), text.size());
    _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(pipe_fds[1]);
  std::string told(1000, '\0');
  const ssize_t count = read(pipe_fds[0], told.data(), told.size());
  told.resize(count > 0 ? static_cast<size_t>(count) : 0);
  close(pipe_fds[0]);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  return told;
}

TEST(PidFileTest, KnowsItselfByEveryName) {
  const std::string path = NewPath();
  const std::string link = path + ".link";
  auto file = PidFile::Lock(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->IsAt(path));
  EXPECT_FALSE(file->IsAt(link));
  ASSERT_EQ(::link(path.c_str(), link.c_str()), 0);
  EXPECT_TRUE(file->IsAt(link));
  EXPECT_EQ(unlink(link.c_str()), 0);
}

TEST(PidFileTest, HoldsThePidWhileItLives) {
  const std::string path = NewPath();
  {
    auto file = PidFile::Lock(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(Contents(path), "");
    ASSERT_TRUE(file->Write().ok());
    EXPECT_EQ(Contents(path), std::to_string(getpid()) + "\n");
  }
  EXPECT_FALSE(Exists(path));
}

TEST(PidFileTest, ASecondServerIsToldWhoHoldsIt) {
  const std::string path = NewPath();
  auto file = PidFile::Lock(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(LockElsewhere(path), "lock " + path + ": it is held by process " +
                                     std::to_string(getpid()));
}

TEST(PidFileTest, OneThatWasLeftBehindIsTakenOver) {
  const std::string path = NewPath();
  std::ofstream(path) << "4194304 and more text than a pid has\n";
  auto file = PidFile::Lock(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(file->Write().ok());
  EXPECT_EQ(Contents(path), std::to_string(getpid()) + "\n");
}

TEST(PidFileTest, AChildDoesNotHoldIt) {
  const std::string path = NewPath();
  auto file = std::make_optional(PidFile::Lock(path));
  ASSERT_TRUE(file->ok());
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  file.reset();
  EXPECT_EQ(LockElsewhere(path), "");
  kill(child, SIGKILL);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

TEST(PidFileTest, SomebodyElsesFileIsNotRemoved) {
  const std::string path = NewPath();
  {
    auto file = PidFile::Lock(path);
    ASSERT_TRUE(file.ok());
    ASSERT_EQ(unlink(path.c_str()), 0);
    std::ofstream(path) << "other\n";
  }
  EXPECT_EQ(Contents(path), "other\n");
  unlink(path.c_str());
}

TEST(PidFileTest, ASymbolicLinkIsNotFollowed) {
  const std::string path = NewPath();
  ASSERT_EQ(symlink("/nonexistent/elsewhere", path.c_str()), 0);
  const auto file = PidFile::Lock(path);
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(std::string(file.status().message()), HasSubstr(path));
  unlink(path.c_str());
}

TEST(PidFileTest, AFolderThatIsNotThereIsNamed) {
  const auto file = PidFile::Lock("/nonexistent/x.pid");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().message(),
            "open /nonexistent/x.pid: No such file or directory (ENOENT)");
}

}  // namespace
}  // namespace baton
