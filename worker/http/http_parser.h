#ifndef BATON_WORKER_HTTP_HTTP_PARSER_H_
#define BATON_WORKER_HTTP_HTTP_PARSER_H_

// Problem: two servers on one way that read the same bytes as different
// requests let a client smuggle one past the first. So everything that is
// ambiguous is refused, and the connection with it.
//
// The syntax is llhttp's, in its strict mode; what it lets through is checked
// here: folded fields and bare line ends (head_scan.h), more than one space in
// the request line, fragments, a missing, repeated or malformed Host, transfer
// codings other than one `chunked`, or any in HTTP/1.0 (RFC 9112 sections 2.2,
// 3, 5.2, 6.1, 7.1).
//
// Contract: a head is parsed whole; the parser keeps nothing from one call to
// the next, so a connection between two requests, or in the middle of a head,
// costs none of it. Not thread-safe.

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "llhttp.h"
#include "worker/http/http_head.h"

namespace baton {

struct HttpParse {
  enum class Kind : uint8_t { kComplete, kIncomplete, kRejected };

  Kind kind;
  // kRejected: the answer that says so, and why, for people. The bytes behind
  // can't be trusted to begin a request.
  int status = 0;
  const char* reason = "";
};

namespace internal {

// What llhttp finds in a head.
struct HttpElements {
  absl::string_view target;
  size_t field_count = 0;
  std::array<HttpField, HttpHead::kMaxFields> fields;
};

}  // namespace internal

class HttpParser {
 public:
  HttpParser();

  // `bytes` begin with a request line. `scanned`: how many of them an earlier
  // call has found to be no whole head. `head->fields` are the parser's, until
  // the next call.
  HttpParse Parse(absl::string_view bytes, size_t scanned, HttpHead* head);
  // Of a head that is incomplete: whether what is there can still become one.
  // Costs as much as to parse it.
  HttpParse Probe(absl::string_view bytes);

  // The answer to a head that is larger than kMaxBytes.
  static HttpParse TooLarge(absl::string_view bytes);

  // After a complete head with a chunked body: llhttp's state, to go on with
  // (http_body.h).
  const llhttp_t& state() const { return llhttp_; }

 private:
  llhttp_errno Execute(absl::string_view bytes);
  HttpParse Rejected(llhttp_errno error, absl::string_view bytes) const;

  llhttp_t llhttp_;
  internal::HttpElements elements_;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_PARSER_H_
