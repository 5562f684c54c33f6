#include "tools/loadgen/pacer.h"

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace baton::loadgen {
namespace {

constexpr int64_t kStart = 5'000'000'000;
constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMilli = 1'000'000;

Pacer Started(const Pacer::Plan& plan) {
  Pacer pacer(plan);
  pacer.Start(kStart);
  return pacer;
}

TEST(PacerTest, BeforeTheStartOnlyAClosedLoopsCountLimits) {
  Pacer closed({.count = 2, .duration = absl::Nanoseconds(1)});
  EXPECT_TRUE(closed.Take(kStart));
  closed.Start(kStart);
  EXPECT_TRUE(closed.Take(kStart));
  EXPECT_FALSE(closed.Take(kStart));

  Pacer rate({.rate = 1000, .duration = absl::Seconds(1)});
  EXPECT_EQ(rate.Take(kStart), std::nullopt);
  EXPECT_EQ(rate.unsent(), 0);
  rate.Start(kStart);
  EXPECT_EQ(rate.Take(kStart), kStart);
}

TEST(PacerTest, ClosedLoopBeginsAtOnceUntilTheCount) {
  Pacer pacer = Started({.count = 3});
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(pacer.Over(kStart + i));
    EXPECT_EQ(pacer.Take(kStart + i), kStart + i);
  }
  EXPECT_TRUE(pacer.Over(kStart + 3));
  EXPECT_EQ(pacer.Take(kStart + 3), std::nullopt);
  EXPECT_EQ(pacer.unsent(), 0);
}

TEST(PacerTest, ClosedLoopEndsWithTheDuration) {
  Pacer pacer = Started({.duration = absl::Seconds(2)});
  EXPECT_TRUE(pacer.Take(kStart + 2 * kSecond - 1).has_value());
  EXPECT_EQ(pacer.Take(kStart + 2 * kSecond), std::nullopt);
  EXPECT_TRUE(pacer.Over(kStart + 2 * kSecond));
  EXPECT_EQ(pacer.last_call(), kStart + 2 * kSecond);
}

TEST(PacerTest, WithoutLimitsItNeverEnds) {
  for (const double rate : {0.0, 1000.0}) {
    Pacer pacer = Started({.rate = rate});
    EXPECT_FALSE(pacer.Over(kNever - 1)) << rate;
    EXPECT_EQ(pacer.unsent(), 0);
    EXPECT_EQ(pacer.last_call(), kNever);
  }
}

TEST(PacerTest, RateKeepsToItsSchedule) {
  Pacer pacer = Started({.rate = 1000, .duration = absl::Seconds(1)});
  EXPECT_EQ(pacer.Take(kStart), kStart);
  EXPECT_EQ(pacer.Take(kStart), std::nullopt);
  EXPECT_EQ(pacer.NextDue(kStart), kStart + kMilli);
  EXPECT_EQ(pacer.Take(kStart + kMilli - 1), std::nullopt);
  EXPECT_EQ(pacer.Take(kStart + kMilli), kStart + kMilli);
}

// The point of it: whoever comes late is told the times at which the exchanges
// should have begun, all of them.
TEST(PacerTest, LateTakersGetTheTimesThatWereMissed) {
  Pacer pacer = Started({.rate = 1000, .duration = absl::Seconds(1)});
  const int64_t late = kStart + 100 * kMilli;
  for (int i = 0; i <= 100; ++i) {
    EXPECT_EQ(pacer.Take(late), kStart + i * kMilli) << i;
  }
  EXPECT_EQ(pacer.Take(late), std::nullopt);
}

TEST(PacerTest, OddRatesDoNotDrift) {
  Pacer pacer = Started({.rate = 3'000, .duration = absl::Hours(1)});
  const int64_t end = kStart + 3600 * kSecond;
  int64_t last = 0, taken = 0;
  while (const auto due = pacer.Take(end - 1)) {
    last = *due;
    ++taken;
  }
  EXPECT_EQ(taken, 3'000 * 3600);
  EXPECT_NEAR(last, end - 333'333, 2);
}

TEST(PacerTest, OverdueExchangesMayBeginDuringTheGraceOnly) {
  Pacer pacer = Started({.rate = 10,
                         .duration = absl::Seconds(1),
                         .grace = absl::Milliseconds(500)});
  EXPECT_EQ(pacer.unsent(), 10);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(pacer.Take(kStart + kSecond));
  EXPECT_EQ(pacer.unsent(), 6);
  EXPECT_FALSE(pacer.Over(kStart + kSecond + 499 * kMilli));
  EXPECT_EQ(pacer.Take(kStart + kSecond + 499 * kMilli), kStart + 400 * kMilli);
  EXPECT_TRUE(pacer.Over(kStart + kSecond + 500 * kMilli));
  EXPECT_EQ(pacer.Take(kStart + kSecond + 500 * kMilli), std::nullopt);
  EXPECT_EQ(pacer.unsent(), 5);
}

TEST(PacerTest, CountLimitsARateToo) {
  Pacer pacer = Started({.rate = 10, .count = 5, .grace = absl::Seconds(1)});
  EXPECT_EQ(pacer.unsent(), 5);
  // Due until 0.4 s, so the schedule ends at 0.5 s and the grace at 1.5 s.
  EXPECT_FALSE(pacer.Over(kStart + 1499 * kMilli));
  EXPECT_TRUE(pacer.Over(kStart + 1500 * kMilli));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(pacer.Take(kStart + kSecond));
  EXPECT_EQ(pacer.Take(kStart + kSecond), std::nullopt);
  EXPECT_TRUE(pacer.Over(kStart + kSecond));
}

TEST(PacerTest, ARateSlowerThanTheDurationSendsOne) {
  Pacer pacer = Started({.rate = 0.1, .duration = absl::Seconds(1)});
  EXPECT_EQ(pacer.Take(kStart), kStart);
  EXPECT_TRUE(pacer.Over(kStart));
}

}  // namespace
}  // namespace baton::loadgen
