#include "worker/application_metrics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"

namespace baton {
namespace {

constexpr size_t kMaxNameBytes = 40;
constexpr size_t kMaxMetrics = 64;
constexpr size_t kMaxBounds = 32;

// Of static initialisation: filled before main by whatever is defined where.
std::vector<MetricDefinition>& Definitions() {
  static auto& definitions = *new std::vector<MetricDefinition>;
  return definitions;
}

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         absl::ascii_islower(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return absl::ascii_islower(byte) || absl::ascii_isdigit(byte) ||
                  c == '_';
         });
}

}  // namespace

const std::vector<MetricDefinition>& ApplicationMetrics() {
  return Definitions();
}

size_t ApplicationCells() {
  const std::vector<MetricDefinition>& all = Definitions();
  return all.empty() ? 0 : all.back().first_cell + all.back().cells;
}

void SetApplicationCells(std::atomic<uint64_t>* cells) {
  internal::application_cells = cells;
}

namespace internal {

ApplicationMetric::ApplicationMetric(const char* name, const char* help,
                                     MetricType type,
                                     std::vector<double> bounds)
    : first_cell_(ApplicationCells()) {
  CHECK(IsName(name) && !absl::StartsWith(name, "baton_"))
      << "no name for a metric: " << name;
  CHECK((type == MetricType::kCounter) == absl::EndsWith(name, "_total"))
      << "a counter's name ends with _total, and no other's: " << name;
  CHECK(!absl::StrContains(help, '\n')) << name;
  std::vector<MetricDefinition>& all = Definitions();
  CHECK_LT(all.size(), kMaxMetrics) << name;
  for (const MetricDefinition& other : all) {
    CHECK(absl::string_view(other.name) != name)
        << "a metric is defined twice: " << name;
  }
  size_t cells = 1;
  if (type == MetricType::kHistogram) {
    CHECK(!bounds.empty() && bounds.size() <= kMaxBounds &&
          std::adjacent_find(bounds.begin(), bounds.end(),
                             std::greater_equal<double>()) == bounds.end() &&
          std::all_of(bounds.begin(), bounds.end(),
                      [](double bound) { return std::isfinite(bound); }))
        << "the bounds of " << name;
    cells = bounds.size() + 2;
  }
  all.push_back({name, help, type, std::move(bounds), first_cell_, cells});
}

void ApplicationMetric::AddDouble(std::atomic<uint64_t>& cell, double value) {
  uint64_t before = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(
      before, std::bit_cast<uint64_t>(std::bit_cast<double>(before) + value),
      std::memory_order_relaxed)) {
  }
}

}  // namespace internal

void MetricGauge::Set(double value) {
  if (std::atomic<uint64_t>* cell = cells()) {
    cell->store(std::bit_cast<uint64_t>(value), std::memory_order_relaxed);
  }
}

void MetricHistogram::Observe(double value) {
  std::atomic<uint64_t>* const all = cells();
  if (all == nullptr || !std::isfinite(value)) return;
  const auto bucket = static_cast<size_t>(
      std::lower_bound(bounds_.begin(), bounds_.end(), value) -
      bounds_.begin());
  all[bucket].fetch_add(1, std::memory_order_relaxed);
  AddDouble(all[bounds_.size() + 1], value);
}

}  // namespace baton
