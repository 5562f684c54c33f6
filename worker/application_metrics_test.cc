#include "worker/application_metrics.h"

#include <atomic>
#include <bit>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

MetricCounter orders("test_orders_total", "Orders.");
MetricGauge carts("test_carts", "Carts.");
MetricHistogram waits("test_wait_seconds", "Waits.", {0.1, 1, 10});

class ApplicationMetricsTest : public ::testing::Test {
 protected:
  ApplicationMetricsTest() : cells_(ApplicationCells()) {
    SetApplicationCells(cells_.data());
  }
  ~ApplicationMetricsTest() override { SetApplicationCells(nullptr); }

  uint64_t Cell(size_t metric, size_t i = 0) {
    return cells_[ApplicationMetrics()[metric].first_cell + i].load();
  }
  double Real(size_t metric, size_t i = 0) {
    return std::bit_cast<double>(Cell(metric, i));
  }

  std::vector<std::atomic<uint64_t>> cells_;
};

TEST_F(ApplicationMetricsTest, AreThereBeforeMain) {
  ASSERT_EQ(ApplicationMetrics().size(), 3u);
  EXPECT_STREQ(ApplicationMetrics()[0].name, "test_orders_total");
  EXPECT_EQ(ApplicationMetrics()[2].type, MetricType::kHistogram);
  EXPECT_EQ(ApplicationMetrics()[2].cells, 5u);
  EXPECT_EQ(ApplicationCells(), 7u);
}

TEST_F(ApplicationMetricsTest, WriteIntoTheirCells) {
  orders.Add();
  orders.Add(4);
  EXPECT_EQ(Cell(0), 5u);
  carts.Set(2.5);
  carts.Add(-1);
  EXPECT_EQ(Real(1), 1.5);
  for (const double wait : {0.05, 0.1, 0.2, 11.0}) waits.Observe(wait);
  EXPECT_EQ(Cell(2, 0), 2u);
  EXPECT_EQ(Cell(2, 1), 1u);
  EXPECT_EQ(Cell(2, 2), 0u);
  EXPECT_EQ(Cell(2, 3), 1u);
  EXPECT_DOUBLE_EQ(Real(2, 4), 11.35);
}

TEST_F(ApplicationMetricsTest, AnyThreadMayWrite) {
  constexpr int kTimes = 10'000;
  const auto work = [] {
    for (int i = 0; i < kTimes; ++i) {
      orders.Add();
      carts.Add(1);
    }
  };
  std::thread other(work);
  work();
  other.join();
  EXPECT_EQ(Cell(0), 2u * kTimes);
  EXPECT_EQ(Real(1), 2.0 * kTimes);
}

TEST_F(ApplicationMetricsTest, OutsideAWorkerWritingDoesNothing) {
  SetApplicationCells(nullptr);
  orders.Add();
  carts.Set(1);
  waits.Observe(1);
  EXPECT_EQ(Cell(0), 0u);
}

using ApplicationMetricsDeathTest = ApplicationMetricsTest;

TEST_F(ApplicationMetricsDeathTest, BadNamesEndTheProgram) {
  EXPECT_DEATH(MetricCounter("no_suffix", ""), "_total");
  EXPECT_DEATH(MetricGauge("gauge_total", ""), "_total");
  EXPECT_DEATH(MetricGauge("Bad", ""), "no name");
  EXPECT_DEATH(MetricGauge("baton_mine", ""), "no name");
  EXPECT_DEATH(MetricGauge("test_carts", ""), "twice");
  EXPECT_DEATH(MetricHistogram("test_bounds", "", {2, 1}), "bounds");
}

}  // namespace
}  // namespace baton
