#include "master/metrics_text.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/application_metrics.h"

namespace baton {
namespace {

using Member = uint64_t WorkerNumbers::*;

// One series a slot, or several that a label tells apart.
struct SlotMetric {
  const char* name;
  const char* help;
  const char* type;
  const char* label;  // of `series`; null = there is one series without
  struct Series {
    const char* value = "";
    Member member = nullptr;
  };
  std::array<Series, 4> series;  // those without a member are none
};

constexpr char kCounter[] = "counter";
constexpr char kGauge[] = "gauge";

using N = WorkerNumbers;

const SlotMetric kSlotMetrics[] = {
    {"baton_connections",
     "Client connections that are open.",
     kGauge,
     nullptr,
     {{{"", &N::connections}}}},
    {"baton_connections_accepted_total",
     "Client connections accepted.",
     kCounter,
     nullptr,
     {{{"", &N::accepted}}}},
    {"baton_connections_closed_total",
     "Client connections that have ended.",
     kCounter,
     nullptr,
     {{{"", &N::closed}}}},
    {"baton_connections_timed_out_total",
     "Client connections or reads that ended by a time-out.",
     kCounter,
     "timeout",
     {{{"idle", &N::reaped_idle},
       {"read", &N::read_timeouts},
       {"write", &N::write_timeouts}}}},
    {"baton_connections_handed_over_total",
     "Client connections passed on to another worker.",
     kCounter,
     nullptr,
     {{{"", &N::handed_over}}}},
    {"baton_connections_received_total",
     "Client connections taken over from another worker.",
     kCounter,
     nullptr,
     {{{"", &N::received}}}},
    {"baton_handover_refusals_total",
     "Client connections not taken by the worker they were offered to.",
     kCounter,
     "reason",
     {{{"not_served", &N::handover_refused}, {"later", &N::handover_later}}}},
    {"baton_outbound_connections",
     "Connections to others that are open.",
     kGauge,
     nullptr,
     {{{"", &N::outbound_open}}}},
    {"baton_outbound_connections_total",
     "Connections begun to others.",
     kCounter,
     nullptr,
     {{{"", &N::outbound}}}},
    {"baton_requests_total",
     "Requests answered, of all services.",
     kCounter,
     nullptr,
     {{{"", &N::requests}}}},
    {"baton_received_bytes_total",
     "Bytes read from clients.",
     kCounter,
     nullptr,
     {{{"", &N::bytes_in}}}},
    {"baton_sent_bytes_total",
     "Bytes sent to clients.",
     kCounter,
     nullptr,
     {{{"", &N::bytes_out}}}},
    {"baton_datagrams_total",
     "Datagrams, by what became of them.",
     kCounter,
     "outcome",
     {{{"received", &N::datagrams_in},
       {"sent", &N::datagrams_out},
       {"dropped", &N::datagrams_dropped}}}},
    {"baton_limit_hits_total",
     "What was refused or put off because a limit was reached.",
     kCounter,
     "limit",
     {{{"max_connections_per_ip", &N::refused_per_ip},
       {"buffer_memory", &N::buffers_refused},
       {"job_queue", &N::jobs_refused}}}},
    {"baton_accept_pauses_total",
     "Times that accepting stopped for a while: a limit, or no descriptors.",
     kCounter,
     nullptr,
     {{{"", &N::accept_pauses}}}},
    {"baton_accept_errors_total",
     "Connections that failed in accept.",
     kCounter,
     nullptr,
     {{{"", &N::accept_errors}}}},
    {"baton_http_responses_total",
     "HTTP responses, by class.",
     kCounter,
     "class",
     {{{"2xx", &N::http_responses_2xx},
       {"3xx", &N::http_responses_3xx},
       {"4xx", &N::http_responses_4xx},
       {"5xx", &N::http_responses_5xx}}}},
    {"baton_http_requests_rejected_total",
     "HTTP requests against the protocol or a limit of it.",
     kCounter,
     nullptr,
     {{{"", &N::http_rejected}}}},
    {"baton_http_requests_timed_out_total",
     "HTTP requests that did not come in time.",
     kCounter,
     nullptr,
     {{{"", &N::http_timeouts}}}},
    {"baton_http_handler_failures_total",
     "HTTP handlers that failed or took too long.",
     kCounter,
     nullptr,
     {{{"", &N::http_handler_failures}}}},
    {"baton_access_log_lines_total",
     "Lines of access logs, by what became of them.",
     kCounter,
     "outcome",
     {{{"written", &N::access_log_lines},
       {"dropped", &N::access_log_dropped}}}},
    {"baton_job_threads",
     "Threads of the job pool.",
     kGauge,
     nullptr,
     {{{"", &N::job_threads}}}},
    {"baton_jobs_queued",
     "Jobs that wait for a thread.",
     kGauge,
     nullptr,
     {{{"", &N::jobs_queued}}}},
    {"baton_jobs_total",
     "Jobs that have run.",
     kCounter,
     nullptr,
     {{{"", &N::jobs_run}}}},
    {"baton_stale_events_total",
     "Events of descriptors that were gone already.",
     kCounter,
     nullptr,
     {{{"", &N::stale_events}}}},
};

struct SlotHistogram {
  const char* name;
  const char* help;
  double unit;                // of a value, in the metric's own
  uint64_t (*bound)(size_t);  // of a bucket, as a value
  size_t first;               // byte offset in WorkerNumbers
  size_t cells;
};

constexpr double kNano = 1e-9;

const SlotHistogram kSlotHistograms[] = {
    {"baton_http_request_duration_seconds",
     "From a request's head to its response's.", kNano, NanosHistogram::Bound,
     offsetof(WorkerNumbers, http_request_nanos), NanosHistogram::kCells},
    {"baton_http_response_size_bytes", "Bodies of responses.", 1,
     BytesHistogram::Bound, offsetof(WorkerNumbers, http_response_bytes),
     BytesHistogram::kCells},
    {"baton_loop_turn_duration_seconds",
     "Turns of the event loop: how long an event may wait for others.", kNano,
     NanosHistogram::Bound, offsetof(WorkerNumbers, turn_nanos),
     NanosHistogram::kCells},
};

using Label = std::pair<absl::string_view, absl::string_view>;

class Writer {
 public:
  void Family(absl::string_view name, absl::string_view help,
              absl::string_view type) {
    absl::StrAppend(&text_, "# HELP ", name, " ",
                    absl::StrReplaceAll(help, {{"\\", "\\\\"}}), "\n# TYPE ",
                    name, " ", type, "\n");
  }
  void Sample(absl::string_view name, absl::Span<const Label> labels,
              double value) {
    absl::StrAppend(&text_, name);
    char separator = '{';
    for (const auto& [key, label] : labels) {
      if (key.empty()) continue;
      absl::StrAppend(
          &text_, absl::string_view(&separator, 1), key, "=\"",
          absl::StrReplaceAll(label,
                              {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}),
          "\"");
      separator = ',';
    }
    if (separator == ',') text_.push_back('}');
    text_.push_back(' ');
    Number(value);
    text_.push_back('\n');
  }
  // `buckets` count what lies between two bounds; the last has none.
  void Histogram(absl::string_view name, absl::Span<const Label> labels,
                 absl::Span<const uint64_t> buckets,
                 absl::Span<const double> bounds, double sum) {
    std::vector<Label> with_bound(labels.begin(), labels.end());
    with_bound.emplace_back("le", "");
    uint64_t count = 0;
    for (size_t i = 0; i < buckets.size(); ++i) {
      count += buckets[i];
      const std::string bound =
          i < bounds.size() ? NumberText(bounds[i]) : "+Inf";
      with_bound.back().second = bound;
      Sample(absl::StrCat(name, "_bucket"), with_bound,
             static_cast<double>(count));
    }
    Sample(absl::StrCat(name, "_sum"), labels, sum);
    Sample(absl::StrCat(name, "_count"), labels, static_cast<double>(count));
  }

  std::string Take() { return std::move(text_); }

 private:
  static std::string NumberText(double value) {
    std::array<char, 32> digits;
    const auto end =
        std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return std::string(digits.data(), end);
  }
  void Number(double value) { text_.append(NumberText(value)); }

  std::string text_;
};

// What a slot's workers have counted together, and how things stand with those
// that live.
std::vector<WorkerSnapshot> SumsBySlot(const ServerStatus& status) {
  std::vector<WorkerSnapshot> sums;
  sums.reserve(status.slots.size());
  for (const SlotStatus& slot : status.slots) sums.push_back(slot.ended);
  for (const WorkerStatus& worker : status.workers) {
    sums[worker.slot].AddLive(worker.numbers);
  }
  return sums;
}

void WriteSlots(absl::Span<const WorkerSnapshot> slots, Writer& out) {
  for (const SlotMetric& metric : kSlotMetrics) {
    out.Family(metric.name, metric.help, metric.type);
    for (size_t slot = 0; slot < slots.size(); ++slot) {
      const std::string number = absl::StrCat(slot);
      for (const SlotMetric::Series& series : metric.series) {
        if (series.member == nullptr) continue;
        const Label labels[] = {
            {"slot", number},
            {metric.label == nullptr ? "" : metric.label, series.value}};
        out.Sample(metric.name, labels,
                   static_cast<double>(slots[slot].*series.member));
      }
    }
  }
}

void WriteHistograms(absl::Span<const WorkerSnapshot> slots, Writer& out) {
  for (const SlotHistogram& histogram : kSlotHistograms) {
    out.Family(histogram.name, histogram.help, "histogram");
    std::vector<double> bounds;
    for (size_t i = 0; i + 2 < histogram.cells; ++i) {
      bounds.push_back(static_cast<double>(histogram.bound(i)) *
                       histogram.unit);
    }
    for (size_t slot = 0; slot < slots.size(); ++slot) {
      const std::string number = absl::StrCat(slot);
      const std::vector<uint64_t> all = slots[slot].Cells();
      const absl::Span<const uint64_t> cells = absl::MakeConstSpan(all).subspan(
          histogram.first / sizeof(uint64_t), histogram.cells);
      const Label labels[] = {{"slot", number}};
      out.Histogram(histogram.name, labels, cells.first(cells.size() - 1),
                    bounds,
                    std::bit_cast<double>(cells.back()) * histogram.unit);
    }
  }
}

// Of all slots together.
void WriteApplication(absl::Span<const WorkerSnapshot> slots, Writer& out) {
  WorkerSnapshot sum;
  for (const WorkerSnapshot& slot : slots) sum.AddLive(slot);
  if (sum.application.empty()) return;
  for (const MetricDefinition& metric : ApplicationMetrics()) {
    const absl::Span<const uint64_t> cells =
        absl::MakeConstSpan(sum.application)
            .subspan(metric.first_cell, metric.cells);
    switch (metric.type) {
      case MetricType::kCounter:
        out.Family(metric.name, metric.help, kCounter);
        out.Sample(metric.name, {}, static_cast<double>(cells[0]));
        break;
      case MetricType::kGauge:
        out.Family(metric.name, metric.help, kGauge);
        out.Sample(metric.name, {}, std::bit_cast<double>(cells[0]));
        break;
      case MetricType::kHistogram:
        out.Family(metric.name, metric.help, "histogram");
        out.Histogram(metric.name, {}, cells.first(cells.size() - 1),
                      metric.bounds, std::bit_cast<double>(cells.back()));
        break;
    }
  }
}

void WriteServer(const ServerStatus& status, Writer& out) {
  const auto single = [&out](const char* name, const char* help,
                             const char* type, double value) {
    out.Family(name, help, type);
    out.Sample(name, {}, value);
  };
  out.Family("baton_build_info", "The version that runs.", kGauge);
  const Label version[] = {{"version", status.version}};
  out.Sample("baton_build_info", version, 1);
  single("baton_start_time_seconds", "When the server was started.", kGauge,
         absl::ToDoubleSeconds(status.started_at - absl::UnixEpoch()));
  single("baton_generation", "The configuration that serves.", kGauge,
         static_cast<double>(status.generation));
  single("baton_ready", "Whether every slot is served and this is no stop.",
         kGauge, status.ready ? 1 : 0);
  single("baton_workers_wanted", "Workers that ought to serve.", kGauge,
         status.wanted_workers);
  single("baton_adoptions_total",
         "Times that a worker was told to accept from another slot's sockets.",
         kCounter, static_cast<double>(status.adoptions));

  single("baton_drain_cuts_total",
         "Requests in progress that were cut with a worker that had left.",
         kCounter, static_cast<double>(status.cut_while_leaving));

  single("baton_handovers_broken_total",
         "Handovers of which a receiver was lost, and that were told again.",
         kCounter, static_cast<double>(status.handovers_broken));

  out.Family("baton_reloads_total", "Reloads, by outcome.", kCounter);
  for (int i = 0; i < ServerStatus::kReloadOutcomes; ++i) {
    const Label outcome[] = {
        {"outcome", ReloadOutcomeName(static_cast<ReloadResult::Outcome>(i))}};
    out.Sample("baton_reloads_total", outcome,
               static_cast<double>(status.reloads[i]));
  }
  if (!status.crashes.empty()) {
    out.Family("baton_worker_crashes_total",
               "Workers that ended by no will of the server's, by cause.",
               kCounter);
    for (const auto& [cause, count] : status.crashes) {
      const Label label[] = {{"cause", cause}};
      out.Sample("baton_worker_crashes_total", label,
                 static_cast<double>(count));
    }
  }
}

void WriteWorkers(const ServerStatus& status,
                  absl::Span<const WorkerSnapshot> slots, Writer& out) {
  out.Family("baton_worker_restarts_total",
             "Workers started in place of one that had died.", kCounter);
  for (size_t slot = 0; slot < status.slots.size(); ++slot) {
    const std::string number = absl::StrCat(slot);
    const Label label[] = {{"slot", number}};
    out.Sample("baton_worker_restarts_total", label,
               static_cast<double>(status.slots[slot].restarts));
  }
  constexpr std::array kStates = {
      WorkerStatusState::kStarting, WorkerStatusState::kProbation,
      WorkerStatusState::kReady,    WorkerStatusState::kDraining,
      WorkerStatusState::kStopped,  WorkerStatusState::kBackoff};
  out.Family("baton_workers", "Workers, by state.", kGauge);
  for (const WorkerStatusState state : kStates) {
    const Label label[] = {{"state", WorkerStateName(state)}};
    out.Sample("baton_workers", label,
               static_cast<double>(
                   std::count_if(status.workers.begin(), status.workers.end(),
                                 [state](const WorkerStatus& worker) {
                                   return worker.state == state;
                                 })));
  }
  double rss = 0;
  for (const WorkerStatus& worker : status.workers) {
    rss += static_cast<double>(worker.rss_bytes);
  }
  out.Family("baton_workers_resident_memory_bytes",
             "Resident memory of all workers.", kGauge);
  out.Sample("baton_workers_resident_memory_bytes", {}, rss);
  uint64_t dropped = status.log_lines_dropped;
  for (const WorkerSnapshot& slot : slots) dropped += slot.log_lines_dropped;
  out.Family("baton_log_lines_dropped_total",
             "Lines that the log did not take.", kCounter);
  out.Sample("baton_log_lines_dropped_total", {}, static_cast<double>(dropped));
}

}  // namespace

std::string MetricsText(const ServerStatus& status) {
  Writer out;
  const std::vector<WorkerSnapshot> slots = SumsBySlot(status);
  WriteServer(status, out);
  WriteWorkers(status, slots, out);
  WriteSlots(slots, out);
  WriteHistograms(slots, out);
  WriteApplication(slots, out);
  return out.Take();
}

}  // namespace baton
