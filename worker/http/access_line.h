#ifndef BATON_WORKER_HTTP_ACCESS_LINE_H_
#define BATON_WORKER_HTTP_ACCESS_LINE_H_

// Problem: most of what stands in an access log was written by strangers, and
// programs that split it at quotes and newlines believe what they find there.
//
// Contract: FormatAccessLine() turns one record into one line, always: exactly
// one '\n', at its end. What was cut to its bound ends in "...". Nothing is
// allocated, and whatever the record says, a line is no longer than
// kMaxAccessLineBytes, so that a pipe takes it whole (PIPE_BUF). Times are UTC;
// once a second the date is made anew, which allocates.
//
//   combined  192.0.2.7 - - [22/Nov/2026:03:35:17 +0000] "GET /x HTTP/1.1"
//             200 1234 "https://example.org/" "curl/8.0"
//   JSON      {"time":"2026-11-22T03:35:17.042Z","client":"192.0.2.7",
//              "method":"GET","target":"/x","version":"1.1","status":200,
//              "bytes":1234,"duration_us":57,"host":"example.org",
//              "referer":"https://example.org/","user_agent":"curl/8.0",
//              "request_id":"...","pid":4242}
//
// combined: a byte below 0x20, above 0x7e, `"` and `\` are \xHH; what is empty
// is "-". JSON: what is no well-formed UTF-8 becomes U+FFFD; "request_id" is
// there if the request has been given one. Of a request that could not be
// understood, the first line of what came stands as the whole request, and in
// JSON as "target", with an empty "method" and "version".

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>

#include "absl/strings/string_view.h"

namespace baton {

enum class AccessFormat : uint8_t { kCombined, kJson };

struct AccessRecord {
  static constexpr int8_t kNoVersion = -1;

  absl::string_view client;  // an address
  absl::string_view method;
  absl::string_view target;  // as it was sent
  absl::string_view host;
  absl::string_view referer;
  absl::string_view user_agent;
  absl::string_view request_id;
  int8_t minor_version = kNoVersion;
  int status = 0;
  uint64_t bytes = 0;  // of the body, as it was sent
  int64_t duration_nanos = 0;
  int pid = 0;
};

// Of the texts of a line, in bytes, as they stand there; what is longer in the
// record need not be kept.
struct AccessBounds {
  static constexpr size_t kClient = 64;
  static constexpr size_t kMethod = 32;
  static constexpr size_t kTarget = 2048;
  static constexpr size_t kHost = 256;
  static constexpr size_t kReferer = 512;
  static constexpr size_t kUserAgent = 512;
  static constexpr size_t kRequestId = 128;
};

inline constexpr size_t kMaxAccessLineBytes = 4095;

// The date as text, made once a second.
class AccessDate {
 public:
  // "22/Nov/2026:03:35:17 +0000" or "2026-11-22T03:35:17". Valid until the
  // next call.
  absl::string_view Text(AccessFormat format, time_t second) {
    Cached& cached = cached_[static_cast<size_t>(format)];
    if (cached.second != second || cached.size == 0) {
      Make(format, second, cached);
    }
    return {cached.text.data(), cached.size};
  }

 private:
  struct Cached {
    time_t second = 0;
    size_t size = 0;
    std::array<char, 48> text;
  };
  static void Make(AccessFormat format, time_t second, Cached& cached);

  std::array<Cached, 2> cached_;
};

// Writes the line to `to`, which has room for kMaxAccessLineBytes. Returns its
// size.
size_t FormatAccessLine(AccessFormat format, const AccessRecord& record,
                        const timespec& now, AccessDate& date, char* to);

}  // namespace baton

#endif  // BATON_WORKER_HTTP_ACCESS_LINE_H_
