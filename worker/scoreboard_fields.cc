#include "worker/scoreboard_fields.h"

#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "worker/application_metrics.h"

namespace baton::scoreboard_internal {
namespace {

// A member of WorkerNumbers, and where the worker counts it.
#define BATON_FIELD(member, place, kind)                                 \
  KnownField {                                                           \
    #member, kCountersOffset + offsetof(WorkerCounters, place), 1, kind, \
        offsetof(WorkerNumbers, member) / sizeof(uint64_t)               \
  }

// The buckets of one, and its sum.
#define BATON_HISTOGRAM(member, place)                                      \
  KnownField{#member, kCountersOffset + offsetof(WorkerCounters, place),    \
             kBucketsOf<decltype(WorkerNumbers::member)>, Kind::kCounter,   \
             offsetof(WorkerNumbers, member) / sizeof(uint64_t)},           \
      KnownField {                                                          \
    #member ".sum",                                                         \
        kCountersOffset + offsetof(WorkerCounters, place) +                 \
            kBucketsOf<decltype(WorkerNumbers::member)> * sizeof(uint64_t), \
        1, Kind::kReal,                                                     \
        offsetof(WorkerNumbers, member) / sizeof(uint64_t) +                \
            kBucketsOf<decltype(WorkerNumbers::member)>                     \
  }

template <typename Cells>
constexpr uint32_t kBucketsOf = std::tuple_size_v<Cells> - 1;

std::vector<KnownField> OwnFields() {
  constexpr Kind kCounter = Kind::kCounter;
  constexpr Kind kLevel = Kind::kLevel;
  return {
      BATON_FIELD(connections, traffic.open, kLevel),
      BATON_FIELD(accepted, traffic.accepted, kCounter),
      BATON_FIELD(closed, traffic.closed, kCounter),
      BATON_FIELD(requests, traffic.requests, kCounter),
      BATON_FIELD(bytes_in, traffic.bytes_in, kCounter),
      BATON_FIELD(bytes_out, traffic.bytes_out, kCounter),
      BATON_FIELD(datagrams_in, traffic.datagrams_in, kCounter),
      BATON_FIELD(datagrams_out, traffic.datagrams_out, kCounter),
      BATON_FIELD(datagrams_dropped, traffic.datagrams_dropped, kCounter),
      BATON_FIELD(handed_over, traffic.handed_over, kCounter),
      BATON_FIELD(received, traffic.received, kCounter),
      BATON_FIELD(handover_refused, traffic.handover_refused, kCounter),
      BATON_FIELD(handover_later, traffic.handover_later, kCounter),
      BATON_FIELD(reaped_idle, traffic.reaped_idle, kCounter),
      BATON_FIELD(read_timeouts, traffic.read_timeouts, kCounter),
      BATON_FIELD(write_timeouts, traffic.write_timeouts, kCounter),
      BATON_FIELD(buffers_refused, traffic.buffers_refused, kCounter),
      BATON_FIELD(refused_per_ip, traffic.refused_per_ip, kCounter),
      BATON_FIELD(accept_pauses, traffic.accept_pauses, kCounter),
      BATON_FIELD(accept_errors, traffic.accept_errors, kCounter),
      BATON_FIELD(outbound, traffic.outbound, kCounter),
      BATON_FIELD(outbound_open, traffic.outbound_open, kLevel),
      BATON_FIELD(stale_events, stale_events, kCounter),
      BATON_FIELD(http_responses_2xx, http.responses_2xx, kCounter),
      BATON_FIELD(http_responses_3xx, http.responses_3xx, kCounter),
      BATON_FIELD(http_responses_4xx, http.responses_4xx, kCounter),
      BATON_FIELD(http_responses_5xx, http.responses_5xx, kCounter),
      BATON_FIELD(http_rejected, http.rejected, kCounter),
      BATON_FIELD(http_timeouts, http.timeouts, kCounter),
      BATON_FIELD(http_handler_failures, http.handler_failures, kCounter),
      BATON_HISTOGRAM(http_request_nanos, http.request_nanos),
      BATON_HISTOGRAM(http_response_bytes, http.response_bytes),
      BATON_FIELD(access_log_lines, http.access_log_lines, kCounter),
      BATON_FIELD(access_log_dropped, http.access_log_dropped, kCounter),
      BATON_FIELD(job_threads, jobs.threads, kLevel),
      BATON_FIELD(jobs_queued, jobs.queued, kLevel),
      BATON_FIELD(jobs_run, jobs.run, kCounter),
      BATON_FIELD(jobs_refused, jobs.refused, kCounter),
      BATON_FIELD(log_lines_dropped, log_lines_dropped, kCounter),
      BATON_HISTOGRAM(turn_nanos, turn_nanos),
      BATON_FIELD(state, state, kLevel),
      BATON_FIELD(turns, heartbeat.turns, kLevel),
      BATON_FIELD(waiting, heartbeat.waiting, kLevel),
  };
}

#undef BATON_FIELD
#undef BATON_HISTOGRAM

// The sum of a histogram is a field of its own.
std::vector<KnownField> FieldsOf(const MetricDefinition& metric) {
  const std::string name = absl::StrCat("app ", metric.name);
  const auto field = [&](size_t first, size_t cells, Kind kind,
                         absl::string_view suffix) {
    const size_t cell = metric.first_cell + first;
    return KnownField{absl::StrCat(name, suffix),
                      kApplicationOffset + cell * sizeof(uint64_t),
                      static_cast<uint32_t>(cells), kind, kOwnCells + cell};
  };
  switch (metric.type) {
    case MetricType::kCounter:
      return {field(0, 1, Kind::kCounter, "")};
    case MetricType::kGauge:
      return {field(0, 1, Kind::kReal, "")};
    case MetricType::kHistogram:
      return {field(0, metric.cells - 1, Kind::kCounter, ""),
              field(metric.cells - 1, 1, Kind::kReal, kSumSuffix)};
  }
  LOG(FATAL) << "metric type " << static_cast<int>(metric.type);
  return {};
}

}  // namespace

const std::vector<KnownField>& KnownFields() {
  static const auto& fields = *new std::vector<KnownField>([] {
    std::vector<KnownField> all = OwnFields();
    for (const MetricDefinition& metric : ApplicationMetrics()) {
      for (KnownField& field : FieldsOf(metric)) {
        all.push_back(std::move(field));
      }
    }
    return all;
  }());
  return fields;
}

bool IsCount(Kind kind, absl::string_view name) {
  return kind == Kind::kCounter || absl::EndsWith(name, kSumSuffix);
}

}  // namespace baton::scoreboard_internal
