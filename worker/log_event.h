#ifndef BATON_WORKER_LOG_EVENT_H_
#define BATON_WORKER_LOG_EVENT_H_

// Problem: a state change is logged for a program as much as for a person. A
// sentence is read well and parsed badly; here one statement makes both.
//
//     LogEvent("worker_ready").Field("slot", 2).Field("took_ms", 41);
//
//   text  ... master: worker_ready slot=2 took_ms=41
//   JSON  ... "event":"worker_ready","fields":{"slot":2,"took_ms":41} ...
//
// Contract
// * The record is logged when the statement ends, through glog, from the
//   place where LogEvent was written.
// * Names of events and fields are the project's own stable words, in
//   [a-z0-9_] (CHECKs); units stand last in them ("took_ms"). Values may come
//   from outside: strings are escaped, quoted in text unless they are one plain
//   word, and cut after kMaxFieldBytes.
// * Any thread. glog's own sinks see the text form.

#include <cstddef>
#include <source_location>
#include <string>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"

namespace baton {

class LogEvent {
 public:
  static constexpr size_t kMaxFieldBytes = 512;

  // What a sink reads while this thread logs an event.
  struct Structure {
    absl::string_view name;
    absl::string_view fields;  // members of a JSON object, encoded
  };

  explicit LogEvent(
      absl::string_view name, google::LogSeverity severity = google::GLOG_INFO,
      std::source_location where = std::source_location::current());
  ~LogEvent();
  LogEvent(const LogEvent&) = delete;
  LogEvent& operator=(const LogEvent&) = delete;

  LogEvent& Field(absl::string_view key, absl::string_view value);
  LogEvent& Field(absl::string_view key, const char* value) {
    return Field(key, absl::string_view(value));
  }
  LogEvent& Field(absl::string_view key, bool value);
  LogEvent& Field(absl::string_view key, double value);  // not finite: null
  template <typename Integer>
    requires std::is_integral_v<Integer>
  LogEvent& Field(absl::string_view key, Integer value) {
    const std::string digits = absl::StrCat(value);
    return Append(key, digits, digits);
  }

  // The event that this thread is in the middle of logging, else null. For
  // sinks: valid until their send() returns.
  static const Structure* Current();

 private:
  LogEvent& Append(absl::string_view key, absl::string_view text,
                   absl::string_view json);

  const std::string name_;
  const google::LogSeverity severity_;
  const std::source_location where_;
  std::string text_;
  std::string json_;
};

}  // namespace baton

#endif  // BATON_WORKER_LOG_EVENT_H_
