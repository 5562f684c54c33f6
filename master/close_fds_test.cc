#include "master/close_fds.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "gtest/gtest.h"
#include "net/open_fds.h"

namespace baton {
namespace {

// Runs in a forked child: what it closes is its own.
template <typename Body>
void InChild(Body body) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(CloseFdsTest, KeepsWhatItIsToldAndTheStandardThree) {
  InChild([] {
    const int a = dup(0), b = dup(0), c = dup(0);
    const int far = fcntl(0, F_DUPFD, 500);
    CloseAllFdsExcept({far, b});
    const auto open = OpenFds();
    return open.ok() && *open == std::vector<int>{0, 1, 2, b, far} &&
           fcntl(a, F_GETFD) < 0 && fcntl(c, F_GETFD) < 0;
  });
}

TEST(CloseFdsTest, NeighboursDuplicatesAndStrangersInTheListAreFine) {
  InChild([] {
    const int a = dup(0), b = dup(0);
    CloseAllFdsExcept({b, a, a, -1, 999, 2});
    const auto open = OpenFds();
    return open.ok() && *open == std::vector<int>{0, 1, 2, a, b};
  });
}

TEST(CloseFdsTest, AnEmptyListKeepsTheStandardThree) {
  InChild([] {
    const int copy = dup(0);
    CloseAllFdsExcept({});
    const auto open = OpenFds();
    return copy > 2 && open.ok() && *open == std::vector<int>{0, 1, 2};
  });
}

}  // namespace
}  // namespace baton
