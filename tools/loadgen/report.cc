#include "tools/loadgen/report.h"

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace baton::loadgen {
namespace {

struct NamedQuantile {
  const char* name;  // in the text
  const char* key;   // in JSON
  double value;
};
constexpr NamedQuantile kQuantiles[] = {{"p50", "p50", 0.5},
                                        {"p90", "p90", 0.9},
                                        {"p99", "p99", 0.99},
                                        {"p99.9", "p99_9", 0.999}};

double Micros(int64_t nanos) { return static_cast<double>(nanos) / 1e3; }

double PerSecond(const Report& report, double amount) {
  const double seconds = absl::ToDoubleSeconds(report.elapsed);
  return seconds > 0 ? amount / seconds : 0;
}

double CpuMicrosPerExchange(const Report& report) {
  if (report.tally.exchanges == 0) return 0;
  return absl::ToDoubleMicroseconds(report.cpu) / report.tally.exchanges;
}

std::string QuantilesText(absl::string_view name, const Histogram& histogram) {
  std::string text = absl::StrFormat("%-12s", name);
  for (const NamedQuantile& quantile : kQuantiles) {
    absl::StrAppendFormat(&text, " %s %.1f", quantile.name,
                          Micros(histogram.ValueAt(quantile.value)));
  }
  absl::StrAppendFormat(&text, " max %.1f us\n", Micros(histogram.max()));
  return text;
}

nlohmann::json QuantilesJson(const Histogram& histogram) {
  nlohmann::json json;
  for (const NamedQuantile& quantile : kQuantiles) {
    json[quantile.key] = Micros(histogram.ValueAt(quantile.value));
  }
  json["max"] = Micros(histogram.max());
  json["mean"] = histogram.Mean() / 1e3;
  json["count"] = histogram.count();
  return json;
}

std::string ErrorsText(const Tally& tally) {
  if (tally.total_errors() == 0) return "errors       none\n";
  std::string text = absl::StrFormat("errors       %d\n", tally.total_errors());
  for (int i = 0; i < kErrorKinds; ++i) {
    const auto kind = static_cast<ErrorKind>(i);
    if (tally.errors(kind) == 0) continue;
    absl::StrAppendFormat(&text, "  %-16s %d (new %d, reused %d)\n",
                          std::string(ErrorKindName(kind)), tally.errors(kind),
                          tally.errors(kind, Age::kNew),
                          tally.errors(kind, Age::kReused));
  }
  absl::StrAppend(&text, "  the first: ", tally.first_error, "\n");
  return text;
}

nlohmann::json ErrorsJson(const Tally& tally) {
  nlohmann::json json;
  json["total"] = tally.total_errors();
  for (int i = 0; i < kErrorKinds; ++i) {
    const auto kind = static_cast<ErrorKind>(i);
    const std::string name(ErrorKindName(kind));
    json[name] = tally.errors(kind);
    json["new"][name] = tally.errors(kind, Age::kNew);
    json["reused"][name] = tally.errors(kind, Age::kReused);
  }
  json["first"] = tally.first_error;
  return json;
}

}  // namespace

std::string ReportText(const Report& report) {
  const Tally& tally = report.tally;
  std::string text = absl::StrFormat(
      "%s  %s, %d connections, %.3f s%s\n", report.target, report.mode,
      report.connections, absl::ToDoubleSeconds(report.elapsed),
      report.interrupted ? ", interrupted" : "");
  absl::StrAppendFormat(&text, "exchanges    %d, %.0f/s\n", tally.exchanges,
                        PerSecond(report, tally.exchanges));
  absl::StrAppendFormat(
      &text, "bytes        %d sent, %d received, %.2f MB/s\n", tally.bytes_sent,
      tally.bytes_received,
      PerSecond(report, tally.bytes_sent + tally.bytes_received) / 1e6);
  absl::StrAppendFormat(&text, "connections  %d opened", tally.connections);
  if (tally.told_to_close > 0) {
    absl::StrAppendFormat(&text, ", %d told to close", tally.told_to_close);
  }
  text += "\n";
  if (report.mode == "idle") {
    absl::StrAppendFormat(&text, "held         %d, still alive %d\n",
                          report.held, report.alive);
  }
  text += QuantilesText("latency", report.latency);
  text += QuantilesText("connect", report.connect);
  if (report.lag.count() > 0) text += QuantilesText("sent late by", report.lag);
  if (report.interrupted) {
    absl::StrAppendFormat(&text, "abandoned    %d\n", report.abandoned);
  }
  text += ErrorsText(tally);
  absl::StrAppendFormat(&text, "client CPU   %.2f s, %.3f us an exchange\n",
                        absl::ToDoubleSeconds(report.cpu),
                        CpuMicrosPerExchange(report));
  return text;
}

std::string ReportJson(const Report& report) {
  const Tally& tally = report.tally;
  nlohmann::json json;
  json["target"] = report.target;
  json["mode"] = report.mode;
  json["connections"] = report.connections;
  json["size"] = report.size;
  json["rate"] = report.rate;
  json["seconds"] = absl::ToDoubleSeconds(report.elapsed);
  json["interrupted"] = report.interrupted;
  json["abandoned"] = report.abandoned;
  json["exchanges"] = tally.exchanges;
  json["exchanges_per_second"] = PerSecond(report, tally.exchanges);
  json["bytes_sent"] = tally.bytes_sent;
  json["bytes_received"] = tally.bytes_received;
  json["connections_opened"] = tally.connections;
  json["told_to_close"] = tally.told_to_close;
  json["held"] = report.held;
  json["alive"] = report.alive;
  json["latency_us"] = QuantilesJson(report.latency);
  json["connect_us"] = QuantilesJson(report.connect);
  json["lag_us"] = QuantilesJson(report.lag);
  json["errors"] = ErrorsJson(tally);
  json["cpu_seconds"] = absl::ToDoubleSeconds(report.cpu);
  json["cpu_us_per_exchange"] = CpuMicrosPerExchange(report);
  // What a server sent may be quoted in it, and need not be UTF-8.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace baton::loadgen
