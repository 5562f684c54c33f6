#include "net/errno_status.h"

#include <errno.h>
#include <gtest/gtest.h>

#include "absl/status/status.h"

namespace baton {
namespace {

TEST(ErrnoStatusTest, NamesCallObjectAndErrno) {
  const absl::Status status = ErrnoStatus("bind", "127.0.0.1:80", EADDRINUSE);
  EXPECT_EQ(status.message(),
            "bind 127.0.0.1:80: Address already in use (EADDRINUSE)");
  EXPECT_EQ(status.code(), absl::ErrnoToStatusCode(EADDRINUSE));
  EXPECT_FALSE(status.ok());
}

TEST(ErrnoStatusTest, LeavesOutAnEmptyObject) {
  EXPECT_EQ(ErrnoStatus("fork", "", EAGAIN).message(),
            "fork: Resource temporarily unavailable (EAGAIN)");
}

TEST(ErrnoStatusTest, MapsToTheCodeThatCallersBranchOn) {
  EXPECT_TRUE(absl::IsNotFound(ErrnoStatus("open", "/x", ENOENT)));
  EXPECT_TRUE(absl::IsPermissionDenied(ErrnoStatus("bind", "/x", EACCES)));
  EXPECT_TRUE(absl::IsResourceExhausted(ErrnoStatus("socket", "", EMFILE)));
}

TEST(ErrnoStatusTest, UnknownNumberKeepsTheNumber) {
  EXPECT_EQ(ErrnoText(4095), "unknown error 4095");
  EXPECT_FALSE(ErrnoStatus("call", "x", 4095).ok());
}

TEST(ErrnoStatusDeathTest, ZeroIsNoError) {
  EXPECT_DEATH((void)ErrnoStatus("bind", "x", 0), "did not fail");
}

}  // namespace
}  // namespace baton
