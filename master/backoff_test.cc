#include "master/backoff.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

TEST(BackoffTest, DoublesFrom100MillisecondsTo30Seconds) {
  Backoff backoff;
  absl::Duration expected = absl::Milliseconds(100);
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(backoff.AfterFault(/*alone=*/false), expected);
    expected *= 2;
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(backoff.AfterFault(false), absl::Seconds(30));
  }
}

TEST(BackoffTest, AnOnlyWorkerWaitsASecondAtMost) {
  Backoff backoff;
  EXPECT_EQ(backoff.AfterFault(/*alone=*/true), absl::Milliseconds(100));
  for (int i = 0; i < 3; ++i) backoff.AfterFault(true);
  EXPECT_EQ(backoff.AfterFault(true), absl::Seconds(1));
}

TEST(BackoffTest, ServingForgetsEarlyKillsOnly) {
  Backoff backoff;
  for (int i = 0; i < 4; ++i) backoff.AfterEarlyKill(false);
  backoff.Served();
  EXPECT_EQ(backoff.AfterEarlyKill(false), absl::Milliseconds(100));
  backoff.Healthy();
  for (int i = 0; i < 4; ++i) backoff.AfterFault(false);
  backoff.Served();
  EXPECT_EQ(backoff.AfterFault(false), absl::Milliseconds(1600));
}

TEST(BackoffTest, HealthForgetsEverything) {
  Backoff backoff;
  for (int i = 0; i < 4; ++i) backoff.AfterFault(false);
  for (int i = 0; i < 6; ++i) backoff.AfterEarlyKill(false);
  backoff.Healthy();
  EXPECT_EQ(backoff.AfterFault(false), absl::Milliseconds(100));
}

}  // namespace
}  // namespace baton
