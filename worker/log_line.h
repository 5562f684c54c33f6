#ifndef BATON_WORKER_LOG_LINE_H_
#define BATON_WORKER_LOG_LINE_H_

// Problem: a log is read by people, by shippers and by terminals, and much of
// what is written to it was sent by strangers. A newline in a host name must
// not become a second record, an escape sequence must not reach a terminal,
// and a byte that is not UTF-8 must not make a line of JSON unreadable.
//
// Contract: FormatLogLine() turns one record into one line, always: exactly
// one '\n', at its end, and no other control character. What was cut to fit
// ends in "...". Pure; the caller supplies clock, pid and role.
//
//   text  I20241121 04:12:00.123456 4242 shell.cc:12] worker 2: message
//   JSON  {"time":"2024-11-21T04:12:00.123456Z","level":"info","pid":4242,
//          "role":"worker 2","file":"shell.cc","line":12,
//          "event":"worker_ready","fields":{"slot":2},"message":"..."}
//
// The text line is glog's, so that its readers work; its time is the one that
// glog gave (local, or UTC under --log_utc_time). JSON is UTC in any case.
// "event" and "fields" are there for records made by LogEvent (log_event.h);
// the fields have an object of their own, so that none can stand in for a key
// of the line itself.

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>

#include "absl/strings/string_view.h"

namespace baton {

enum class LogFormat { kText, kJson };

struct LogRecord {
  int severity = 0;          // google::GLOG_INFO ... google::GLOG_FATAL
  int64_t unix_seconds = 0;  // and
  int32_t microseconds = 0;  // the same moment for JSON
  std::tm clock = {};        // and for text, whole seconds
  int pid = 0;
  absl::string_view role;  // "master", "worker 2"; empty = left out of text
  absl::string_view file;  // base name
  int line = 0;
  absl::string_view message;
  absl::string_view event;   // empty = a plain message
  absl::string_view fields;  // members of a JSON object, already encoded
};

// No line is asked to be shorter; what precedes the message always fits, if
// need be without the event's fields ("fields_cut":true stands in for them).
inline constexpr size_t kMinLogLineBytes = 1024;

// `max_bytes` counts the newline; at least kMinLogLineBytes (CHECKs).
std::string FormatLogLine(LogFormat format, const LogRecord& record,
                          size_t max_bytes);

// Appends `text` as the inside of a JSON string, at most `max_bytes` long. A
// byte that belongs to no well-formed UTF-8 sequence becomes U+FFFD. Returns
// whether all of it went in; if not, what did ends in "...".
bool AppendJsonEscaped(absl::string_view text, size_t max_bytes,
                       std::string* out);

// The same for a text line: control characters, line separators and the
// bidirectional overrides of Unicode as \n, \t, \r and \xNN byte by byte. A
// backslash stays as it is.
bool AppendTextEscaped(absl::string_view text, size_t max_bytes,
                       std::string* out);

}  // namespace baton

#endif  // BATON_WORKER_LOG_LINE_H_
