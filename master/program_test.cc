#include "master/program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/handoff.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr absl::string_view kReplaced = "--replaced";

// A folder that goes with the test, and its files.
class Folder {
 public:
  Folder() {
    std::string name = absl::StrCat(testing::TempDir(), "/program.XXXXXX");
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    // As getcwd(3) will have it.
    char* real = realpath(name.c_str(), nullptr);
    path_ = real;
    free(real);
  }
  ~Folder() {
    for (const std::string& file : files_) {
      EXPECT_EQ(remove(file.c_str()), 0) << file;
    }
    EXPECT_EQ(rmdir(path_.c_str()), 0);
  }

  const std::string& path() const { return path_; }
  // Removed at the end.
  std::string Name(absl::string_view name) {
    files_.push_back(absl::StrCat(path_, "/", name));
    return files_.back();
  }
  std::string AddFile(absl::string_view name, mode_t mode) {
    std::string path = Name(name);
    std::ofstream(path) << "#!/bin/sh\n";
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }

 private:
  std::string path_;
  std::vector<std::string> files_;
};

// In another directory until the end.
class InFolder {
 public:
  explicit InFolder(const std::string& path)
      : before_(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    EXPECT_EQ(chdir(path.c_str()), 0);
  }
  ~InFolder() { EXPECT_EQ(fchdir(before_.get()), 0); }

 private:
  UniqueFd before_;
};

// What a child prints that is to become another program in `act`.
std::string OutputOf(const std::function<void()>& act) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  const pid_t child = fork();
  EXPECT_GE(child, 0);
  if (child == 0) {
    dup2(write_end.get(), STDOUT_FILENO);
    act();
    _exit(99);  // it has not become another one
  }
  write_end.reset();
  std::string output;
  char buffer[4096];
  ssize_t count;
  while ((count = read(read_end.get(), buffer, sizeof(buffer))) > 0) {
    output.append(buffer, static_cast<size_t>(count));
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << output;
  return output;
}

Program Shell(const std::string& script,
              std::vector<std::string> environment = {}) {
  environment.emplace_back("PATH=/usr/bin:/bin");
  return Program({"/bin/sh", "-c", script}, std::move(environment));
}

UniqueFd OpenNull(bool closes_on_exec) {
  UniqueFd fd(open("/dev/null", O_RDONLY | (closes_on_exec ? O_CLOEXEC : 0)));
  EXPECT_TRUE(fd);
  return fd;
}

bool ClosesOnExec(const UniqueFd& fd) {
  return (fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0;
}

TEST(ProgramTest, APathIsWhereTheProcessWasStartedFrom) {
  const Folder folder;
  const InFolder there(folder.path());
  EXPECT_EQ(Program({"/usr/bin/x"}, {}).path(), "/usr/bin/x");
  EXPECT_EQ(Program({"bin/x"}, {}).path(), folder.path() + "/bin/x");
  EXPECT_EQ(Program({"./x"}, {}).path(), folder.path() + "/./x");
}

TEST(ProgramTest, ANameIsLookedUpAsAShellDoes) {
  Folder first, second;
  first.AddFile("x", 0644);  // may not be run
  mkdir(first.Name("y").c_str(), 0755);
  const std::string x = second.AddFile("x", 0755);
  const std::string y = second.AddFile("y", 0755);
  const std::vector<std::string> environment = {
      "XPATH=/",
      absl::StrCat("PATH=/nowhere:", first.path(), ":", second.path())};
  EXPECT_EQ(Program({"x"}, environment).path(), x);
  EXPECT_EQ(Program({"y"}, environment).path(), y) << "a folder is no program";
  // A folder that is relative, or has no name at all.
  const InFolder there(second.path());
  EXPECT_EQ(Program({"x"}, {"PATH=/nowhere:"}).path(), second.path() + "/./x");
  EXPECT_EQ(Program({"x"}, {"PATH=."}).path(), second.path() + "/./x");
}

// Somebody has made it up: what runs is what there is.
TEST(ProgramTest, ANameThatIsNowhereIsThatOfTheProgramThatRuns) {
  const Program program({"made-up"}, {"PATH=/nowhere"});
  const auto opened = program.OpenOnDisk();
  ASSERT_TRUE(opened.ok()) << opened.status();
  struct stat named, running;
  EXPECT_EQ(fstat(opened->get(), &named), 0);
  EXPECT_EQ(stat("/proc/self/exe", &running), 0);
  EXPECT_EQ(named.st_ino, running.st_ino);
}

TEST(ProgramTest, WhatIsWrittenIntoAFileIsAnotherVersionOfIt) {
  const Folder folder;
  const std::string path = folder.path() + "/file";
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const FileVersion before = FileVersion::Of(fd.get());
  EXPECT_TRUE(before.Is(fd.get()));
  EXPECT_EQ(unlink(path.c_str()), 0);
  EXPECT_TRUE(before.Is(fd.get())) << "only its name has gone";
  EXPECT_EQ(write(fd.get(), "x", 1), 1);
  EXPECT_FALSE(before.Is(fd.get()));
  EXPECT_FALSE(before.Is(-1));
}

TEST(ProgramTest, APathThatIsNowhereIsAnErrorThatNamesIt) {
  const Folder folder;
  const InFolder there(folder.path());
  const Program program({"./absent"}, {});
  EXPECT_EQ(program.path(), folder.path() + "/./absent");
  const auto opened = program.OpenOnDisk();
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(std::string(opened.status().message()),
              HasSubstr(folder.path() + "/./absent"));
}

TEST(ProgramTest, BecomesTheOtherWithItsArgumentsAndEnvironment) {
  const Program shell = Shell("echo $0 $1 $BATON_HANDOFF $COLOUR; env",
                              {"COLOUR=red", "LISTEN_PID=1", "LISTEN_FDS=2",
                               "LISTEN_FDNAMES=a:b", "LISTEN_TO=me"});
  const auto binary = shell.OpenOnDisk();
  ASSERT_TRUE(binary.ok()) << binary.status();
  const std::string output = OutputOf([&] {
    static_cast<void>(
        shell.Exec(binary->get(), {"zero", "one"}, "master:7:why", {}));
  });
  EXPECT_THAT(output, testing::StartsWith("zero one master:7:why red\n"));
  EXPECT_THAT(output, HasSubstr("LISTEN_TO=me"));
  for (const char* taken : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
    EXPECT_THAT(output, testing::Not(HasSubstr(taken)));
  }
}

TEST(ProgramTest, OfTheDescriptorsOnlyThoseThatAreSaidStay) {
  const UniqueFd kept = OpenNull(true), other = OpenNull(true),
                 inherited = OpenNull(false);
  const Program shell = Shell(
      "for fd in \"$@\"; do\n"
      "  [ -e /proc/$$/fd/$fd ] && echo yes || echo no\n"
      "done");
  const auto binary = shell.OpenOnDisk();
  ASSERT_TRUE(binary.ok()) << binary.status();
  const std::string output = OutputOf([&] {
    const int keep[] = {kept.get(), inherited.get()};
    static_cast<void>(shell.Exec(
        binary->get(),
        {"sh", absl::StrCat(kept.get()), absl::StrCat(inherited.get()),
         absl::StrCat(other.get()), absl::StrCat(binary->get())},
        "", keep));
  });
  EXPECT_EQ(output, "yes\nyes\nno\nno\n");
}

TEST(ProgramTest, AnExecThatFailsLeavesEverythingAsItWas) {
  const UniqueFd kept = OpenNull(true), inherited = OpenNull(false);
  Folder folder;
  const Program program({folder.AddFile("no_program", 0644)}, {});
  const auto binary = program.OpenOnDisk();
  ASSERT_TRUE(binary.ok()) << binary.status();
  const int keep[] = {kept.get(), inherited.get(), 1000000};
  const absl::Status status = program.Exec(binary->get(), {}, "", keep);
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(program.path()));
  EXPECT_TRUE(ClosesOnExec(kept));
  EXPECT_FALSE(ClosesOnExec(inherited)) << "nor did it before";
  EXPECT_EQ(getenv(kHandoffVariable), nullptr);
}

// The process is the copy of this test's binary, replaced below.
TEST(ProgramTest, WhatRunsIsOpenedThoughItWasReplaced) {
  Folder folder;
  const std::string copy = folder.Name("copy");
  {
    std::ifstream from("/proc/self/exe", std::ios::binary);
    std::ofstream to(copy, std::ios::binary);
    to << from.rdbuf();
    ASSERT_TRUE(to.good());
  }
  ASSERT_EQ(chmod(copy.c_str(), 0755), 0);
  struct stat status;
  ASSERT_EQ(stat(copy.c_str(), &status), 0);
  const Program program({copy}, {});
  const auto binary = program.OpenOnDisk();
  ASSERT_TRUE(binary.ok()) << binary.status();
  const std::string output = OutputOf([&] {
    static_cast<void>(program.Exec(binary->get(), {std::string(kReplaced)},
                                   absl::StrCat(status.st_ino), {}));
  });
  EXPECT_EQ(output, "running: yes, on disk: no\n");
}

int Replaced(const char* path) {
  const std::string next = absl::StrCat(path, ".next");
  std::ofstream(next) << "another\n";
  if (rename(next.c_str(), path) != 0) return 1;
  const auto is_first = [](const absl::StatusOr<UniqueFd>& fd) {
    struct stat status;
    return fd.ok() && fstat(fd->get(), &status) == 0 &&
                   absl::StrCat(status.st_ino) == getenv(kHandoffVariable)
               ? "yes"
               : "no";
  };
  printf("running: %s, on disk: %s\n", is_first(Program::OpenRunning()),
         is_first(Program({path}, {}).OpenOnDisk()));
  return 0;
}

TEST(ProgramTest, GivesBackWhatItWasLeftToTheOneBefore) {
  const UniqueFd worker = OpenNull(true);
  // Says what it was told, whether the worker's is there, and what it was left.
  const Program shell = Shell(absl::StrCat(
      "echo $BATON_HANDOFF | sed 's/:[0-9]*:/:N:/'\n[ -e /proc/$$/fd/",
      worker.get(),
      " ] && echo yes\nn=${BATON_HANDOFF#master:}\ncat /proc/$$/fd/${n%%:*}"));
  const auto binary = shell.OpenOnDisk();
  ASSERT_TRUE(binary.ok()) << binary.status();
  Handoff handoff{Handoff::Role::kMaster,
                  {{"old_binary", binary->get()}, {"fds", {worker.get()}}},
                  ""};
  const std::string output = OutputOf(
      [&] { shell.GiveBack(handoff, absl::InternalError("no: such thing")); });
  const std::vector<uint8_t> left = json::to_cbor(handoff.document);
  EXPECT_EQ(output, absl::StrCat("master:N:no: such thing\nyes\n",
                                 std::string(left.begin(), left.end())));
}

TEST(ProgramTest, WithNobodyBeforeItGivingBackReturns) {
  const Program shell = Shell("exit 1");
  const auto binary = shell.OpenOnDisk();
  ASSERT_TRUE(binary.ok()) << binary.status();
  const json good = {{"old_binary", binary->get()}, {"fds", json::array()}};
  const absl::Status why = absl::InternalError("why");
  const auto give_back = [&](const json& document, const char* refusal) {
    shell.GiveBack({Handoff::Role::kMaster, document, refusal}, why);
  };
  give_back(json::object(), "");
  give_back({{"fds", json::array()}}, "");
  give_back({{"old_binary", binary->get()}}, "");
  give_back({{"old_binary", "x"}, {"fds", json::array()}}, "");
  give_back({{"old_binary", binary->get()}, {"fds", {"x"}}}, "");
  give_back({{"old_binary", -1}, {"fds", json::array()}}, "");
  // This is the one before.
  give_back(good, "the next one could not");
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  if (argc > 1 && argv[1] == baton::kReplaced) return baton::Replaced(argv[0]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
