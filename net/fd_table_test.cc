#include "net/fd_table.h"

#include <sys/resource.h>

#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "net/open_fds.h"

namespace baton {
namespace {

// As /proc/self/status has it - proc(5).
int FdTableSize() {
  std::ifstream status("/proc/self/status");
  std::string key;
  while (status >> key) {
    int size = 0;
    if (key == "FDSize:" && status >> size) return size;
  }
  return -1;
}

TEST(FdTableTest, HasRoomAndNoNewDescriptor) {
  const size_t open = OpenFds()->size();
  ASSERT_LT(FdTableSize(), 3000);
  GrowFdTable(3000);
  EXPECT_GE(FdTableSize(), 3000);
  EXPECT_EQ(OpenFds()->size(), open);
}

TEST(FdTableTest, NoMoreThanTheLimitAllows) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low = {6000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  GrowFdTable(1 << 30);
  EXPECT_GE(FdTableSize(), 6000);
  EXPECT_LT(FdTableSize(), 20'000);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace baton
