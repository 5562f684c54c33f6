#ifndef BATON_TESTS_BINARY_LINK_H_
#define BATON_TESTS_BINARY_LINK_H_

// For tests of upgrades: the name of a server's binary, which is another
// program's from time to time.

#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/server_process.h"

namespace baton {

// One at a time in a process.
class BinaryLink {
 public:
  // Where it will be.
  static std::string Path() {
    return absl::StrCat(testing::TempDir(), "/", getpid(), ".bin");
  }

  // Both take what PathOf() does.
  explicit BinaryLink(const std::string& target) : path_(Path()) {
    PointTo(target);
  }
  ~BinaryLink() { unlink(path_.c_str()); }
  BinaryLink(const BinaryLink&) = delete;
  BinaryLink& operator=(const BinaryLink&) = delete;

  void PointTo(const std::string& target) {
    const std::string next = path_ + ".next";
    unlink(next.c_str());
    EXPECT_EQ(symlink(PathOf(target).c_str(), next.c_str()), 0);
    EXPECT_EQ(rename(next.c_str(), path_.c_str()), 0);
  }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

}  // namespace baton

#endif  // BATON_TESTS_BINARY_LINK_H_
