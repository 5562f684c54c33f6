#include "master/exit_status.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(ExitStatusTest, SaysHowItEnded) {
  EXPECT_EQ(ExitStatus::Exited(3).ToString(), "exit code 3");
  EXPECT_EQ(ExitStatus::Signalled(SIGSEGV).ToString(), "SIGSEGV");
  EXPECT_EQ(ExitStatus::Signalled(SIGABRT, true).ToString(),
            "SIGABRT (core dumped)");
  EXPECT_EQ(ExitStatus::Signalled(63).ToString(), "signal 63");
}

TEST(ExitStatusTest, TellsWhoseDoingItWas) {
  EXPECT_TRUE(ExitStatus::Exited(0).clean());
  EXPECT_FALSE(ExitStatus::Exited(1).clean());
  EXPECT_FALSE(ExitStatus::Signalled(SIGKILL).clean());
  EXPECT_TRUE(ExitStatus::Signalled(SIGKILL).killed_from_outside());
  EXPECT_FALSE(ExitStatus::Signalled(SIGSEGV).killed_from_outside());
  EXPECT_FALSE(ExitStatus::Exited(9).killed_from_outside());
}

}  // namespace
}  // namespace baton
