#include "net/unique_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <type_traits>
#include <utility>

namespace baton {
namespace {

static_assert(!std::is_copy_constructible_v<UniqueFd>);
static_assert(!std::is_copy_assignable_v<UniqueFd>);
static_assert(std::is_nothrow_move_constructible_v<UniqueFd>);
static_assert(!std::is_convertible_v<int, UniqueFd>);
static_assert(!std::is_convertible_v<UniqueFd, bool>);
static_assert(sizeof(UniqueFd) == sizeof(int));

int OpenNull() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFdTest, StartsEmptyAndTakesEveryNegativeNumberAsEmpty) {
  EXPECT_EQ(UniqueFd().get(), -1);
  EXPECT_FALSE(UniqueFd());
  EXPECT_EQ(UniqueFd(-7).get(), -1);
}

TEST(UniqueFdTest, DescriptorZeroIsADescriptor) {
  UniqueFd fd(0);
  EXPECT_TRUE(fd);
  EXPECT_EQ(fd.release(), 0);
}

TEST(UniqueFdTest, ClosesAtEndOfScope) {
  int number;
  {
    UniqueFd fd(OpenNull());
    number = fd.get();
    ASSERT_TRUE(IsOpen(number));
  }
  EXPECT_FALSE(IsOpen(number));
}

TEST(UniqueFdTest, MoveTransfersAndClosesWhatTheTargetHad) {
  UniqueFd a(OpenNull());
  UniqueFd b(OpenNull());
  const int from_a = a.get();
  const int from_b = b.get();
  b = std::move(a);
  EXPECT_EQ(b.get(), from_a);
  EXPECT_EQ(a.get(), -1);
  EXPECT_TRUE(IsOpen(from_a));
  EXPECT_FALSE(IsOpen(from_b));
  UniqueFd c(std::move(b));
  EXPECT_EQ(c.get(), from_a);
  EXPECT_FALSE(b);
}

TEST(UniqueFdTest, MoveToItselfKeepsTheDescriptor) {
  UniqueFd a(OpenNull());
  UniqueFd& alias = a;
  a = std::move(alias);
  EXPECT_TRUE(IsOpen(a.get()));
}

TEST(UniqueFdTest, ReleaseGivesUpOwnership) {
  int number;
  {
    UniqueFd fd(OpenNull());
    number = fd.release();
    EXPECT_FALSE(fd);
  }
  EXPECT_TRUE(IsOpen(number));
  UniqueFd(number).reset();
  EXPECT_FALSE(IsOpen(number));
}

TEST(UniqueFdTest, ClosingLeavesErrnoAlone) {
  UniqueFd fd(OpenNull());
  errno = EADDRINUSE;
  fd.reset();
  EXPECT_EQ(errno, EADDRINUSE);
}

TEST(UniqueFdDeathTest, DoubleCloseIsABug) {
  EXPECT_DEATH(
      {
        UniqueFd fd(OpenNull());
        close(fd.get());
      },
      "closed behind the back");
}

TEST(UniqueFdDeathTest, ResetToWhatIsOwnedIsABug) {
  UniqueFd fd(OpenNull());
  EXPECT_DEATH(fd.reset(fd.get()), "already owned");
}

}  // namespace
}  // namespace baton
