#ifndef BATON_WORKER_APPLICATION_METRICS_H_
#define BATON_WORKER_APPLICATION_METRICS_H_

// An application's own numbers, beside the server's in /metrics:
//
//   baton::MetricCounter orders("shop_orders_total", "Orders taken.");
//   baton::MetricGauge carts("shop_carts", "Carts that are being filled.");
//   baton::MetricHistogram wait("shop_wait_seconds", "For the bank.",
//                               {0.01, 0.1, 1, 10});
//   ...
//   orders.Add();  carts.Add(-1);  wait.Observe(0.25);
//
// Define them at namespace scope, so that they are there before the first
// worker is forked: the master makes room for them in each worker's scoreboard,
// and adds up what all of them say, those that have ended included. A gauge is
// the sum over the workers that live.
//
// Names and helps are literals. A name is [a-z][a-z0-9_]*, at most 40 bytes,
// does not begin with "baton_", and is used once; one of a counter ends with
// "_total" (all CHECKed). Any thread of a worker may write; outside workers
// writing does nothing.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace baton {

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram };

struct MetricDefinition {
  const char* name;
  const char* help;
  MetricType type;
  std::vector<double> bounds;  // of a histogram, ascending
  size_t first_cell;           // among those of all metrics
  // A histogram's are its buckets, the one without a bound, and the sum.
  size_t cells;
};

// In the order of their definition, which is the same in all processes that a
// master forks.
const std::vector<MetricDefinition>& ApplicationMetrics();
// Of all of them.
size_t ApplicationCells();

// For the worker: where its numbers go from now on. ApplicationCells() of them,
// or null.
void SetApplicationCells(std::atomic<uint64_t>* cells);

namespace internal {

inline std::atomic<uint64_t>* application_cells = nullptr;

class ApplicationMetric {
 public:
  ApplicationMetric(const ApplicationMetric&) = delete;
  ApplicationMetric& operator=(const ApplicationMetric&) = delete;

 protected:
  ApplicationMetric(const char* name, const char* help, MetricType type,
                    std::vector<double> bounds = {});

  // Null outside workers.
  std::atomic<uint64_t>* cells() const {
    return application_cells == nullptr ? nullptr
                                        : application_cells + first_cell_;
  }
  // A cell that holds a double.
  static void AddDouble(std::atomic<uint64_t>& cell, double value);

 private:
  size_t first_cell_;
};

}  // namespace internal

class MetricCounter : private internal::ApplicationMetric {
 public:
  MetricCounter(const char* name, const char* help)
      : ApplicationMetric(name, help, MetricType::kCounter) {}
  void Add(uint64_t n = 1) {
    if (std::atomic<uint64_t>* cell = cells()) {
      cell->fetch_add(n, std::memory_order_relaxed);
    }
  }
};

class MetricGauge : private internal::ApplicationMetric {
 public:
  MetricGauge(const char* name, const char* help)
      : ApplicationMetric(name, help, MetricType::kGauge) {}
  void Set(double value);
  void Add(double value) {
    if (std::atomic<uint64_t>* cell = cells()) AddDouble(*cell, value);
  }
};

class MetricHistogram : private internal::ApplicationMetric {
 public:
  // At least one bound and at most 32, finite, each more than the one before
  // (CHECKed).
  MetricHistogram(const char* name, const char* help,
                  std::initializer_list<double> bounds)
      : ApplicationMetric(name, help, MetricType::kHistogram, bounds),
        bounds_(bounds) {}
  // What is no finite number is ignored.
  void Observe(double value);

 private:
  const std::vector<double> bounds_;
};

}  // namespace baton

#endif  // BATON_WORKER_APPLICATION_METRICS_H_
