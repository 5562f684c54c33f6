#include "master/server_status.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "master/metrics_text.h"
#include "master/status_json.h"
#include "nlohmann/json.hpp"
#include "worker/application_metrics.h"

namespace baton {
namespace {

MetricCounter orders("test_orders_total", "Orders with a \\ in their help.");
MetricHistogram waits("test_wait_seconds", "Waits.", {0.1, 1});

// Series and values, and what is said of each family.
struct Metrics {
  std::map<std::string, double> samples;
  std::map<std::string, std::string> types;
};

Metrics Parse(const std::string& text) {
  Metrics metrics;
  std::set<std::string> helped;
  for (const std::string& line : std::vector<std::string>(
           absl::StrSplit(text, '\n', absl::SkipEmpty()))) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "#") {
      if (words[1] == "TYPE") metrics.types[words[2]] = words[3];
      if (words[1] == "HELP") {
        EXPECT_TRUE(helped.insert(words[2]).second) << line;
      }
      continue;
    }
    const size_t space = line.rfind(' ');
    double value = 0;
    EXPECT_TRUE(absl::SimpleAtod(line.substr(space + 1), &value)) << line;
    EXPECT_TRUE(metrics.samples.emplace(line.substr(0, space), value).second)
        << "twice: " << line;
  }
  return metrics;
}

WorkerStatus Worker(int slot, uint64_t requests) {
  WorkerStatus worker;
  worker.slot = slot;
  worker.pid = 100 + slot;
  worker.generation = 2;
  worker.state = WorkerStatusState::kReady;
  worker.numbers.requests = requests;
  worker.numbers.connections = 3;
  worker.rss_bytes = 4096;
  return worker;
}

ServerStatus TwoSlots() {
  ServerStatus status;
  status.pid = 42;
  status.version = "1.2.3";
  status.build = "opt, here";
  status.binary = "/x/baton";
  status.started_at = absl::FromUnixSeconds(1'700'000'000);
  status.state = ServerState::kRunning;
  status.generation = 2;
  status.wanted_workers = 2;
  status.configured_workers = 3;
  status.ready = status.serving = true;
  status.last_reload = {{ReloadResult::Outcome::kRolledBack, "it \"died\"", 3},
                        absl::FromUnixMillis(1'700'000'001'500)};
  status.reloads = {4, 1, 2};
  status.listeners = {{"http://[::]:0", "[::]:8080"}};
  status.removed_listeners = {{"echo://[::1]:7", "[::1]:7"}};
  status.slots.resize(2);
  status.slots[0].restarts = 5;
  status.slots[0].last_exit = "SIGSEGV";
  status.slots[0].ended.requests = 1000;
  status.slots[0].ended.connections = 77;  // of a worker that is gone
  status.workers = {Worker(0, 10), Worker(0, 1), Worker(1, 7)};
  status.crashes = {{"SIGSEGV", 5}};
  return status;
}

TEST(StatusJsonTest, HasWhatTheContractNames) {
  const auto json = nlohmann::json::parse(StatusJson(TwoSlots()));
  EXPECT_EQ(json["pid"], 42);
  EXPECT_EQ(json["version"], "1.2.3");
  EXPECT_EQ(json["generation"], 2);
  EXPECT_EQ(json["state"], "running");
  EXPECT_EQ(json["last_reload"]["outcome"], "rolled_back");
  EXPECT_EQ(json["last_reload"]["reason"], "it \"died\"");
  EXPECT_EQ(json["last_reload"]["at"], "2023-11-14T22:13:21.500Z");
  EXPECT_EQ(json["last_reload"]["generation"], 3);
  EXPECT_EQ(json["listeners"][0]["url"], "http://[::]:0");
  EXPECT_EQ(json["listeners"][0]["address"], "[::]:8080");
  EXPECT_EQ(json["removed_listeners"][0]["url"], "echo://[::1]:7");
  EXPECT_EQ(json["removed_listeners"][0]["address"], "[::1]:7");
  EXPECT_EQ(json["configured_workers"], 3);
  EXPECT_EQ(json["binary"], "/x/baton");
  EXPECT_EQ(json["build"], "opt, here");
  ASSERT_EQ(json["workers"].size(), 3u);
  const auto& worker = json["workers"][0];
  for (const char* key :
       {"slot", "pid", "generation", "state", "connections", "accepted",
        "requests", "bytes_in", "bytes_out", "handed_over", "received",
        "reaped_idle", "restarts", "last_exit", "rss_bytes", "cpu_seconds",
        "job_threads", "jobs_queued"}) {
    EXPECT_TRUE(worker.contains(key)) << key;
  }
  EXPECT_EQ(worker["state"], "ready");
  EXPECT_EQ(worker["requests"], 10);
  EXPECT_EQ(worker["last_exit"], "SIGSEGV");
  EXPECT_EQ(worker["restarts"], 5);
}

TEST(StatusJsonTest, IsJsonWhateverTheTextsAre) {
  ServerStatus status = TwoSlots();
  status.last_reload->result.reason = "\xff\xfe \x01 \"";
  status.listeners[0].url = "http+unix:///tmp/\xc3";
  const std::string text = StatusJson(status);
  EXPECT_TRUE(nlohmann::json::accept(text)) << text;
}

TEST(StatusJsonTest, BeforeAnyReloadThereIsNone) {
  ServerStatus status;
  EXPECT_TRUE(
      nlohmann::json::parse(StatusJson(status))["last_reload"].is_null());
}

TEST(MetricsTextTest, ASlotCountsWhatAllItsWorkersHaveCounted) {
  const Metrics metrics = Parse(MetricsText(TwoSlots()));
  EXPECT_EQ(metrics.samples.at("baton_requests_total{slot=\"0\"}"), 1011);
  EXPECT_EQ(metrics.samples.at("baton_requests_total{slot=\"1\"}"), 7);
  // Of those that live only.
  EXPECT_EQ(metrics.samples.at("baton_workers{state=\"ready\"}"), 3);
  EXPECT_EQ(metrics.samples.at("baton_worker_restarts_total{slot=\"0\"}"), 5);
  EXPECT_EQ(metrics.samples.at("baton_worker_crashes_total{cause=\"SIGSEGV\"}"),
            5);
  EXPECT_EQ(metrics.samples.at("baton_reloads_total{outcome=\"ok\"}"), 4);
  EXPECT_EQ(metrics.samples.at("baton_reloads_total{outcome=\"rolled_back\"}"),
            2);
  EXPECT_EQ(metrics.samples.at("baton_build_info{version=\"1.2.3\"}"), 1);
  EXPECT_EQ(metrics.samples.at("baton_workers_resident_memory_bytes"), 12288);
}

TEST(MetricsTextTest, WhatAClosedSlotHasCountedIsNotForgotten) {
  ServerStatus status = TwoSlots();
  status.slots.resize(3);
  status.slots[2].restarts = 2;
  status.slots[2].ended.requests = 50;
  status.slots[2].ended.log_lines_dropped = 9;
  const Metrics metrics = Parse(MetricsText(status));
  EXPECT_EQ(metrics.samples.at("baton_requests_total{slot=\"2\"}"), 50);
  EXPECT_EQ(metrics.samples.at("baton_worker_restarts_total{slot=\"2\"}"), 2);
  EXPECT_EQ(metrics.samples.at("baton_log_lines_dropped_total"), 9);
}

TEST(MetricsTextTest, NamesSayWhatTheyAre) {
  const Metrics metrics = Parse(MetricsText(TwoSlots()));
  for (const auto& [name, type] : metrics.types) {
    EXPECT_EQ(type == "counter", absl::EndsWith(name, "_total")) << name;
  }
  for (const auto& [series, value] : metrics.samples) {
    std::string name = series.substr(0, series.find('{'));
    for (const char* suffix : {"_bucket", "_sum", "_count"}) {
      if (absl::EndsWith(name, suffix)) {
        name = name.substr(0, name.size() - std::string(suffix).size());
        break;
      }
    }
    EXPECT_TRUE(metrics.types.contains(name)) << series;
  }
}

TEST(MetricsTextTest, AHistogramIsCumulative) {
  ServerStatus status = TwoSlots();
  NanosCells& nanos = status.workers[2].numbers.http_request_nanos;
  nanos[0] = 5;                 // at most 1.024 us
  nanos[1] = 2;                 // at most 2.048 us
  nanos[nanos.size() - 2] = 1;  // longer than all bounds
  nanos.back() = std::bit_cast<uint64_t>(2.5e9);
  const Metrics metrics = Parse(MetricsText(status));
  const std::string name = "baton_http_request_duration_seconds";
  EXPECT_EQ(metrics.types.at(name), "histogram");
  EXPECT_EQ(metrics.samples.at(name + "_bucket{slot=\"1\",le=\"1.024e-06\"}"),
            5);
  EXPECT_EQ(metrics.samples.at(name + "_bucket{slot=\"1\",le=\"2.048e-06\"}"),
            7);
  EXPECT_EQ(metrics.samples.at(name + "_bucket{slot=\"1\",le=\"+Inf\"}"), 8);
  EXPECT_EQ(metrics.samples.at(name + "_count{slot=\"1\"}"), 8);
  EXPECT_DOUBLE_EQ(metrics.samples.at(name + "_sum{slot=\"1\"}"), 2.5);
  EXPECT_EQ(metrics.samples.at(name + "_count{slot=\"0\"}"), 0);
}

TEST(MetricsTextTest, TheApplicationsOwnAreSummedOverAllWorkers) {
  ServerStatus status = TwoSlots();
  const size_t first = ApplicationMetrics()[0].first_cell;
  const size_t wait = ApplicationMetrics()[1].first_cell;
  for (WorkerStatus& worker : status.workers) {
    worker.numbers.application.resize(ApplicationCells());
    worker.numbers.application[first] = 2;
    worker.numbers.application[wait + 1] = 1;
    worker.numbers.application[wait + 3] = std::bit_cast<uint64_t>(0.5);
  }
  const std::string text = MetricsText(status);
  const Metrics metrics = Parse(text);
  EXPECT_EQ(metrics.samples.at("test_orders_total"), 6);
  EXPECT_TRUE(absl::StrContains(text, "with a \\\\ in"));
  EXPECT_EQ(metrics.samples.at("test_wait_seconds_bucket{le=\"0.1\"}"), 0);
  EXPECT_EQ(metrics.samples.at("test_wait_seconds_bucket{le=\"1\"}"), 3);
  EXPECT_DOUBLE_EQ(metrics.samples.at("test_wait_seconds_sum"), 1.5);
}

}  // namespace
}  // namespace baton
