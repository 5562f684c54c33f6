#include "master/turn_watch.h"

#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr absl::Duration kPeriod = TurnWatch::kPeriod;

ProcessUsage Runs(double cpu_seconds) {
  ProcessUsage usage;
  usage.state = 'R';
  usage.cpu_seconds = cpu_seconds;
  return usage;
}

ProcessUsage In(char state) {
  ProcessUsage usage;
  usage.state = state;
  return usage;
}

void Look(TurnWatch& watch, uint64_t turn, const ProcessUsage& usage) {
  watch.Look(turn, /*waits=*/false, [&] { return usage; });
}

TEST(TurnWatchTest, ATurnThatGoesOnIsCounted) {
  TurnWatch watch;
  Look(watch, 7, Runs(0));
  EXPECT_EQ(watch.in_turn(), absl::ZeroDuration());
  Look(watch, 7, Runs(0.5));
  EXPECT_FALSE(watch.is_stuck());
  Look(watch, 7, Runs(1.0));
  EXPECT_TRUE(watch.is_stuck());
  EXPECT_EQ(watch.in_turn(), 2 * kPeriod);
  EXPECT_EQ(watch.counted_in_turn(), 2 * kPeriod);
  Look(watch, 8, Runs(1.0));
  EXPECT_FALSE(watch.is_stuck());
  EXPECT_EQ(watch.counted_in_turn(), absl::ZeroDuration());
}

TEST(TurnWatchTest, WhoWaitsOrHasNotBegunIsInNoTurn) {
  TurnWatch watch;
  const auto nobody_asks = [] {
    ADD_FAILURE() << "asked";
    return ProcessUsage();
  };
  for (int i = 0; i < 5; ++i) {
    watch.Look(7, /*waits=*/true, nobody_asks);
    EXPECT_EQ(watch.in_turn(), absl::ZeroDuration());
    watch.Look(0, /*waits=*/false, nobody_asks);
    EXPECT_EQ(watch.in_turn(), absl::ZeroDuration());
  }
}

TEST(TurnWatchTest, WhoCanNotRunIsStuckAndNotToBlame) {
  for (const char state : {'T', 't', 'D'}) {
    TurnWatch watch;
    for (int i = 0; i <= 4; ++i) Look(watch, 1, In(state));
    EXPECT_TRUE(watch.is_stuck());
    EXPECT_EQ(watch.in_turn(), 4 * kPeriod);
    EXPECT_EQ(watch.counted_in_turn(), absl::ZeroDuration());
    EXPECT_NE(watch.excuse(), nullptr);
    // From now on it could.
    Look(watch, 1, In('S'));
    EXPECT_EQ(watch.counted_in_turn(), kPeriod);
    EXPECT_EQ(watch.excuse(), nullptr);
  }
}

TEST(TurnWatchTest, NorIsOneWithoutAProcessor) {
  TurnWatch watch;
  Look(watch, 1, Runs(3));
  EXPECT_EQ(watch.excuse(), nullptr) << "it has just begun";
  Look(watch, 1, Runs(3));
  EXPECT_STREQ(watch.excuse(), "no_processor");
  Look(watch, 1, Runs(3));
  EXPECT_EQ(watch.in_turn(), 2 * kPeriod);
  EXPECT_EQ(watch.counted_in_turn(), absl::ZeroDuration());
  Look(watch, 1, Runs(3.01));
  EXPECT_EQ(watch.counted_in_turn(), kPeriod);
  // The next turn is compared with its own beginning.
  Look(watch, 2, Runs(4));
  Look(watch, 2, Runs(4));
  EXPECT_STREQ(watch.excuse(), "no_processor");
  EXPECT_EQ(watch.counted_in_turn(), absl::ZeroDuration());
}

TEST(TurnWatchTest, OneThatSleepsInALockOrACallIsToBlame) {
  TurnWatch watch;
  for (int i = 0; i <= 4; ++i) Look(watch, 1, In('S'));
  EXPECT_EQ(watch.counted_in_turn(), 4 * kPeriod);
}

TEST(TurnWatchTest, WithoutProcItIsToBlame) {
  TurnWatch watch;
  for (int i = 0; i <= 4; ++i) Look(watch, 1, ProcessUsage());
  EXPECT_EQ(watch.counted_in_turn(), 4 * kPeriod);
}

TEST(TurnWatchTest, EachTurnIsReportedOnce) {
  TurnWatch watch;
  Look(watch, 1, In('D'));
  Look(watch, 1, In('D'));
  EXPECT_TRUE(watch.FirstReportOfTurn());
  EXPECT_FALSE(watch.FirstReportOfTurn());
  Look(watch, 2, In('D'));
  Look(watch, 2, In('D'));
  EXPECT_TRUE(watch.FirstReportOfTurn());
}

}  // namespace
}  // namespace baton
