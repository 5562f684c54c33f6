#ifndef BATON_WORKER_HTTP_HTTP_HEAD_H_
#define BATON_WORKER_HTTP_HTTP_HEAD_H_

// The head of a request: request line and header fields, taken apart. Views
// point into the bytes that were parsed, and `fields` into the parser.

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace baton {

enum class HttpMethod : uint8_t {
  kGet,
  kHead,
  kPost,
  kPut,
  kPatch,
  kDelete,
  kOptions,
  kOther,  // one that no route can have
};
inline constexpr int kHttpMethods = 8;

// "GET" ...; empty for kOther.
absl::string_view HttpMethodName(HttpMethod method);

struct HttpField {
  absl::string_view name;
  absl::string_view value;  // without white space around it
};

struct HttpHead {
  static constexpr size_t kMaxBytes = 32 * 1024;
  static constexpr int kMaxFields = 100;

  HttpMethod method = HttpMethod::kGet;
  uint8_t minor_version = 1;
  bool says_close = false;
  bool says_keep_alive = false;
  bool keep_alive = true;  // what follows from these and the version
  bool chunked = false;
  bool expects_continue = false;
  uint64_t content_length = 0;
  absl::string_view method_name;
  absl::string_view target;  // as it was sent
  absl::string_view path;    // of the target: still encoded, begins with '/'
  absl::string_view query;   // behind '?'
  absl::string_view host;    // of the target or of the Host field, with port
  size_t size = 0;           // of the head in bytes
  absl::Span<const HttpField> fields;

  bool has_body() const { return chunked || content_length > 0; }
  // The first of that name, in any case of letters; empty if there is none.
  absl::string_view Field(absl::string_view name) const;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_HEAD_H_
