#ifndef BATON_WORKER_CRASH_LINE_H_
#define BATON_WORKER_CRASH_LINE_H_

// Problem: a process that crashes has something to log, and nearly nothing that
// it may use for it: malloc's lock may be held by the very code that crashed,
// and so may the time zone's.
//
// Contract: CrashLine builds the line that FormatLogLine() would make of the
// same record, in a buffer of its own, by calls that are async-signal-safe:
// nothing is allocated, locked or looked up. What is not printable ASCII
// becomes '?'. What does not fit is cut; the line ends well all the same.
//
//   CrashLine line(format, {.role = role, .event = "crashed", ...});
//   line.Field("signal", "SIGSEGV");
//   Write(line.Finish());

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "worker/log_line.h"

namespace baton {

class CrashLine {
 public:
  struct Origin {
    int64_t unix_seconds = 0;
    int32_t microseconds = 0;
    // What is added to that for the clock of a text line.
    int64_t utc_offset_seconds = 0;
    pid_t pid = 0;
    absl::string_view role;
    absl::string_view file;  // base name
    int line = 0;
  };

  CrashLine(LogFormat format, const Origin& origin, absl::string_view event);

  // Fields as LogEvent has them.
  void Field(absl::string_view key, absl::string_view value);
  void Field(absl::string_view key, int64_t value);
  void HexField(absl::string_view key, uint64_t value);

  // The whole line; once, and last.
  absl::string_view Finish();

 private:
  // A part of the line, of at most N bytes.
  template <size_t N>
  struct Buffer {
    std::array<char, N> bytes;
    size_t size = 0;

    void Append(absl::string_view text);
    // At least so many digits.
    void AppendNumber(int64_t value, int digits = 1);
    void AppendEscaped(absl::string_view text);
    absl::string_view view() const { return {bytes.data(), size}; }
  };

  void Begin(const Origin& origin);

  const LogFormat format_;
  const absl::string_view event_;
  Buffer<2560> line_;
  Buffer<640> text_;  // the fields, as they stand in the message
  Buffer<640> json_;  // and as members of an object
};

}  // namespace baton

#endif  // BATON_WORKER_CRASH_LINE_H_
