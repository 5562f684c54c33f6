#include "net/timer_wheel.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

struct Node : TimerNode {
  explicit Node(int id) : id(id) {}
  int id;
};

std::vector<int> Fire(TimerWheel& wheel, Tick now) {
  std::vector<int> fired;
  wheel.Advance(now, [&](TimerNode* node) {
    fired.push_back(static_cast<Node*>(node)->id);
  });
  return fired;
}

TEST(TimerWheel, FiresInTickOrderAndNotBefore) {
  TimerWheel wheel(0);
  Node late(1), early(2);
  wheel.File(&late, 20);
  wheel.File(&early, 10);
  EXPECT_EQ(wheel.NextTick(), 10u);
  EXPECT_TRUE(Fire(wheel, 9).empty());
  EXPECT_EQ(Fire(wheel, 30), (std::vector<int>{2, 1}));
  EXPECT_TRUE(wheel.empty());
}

TEST(TimerWheel, FilingAgainMoves) {
  TimerWheel wheel(0);
  Node node(1), other(2);
  wheel.File(&other, 60);
  wheel.File(&node, 10);
  wheel.File(&node, 50);
  EXPECT_EQ(wheel.size(), 2u);
  EXPECT_EQ(wheel.NextTick(), 10u);  // until that has passed
  EXPECT_TRUE(Fire(wheel, 10).empty());
  EXPECT_EQ(wheel.NextTick(), 50u);
  EXPECT_TRUE(Fire(wheel, 49).empty());
  EXPECT_EQ(Fire(wheel, 50), (std::vector<int>{1}));
}

TEST(TimerWheel, APastTickIsTheNextOne) {
  TimerWheel wheel(100);
  Node node(1);
  wheel.File(&node, 40);
  EXPECT_EQ(node.filed_tick(), 101u);
  EXPECT_EQ(Fire(wheel, 101), (std::vector<int>{1}));
}

TEST(TimerWheel, BeyondTheHorizonIsFiledAtTheHorizon) {
  TimerWheel wheel(7);
  Node node(1);
  wheel.File(&node, 7 + 10 * TimerWheel::kSlots);
  EXPECT_EQ(node.filed_tick(), 7 + TimerWheel::kSlots - 1);
  EXPECT_EQ(Fire(wheel, 7 + TimerWheel::kSlots), (std::vector<int>{1}));
}

TEST(TimerWheel, RemovedDoesNotFire) {
  TimerWheel wheel(0);
  Node a(1), b(2), c(3);
  for (Node* node : {&a, &b, &c}) wheel.File(node, 5);
  wheel.Remove(&b);
  EXPECT_EQ(Fire(wheel, 5).size(), 2u);
  wheel.Remove(&b);  // not filed: nothing happens
  EXPECT_TRUE(wheel.empty());
}

TEST(TimerWheel, ANodeMayRemoveOthersOfItsTickAndFileItself) {
  TimerWheel wheel(0);
  Node a(1), b(2);
  wheel.File(&a, 5);
  wheel.File(&b, 5);
  int calls = 0;
  wheel.Advance(5, [&](TimerNode* node) {
    ++calls;
    wheel.Remove(node == &a ? &b : &a);
    wheel.File(node, 6);
  });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(wheel.size(), 1u);
  EXPECT_EQ(Fire(wheel, 6).size(), 1u);
}

TEST(TimerWheel, TicksWrapAround) {
  const Tick start = ~Tick{0} - 3;
  TimerWheel wheel(start);
  Node node(1);
  wheel.File(&node, start + 10);
  EXPECT_EQ(wheel.NextTick(), start + 10);
  EXPECT_TRUE(Fire(wheel, start + 9).empty());
  EXPECT_EQ(Fire(wheel, start + 10), (std::vector<int>{1}));
}

// Against the obvious model: a deadline per node, fired when it is due.
TEST(TimerWheel, AgreesWithAModelOnRandomOperations) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  Tick now = static_cast<Tick>(random());
  TimerWheel wheel(now);
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<Tick> due(200);
  std::vector<bool> filed(200);
  for (int i = 0; i < 200; ++i) nodes.push_back(std::make_unique<Node>(i));
  for (int step = 0; step < 20000; ++step) {
    const auto i = random() % 200;
    switch (random() % 4) {
      case 0:
      case 1:
        due[i] = now + 1 + random() % (TimerWheel::kSlots - 1);
        filed[i] = true;
        wheel.File(nodes[i].get(), due[i]);
        break;
      case 2:
        filed[i] = false;
        wheel.Remove(nodes[i].get());
        break;
      default:
        now += random() % (random() % 8 == 0 ? TimerWheel::kSlots * 2 : 64);
        wheel.Advance(now, [&](TimerNode* node) {
          const auto id = static_cast<size_t>(static_cast<Node*>(node)->id);
          ASSERT_TRUE(filed[id]);
          ASSERT_FALSE(TickBefore(now, due[id]));
          filed[id] = false;
        });
    }
    uint32_t count = 0;
    for (size_t j = 0; j < 200; ++j) {
      if (!filed[j]) continue;
      ++count;
      ASSERT_TRUE(TickBefore(now, due[j])) << "missed";
    }
    ASSERT_EQ(wheel.size(), count);
    for (size_t j = 0; j < 200; ++j) {
      if (!filed[j]) continue;
      ASSERT_FALSE(TickBefore(due[j], wheel.NextTick()));
    }
  }
}

TEST(TicksFor, RoundsUpAndStaysInRange) {
  EXPECT_EQ(TicksFor(absl::Nanoseconds(1)), 1u);
  EXPECT_EQ(TicksFor(absl::Nanoseconds(kTickNanos)), 1u);
  EXPECT_EQ(TicksFor(absl::Nanoseconds(kTickNanos + 1)), 2u);
  EXPECT_EQ(TicksFor(absl::ZeroDuration()), 1u);
  EXPECT_EQ(TicksFor(absl::Seconds(-1)), 1u);
  EXPECT_EQ(TicksFor(-absl::InfiniteDuration()), 1u);
  for (absl::Duration longest :
       {absl::Nanoseconds(std::numeric_limits<int64_t>::max()),
        absl::InfiniteDuration()}) {
    EXPECT_EQ(TicksFor(longest), kMaxTicks);
  }
}

}  // namespace
}  // namespace baton
