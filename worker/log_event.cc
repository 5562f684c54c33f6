#include "worker/log_event.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "worker/log_line.h"

namespace baton {
namespace {

// How a record's structure reaches a sink: glog passes text alone, and calls
// the sinks from the thread that logs, before the LogMessage's destructor
// returns. Set for just that long.
thread_local const LogEvent::Structure* current_event = nullptr;

bool IsName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
  });
}

// Needs no quotes: no blank, no quote, nothing that had to be escaped.
bool IsPlainWord(absl::string_view value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_isgraph(c) && c != '"' && c != '\\' && c != '=';
  });
}

}  // namespace

LogEvent::LogEvent(absl::string_view name, google::LogSeverity severity,
                   std::source_location where)
    : name_(name), severity_(severity), where_(where), text_(name) {
  CHECK(IsName(name)) << name;
}

LogEvent::~LogEvent() {
  const Structure structure{.name = name_, .fields = json_};
  current_event = &structure;
  google::LogMessage(where_.file_name(), static_cast<int>(where_.line()),
                     severity_)
          .stream()
      << text_;
  current_event = nullptr;
}

const LogEvent::Structure* LogEvent::Current() { return current_event; }

LogEvent& LogEvent::Field(absl::string_view key, absl::string_view value) {
  std::string quoted = "\"";
  AppendJsonEscaped(value, kMaxFieldBytes, &quoted);
  quoted.push_back('"');
  const absl::string_view inside =
      absl::string_view(quoted).substr(1, quoted.size() - 2);
  return Append(key, IsPlainWord(inside) ? inside : quoted, quoted);
}

LogEvent& LogEvent::Field(absl::string_view key, bool value) {
  const absl::string_view word = value ? "true" : "false";
  return Append(key, word, word);
}

LogEvent& LogEvent::Field(absl::string_view key, double value) {
  const std::string digits = absl::StrCat(value);
  // JSON has no infinity and no NaN.
  return Append(key, digits, std::isfinite(value) ? digits : "null");
}

LogEvent& LogEvent::Append(absl::string_view key, absl::string_view text,
                           absl::string_view json) {
  CHECK(IsName(key)) << key;
  absl::StrAppend(&text_, " ", key, "=", text);
  absl::StrAppend(&json_, json_.empty() ? "\"" : ",\"", key, "\":", json);
  return *this;
}

}  // namespace baton
