#include "tools/batonctl/status_table.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

using Json = nlohmann::json;

constexpr double kDecimal = 1000;
constexpr double kBinary = 1024;

// Missing or of another type: what an older server does not have.
std::string Text(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}
double Number(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : 0;
}
std::string Count(const Json& object, const char* key) {
  return ShortNumber(Number(object, key), kDecimal);
}
std::string Bytes(const Json& object, const char* key) {
  return ShortNumber(Number(object, key), kBinary);
}

using Row = std::vector<std::string>;

Row RowOf(const Json& worker) {
  const double pid = Number(worker, "pid");
  std::string last_exit = Text(worker, "last_exit");
  return {absl::StrCat(Number(worker, "slot")),
          pid > 0 ? absl::StrCat(static_cast<int64_t>(pid)) : "-",
          absl::StrCat(Number(worker, "generation")),
          Text(worker, "state"),
          Count(worker, "connections"),
          Count(worker, "accepted"),
          Count(worker, "requests"),
          Bytes(worker, "bytes_in"),
          Bytes(worker, "bytes_out"),
          absl::StrFormat("%.1fs", Number(worker, "cpu_seconds")),
          Bytes(worker, "rss_bytes"),
          Count(worker, "restarts"),
          last_exit.empty() ? "-" : last_exit};
}

// Columns as wide as what is in them; numbers to the right.
std::string Align(const std::vector<Row>& rows, size_t text_columns_begin) {
  std::vector<size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  constexpr size_t kState = 3;
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const int width = static_cast<int>(widths[i]);
      if (i > 0) line += "  ";
      line += i == kState || i >= text_columns_begin
                  ? absl::StrFormat("%-*s", width, row[i])
                  : absl::StrFormat("%*s", width, row[i]);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

std::string Listeners(const Json& status, const char* key,
                      absl::string_view what) {
  std::string text;
  const auto listeners = status.find(key);
  if (listeners == status.end() || !listeners->is_array()) return text;
  for (const Json& listener : *listeners) {
    absl::StrAppend(&text, what, Text(listener, "url"), " at ",
                    Text(listener, "address"), "\n");
  }
  return text;
}

// Empty unless the number is another than the configuration's.
std::string Scaled(const Json& status) {
  const double configured = Number(status, "configured_workers");
  if (configured == 0 || configured == Number(status, "wanted_workers")) {
    return "";
  }
  return absl::StrCat(" (scaled; configured: ", configured, ")");
}

std::string Heading(const Json& status) {
  const auto& workers = status["workers"];
  const auto ready = std::count_if(
      workers.begin(), workers.end(),
      [](const Json& worker) { return Text(worker, "state") == "ready"; });
  std::string text = absl::StrCat(
      "baton ", Text(status, "version"), ", pid ",
      static_cast<int64_t>(Number(status, "pid")), ": ", Text(status, "state"),
      ", generation ", Number(status, "generation"), ", ", ready, " of ",
      Number(status, "wanted_workers"), " workers ready", Scaled(status),
      ", since ", Text(status, "started_at"), "\n");
  if (const std::string binary = Text(status, "binary"); !binary.empty()) {
    absl::StrAppend(&text, "binary:      ", binary, " (", Text(status, "build"),
                    ")\n");
  }
  const auto reload = status.find("last_reload");
  if (reload != status.end() && reload->is_object()) {
    const std::string reason = Text(*reload, "reason");
    absl::StrAppend(&text, "last reload: ", Text(*reload, "outcome"),
                    reason.empty() ? "" : absl::StrCat(" (", reason, ")"),
                    ", at ", Text(*reload, "at"), "\n");
  }
  return absl::StrCat(text, Listeners(status, "listeners", "listening:   "),
                      Listeners(status, "removed_listeners", "removed:     "));
}

}  // namespace

std::string ShortNumber(double number, double unit) {
  constexpr const char* kSuffixes[] = {"", "k", "M", "G", "T", "P"};
  size_t suffix = 0;
  while (number >= unit && suffix + 1 < std::size(kSuffixes)) {
    number /= unit;
    ++suffix;
  }
  if (suffix == 0 || number >= 10) {
    return absl::StrFormat("%.0f%s", number, kSuffixes[suffix]);
  }
  return absl::StrFormat("%.1f%s", number, kSuffixes[suffix]);
}

absl::StatusOr<std::string> StatusTable(absl::string_view json) {
  const Json status = Json::parse(json.begin(), json.end(), nullptr,
                                  /*allow_exceptions=*/false);
  if (!status.is_object() || !status.contains("workers") ||
      !status["workers"].is_array()) {
    return absl::InvalidArgumentError("the server's status can't be read");
  }
  std::vector<Row> rows = {{"SLOT", "PID", "GEN", "STATE", "CONNS", "ACCEPTED",
                            "REQUESTS", "IN", "OUT", "CPU", "RSS", "RESTARTS",
                            "LAST EXIT"}};
  for (const Json& worker : status["workers"]) rows.push_back(RowOf(worker));
  return absl::StrCat(Heading(status), "\n",
                      Align(rows, rows.front().size() - 1));
}

}  // namespace baton
