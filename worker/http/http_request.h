#ifndef BATON_WORKER_HTTP_HTTP_REQUEST_H_
#define BATON_WORKER_HTTP_HTTP_REQUEST_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/connection.h"
#include "worker/http/http_head.h"
#include "worker/http/parameters.h"
#include "worker/http/router.h"

namespace baton {

// A request as its handler sees it. Views are valid as long as the handler
// runs: of a function until it returns, of a coroutine until it ends.
class HttpRequest {
 public:
  HttpRequest(const HttpHead& head, const HttpPathParameters& parameters,
              absl::string_view body, const Connection& connection)
      : head_(head),
        parameters_(parameters),
        body_(body),
        connection_(connection) {}
  HttpRequest(const HttpRequest&) = delete;
  HttpRequest& operator=(const HttpRequest&) = delete;

  HttpMethod method() const { return head_.method; }
  absl::string_view method_name() const { return head_.method_name; }
  // As it was sent: escapes are not decoded.
  absl::string_view path() const { return head_.path; }
  // All that stands between method and version.
  absl::string_view target() const { return head_.target; }
  int minor_version() const { return head_.minor_version; }
  absl::string_view query_string() const { return head_.query; }
  // With its port, if one was sent. A client can write anything there.
  absl::string_view host() const { return head_.host; }
  // The first field of that name; empty if there is none.
  absl::string_view Header(absl::string_view name) const {
    return head_.Field(name);
  }
  absl::Span<const HttpField> headers() const { return head_.fields; }

  // What stands for {name} in the path, decoded. A bad escape is left as it is.
  std::string Param(absl::string_view name) const;
  // The first parameter of that name in the query, decoded.
  std::optional<std::string> Query(absl::string_view name) const;
  HttpParameters query() const { return HttpParameters::Parse(head_.query); }
  // Of a body that is application/x-www-form-urlencoded; else empty.
  HttpParameters form() const;
  // Whole, for a function; a coroutine reads it (HttpCall).
  absl::string_view body() const { return body_; }

  // The client's address: the peer's, or what a trusted proxy says
  // (--forwarded_from).
  std::string client() const;
  // For logs; the same each time. X-Request-Id of a trusted proxy, or a new
  // one.
  const std::string& id() const;
  // The same if somebody has asked for it, else empty.
  absl::string_view known_id() const { return id_; }
  const Connection& connection() const { return connection_; }

  // For the server: the body has come.
  void SetBody(absl::string_view body) { body_ = body; }

 private:
  bool PeerIsTrusted() const;

  const HttpHead& head_;
  const HttpPathParameters& parameters_;
  absl::string_view body_;
  const Connection& connection_;
  mutable std::string id_;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_REQUEST_H_
