#include "master/status_json.h"

#include "nlohmann/json.hpp"

namespace baton {
namespace {

// In the order in which a person wants to read it.
using Json = nlohmann::ordered_json;

std::string Rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

Json ReloadJson(const std::optional<ServerStatus::Reload>& reload) {
  if (!reload.has_value()) return nullptr;
  return {{"outcome", ReloadOutcomeName(reload->result.outcome)},
          {"reason", reload->result.reason},
          {"at", Rfc3339(reload->at)},
          {"generation", reload->result.generation},
          {"upgrade", reload->result.upgrade}};
}

Json ListenersJson(const std::vector<ServerStatus::Listener>& listeners) {
  Json json = Json::array();
  for (const ServerStatus::Listener& listener : listeners) {
    json.push_back({{"url", listener.url}, {"address", listener.address}});
  }
  return json;
}

Json WorkerJson(const WorkerStatus& worker, const SlotStatus& slot) {
  const WorkerSnapshot& numbers = worker.numbers;
  Json json = {
      {"slot", worker.slot},
      {"pid", worker.pid},
      {"generation", worker.generation},
      {"state", WorkerStateName(worker.state)},
      {"connections", numbers.connections},
      {"accepted", numbers.accepted},
      {"requests", numbers.requests},
      {"bytes_in", numbers.bytes_in},
      {"bytes_out", numbers.bytes_out},
      {"handed_over", numbers.handed_over},
      {"received", numbers.received},
      {"reaped_idle", numbers.reaped_idle},
      {"restarts", slot.restarts},
      {"last_exit", slot.last_exit},
      {"rss_bytes", worker.rss_bytes},
      {"cpu_seconds", worker.cpu_seconds},
      {"job_threads", numbers.job_threads},
      {"jobs_queued", numbers.jobs_queued},
  };
  const Pinned& pinned = worker.pinned;
  if (!pinned.empty()) {
    Json& by = json["pinned_by"] = {{"connections", pinned.connections},
                                    {"handlers", pinned.handlers},
                                    {"jobs", pinned.jobs}};
    if (pinned.connections > 0) {
      by["oldest_age_seconds"] = absl::ToDoubleSeconds(worker.oldest_age);
      by["oldest_peer"] = pinned.peer;
      by["oldest_service"] = pinned.service;
    }
  }
  return json;
}

}  // namespace

std::string StatusJson(const ServerStatus& status) {
  Json json = {
      {"pid", status.pid},
      {"version", status.version},
      {"build", status.build},
      {"binary", status.binary},
      {"started_at", Rfc3339(status.started_at)},
      {"generation", status.generation},
      {"state", ServerStateName(status.state)},
      {"ready", status.ready},
      {"wanted_workers", status.wanted_workers},
      {"configured_workers", status.configured_workers},
      {"last_reload", ReloadJson(status.last_reload)},
  };
  json["listeners"] = ListenersJson(status.listeners);
  json["removed_listeners"] = ListenersJson(status.removed_listeners);
  Json& workers = json["workers"] = Json::array();
  for (const WorkerStatus& worker : status.workers) {
    workers.push_back(WorkerJson(worker, status.slots[worker.slot]));
  }
  // What is no UTF-8, in a path for instance, must not be an exception.
  return json.dump(2, ' ', /*ensure_ascii=*/false,
                   Json::error_handler_t::replace) +
         "\n";
}

const char* WorkerStateName(WorkerStatusState state) {
  switch (state) {
    case WorkerStatusState::kStarting:
      return "starting";
    case WorkerStatusState::kProbation:
      return "probation";
    case WorkerStatusState::kReady:
      return "ready";
    case WorkerStatusState::kDraining:
      return "draining";
    case WorkerStatusState::kStopped:
      return "stopped";
    case WorkerStatusState::kBackoff:
      return "backoff";
  }
  return "unknown";
}

}  // namespace baton
