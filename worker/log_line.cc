#include "worker/log_line.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "worker/utf8.h"

namespace baton {
namespace {

constexpr absl::string_view kEllipsis = "...";
// Of role and file name; both are ours and short.
constexpr size_t kMaxNameBytes = 64;

// Each returns how a stretch of `text` that DecodeUtf8() looked at is written.
std::string JsonUnit(absl::string_view raw, CodePoint c) {
  if (c.bytes == 0) return "\\ufffd";
  switch (c.value) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return IsUnsafeInLog(c.value) ? absl::StrFormat("\\u%04x", c.value)
                                    : std::string(raw);
  }
}

std::string TextUnit(absl::string_view raw, CodePoint c) {
  if (c.bytes != 0 && !IsUnsafeInLog(c.value)) return std::string(raw);
  if (raw == "\n") return "\\n";
  if (raw == "\r") return "\\r";
  if (raw == "\t") return "\\t";
  std::string escaped;
  for (const char byte : raw) {
    absl::StrAppendFormat(&escaped, "\\x%02x",
                          static_cast<unsigned char>(byte));
  }
  return escaped;
}

template <typename Unit>
bool AppendEscaped(absl::string_view text, size_t max_bytes, Unit unit,
                   std::string* out) {
  const size_t start = out->size();
  size_t cut = start;  // the longest part that leaves room for the ellipsis
  while (!text.empty()) {
    const CodePoint c = DecodeUtf8(text);
    const size_t taken = std::max<size_t>(c.bytes, 1);
    const std::string written = unit(text.substr(0, taken), c);
    if (out->size() - start + written.size() > max_bytes) {
      out->resize(cut);
      if (max_bytes >= kEllipsis.size()) absl::StrAppend(out, kEllipsis);
      return false;
    }
    absl::StrAppend(out, written);
    if (out->size() - start + kEllipsis.size() <= max_bytes) cut = out->size();
    text.remove_prefix(taken);
  }
  return true;
}

absl::string_view LevelName(int severity) {
  constexpr std::array<absl::string_view, 4> kNames = {"info", "warning",
                                                       "error", "fatal"};
  return kNames[std::clamp<int>(severity, 0, kNames.size() - 1)];
}

std::string TextLine(const LogRecord& record, size_t max_bytes) {
  std::string line = absl::StrFormat(
      "%c%04d%02d%02d %02d:%02d:%02d.%06d %d ",
      "IWEF"[std::clamp(record.severity, 0, 3)], record.clock.tm_year + 1900,
      record.clock.tm_mon + 1, record.clock.tm_mday, record.clock.tm_hour,
      record.clock.tm_min, record.clock.tm_sec, record.microseconds,
      record.pid);
  AppendTextEscaped(record.file, kMaxNameBytes, &line);
  absl::StrAppend(&line, ":", record.line, "] ");
  if (!record.role.empty()) {
    AppendTextEscaped(record.role, kMaxNameBytes, &line);
    absl::StrAppend(&line, ": ");
  }
  AppendTextEscaped(record.message, max_bytes - line.size() - 1, &line);
  line.push_back('\n');
  return line;
}

std::string JsonLine(const LogRecord& record, size_t max_bytes) {
  const absl::Time time = absl::FromUnixSeconds(record.unix_seconds) +
                          absl::Microseconds(record.microseconds);
  std::string line = absl::StrCat(
      R"({"time":")",
      absl::FormatTime("%E4Y-%m-%dT%H:%M:%E6SZ", time, absl::UTCTimeZone()),
      R"(","level":")", LevelName(record.severity), R"(","pid":)", record.pid,
      R"(,"role":")");
  AppendJsonEscaped(record.role, kMaxNameBytes, &line);
  absl::StrAppend(&line, R"(","file":")");
  AppendJsonEscaped(record.file, kMaxNameBytes, &line);
  absl::StrAppend(&line, R"(","line":)", record.line);
  if (!record.event.empty()) {
    absl::StrAppend(&line, R"(,"event":")");
    AppendJsonEscaped(record.event, kMaxNameBytes, &line);
    // A third of the line at least is left for the message.
    if (line.size() + record.fields.size() < max_bytes / 3 * 2) {
      absl::StrAppend(&line, R"(","fields":{)", record.fields, "}");
    } else {
      absl::StrAppend(&line, R"(","fields_cut":true)");
    }
  }
  constexpr absl::string_view kEnd = "\"}\n";
  absl::StrAppend(&line, R"(,"message":")");
  AppendJsonEscaped(record.message, max_bytes - line.size() - kEnd.size(),
                    &line);
  absl::StrAppend(&line, kEnd);
  return line;
}

}  // namespace

bool AppendJsonEscaped(absl::string_view text, size_t max_bytes,
                       std::string* out) {
  return AppendEscaped(text, max_bytes, JsonUnit, out);
}

bool AppendTextEscaped(absl::string_view text, size_t max_bytes,
                       std::string* out) {
  return AppendEscaped(text, max_bytes, TextUnit, out);
}

std::string FormatLogLine(LogFormat format, const LogRecord& record,
                          size_t max_bytes) {
  CHECK_GE(max_bytes, kMinLogLineBytes);
  return format == LogFormat::kJson ? JsonLine(record, max_bytes)
                                    : TextLine(record, max_bytes);
}

}  // namespace baton
