#ifndef BATON_WORKER_FILES_TESTING_TEST_FOLDER_H_
#define BATON_WORKER_FILES_TESTING_TEST_FOLDER_H_

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/unique_fd.h"

namespace baton::testing {

// A folder of the test's own, in which it makes files; removed at the end. All
// names are below it.
class TestFolder {
 public:
  TestFolder() : path_(absl::StrCat(::testing::TempDir(), "/files.XXXXXX")) {
    PCHECK(mkdtemp(path_.data()) != nullptr);
    // For other users, too.
    PCHECK(chmod(path_.c_str(), 0755) == 0);
  }
  ~TestFolder() { std::filesystem::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string Path(absl::string_view name) const {
    return absl::StrCat(path_, "/", name);
  }

  // Makes the file, or changes what is in it, and the folders that it is in.
  void Write(absl::string_view name, absl::string_view content,
             int flags = O_TRUNC) const {
    const std::filesystem::path path(Path(name));
    std::filesystem::create_directories(path.parent_path());
    const UniqueFd fd(
        open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC | flags, 0644));
    PCHECK(fd.get() >= 0) << path;
    PCHECK(write(fd.get(), content.data(), content.size()) ==
           static_cast<ssize_t>(content.size()));
  }
  // As most tools do it: under another name, and then in one step.
  void Replace(absl::string_view name, absl::string_view content) const {
    Write(".new", content);
    Rename(".new", name);
  }
  void MakeFolder(absl::string_view name) const {
    PCHECK(mkdir(Path(name).c_str(), 0755) == 0) << name;
  }
  // A symbolic link at `name`; `target` is not looked at.
  void Link(const std::string& target, absl::string_view name) const {
    PCHECK(symlink(target.c_str(), Path(name).c_str()) == 0) << name;
  }
  void Rename(absl::string_view from, absl::string_view to) const {
    PCHECK(rename(Path(from).c_str(), Path(to).c_str()) == 0) << from;
  }
  void Remove(absl::string_view name) const {
    std::filesystem::remove_all(Path(name));
  }
  void SetMode(absl::string_view name, mode_t mode) const {
    PCHECK(chmod(Path(name).c_str(), mode) == 0) << name;
  }
  // Seconds since the epoch.
  void SetModified(absl::string_view name, int64_t seconds,
                   int64_t nanos = 0) const {
    const timespec times[2] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
                               {.tv_sec = seconds, .tv_nsec = nanos}};
    PCHECK(utimensat(AT_FDCWD, Path(name).c_str(), times, 0) == 0) << name;
  }

 private:
  std::string path_;
};

}  // namespace baton::testing

#endif  // BATON_WORKER_FILES_TESTING_TEST_FOLDER_H_
