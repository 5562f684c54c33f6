#ifndef BATON_WORKER_HTTP_HTTP_COMPOSE_H_
#define BATON_WORKER_HTTP_HTTP_COMPOSE_H_

// Responses as bytes.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "net/connection.h"
#include "net/io_error.h"
#include "net/task.h"
#include "worker/http/access_entry.h"
#include "worker/http/http_head.h"
#include "worker/http/http_response.h"
#include "worker/http/http_worker.h"

namespace baton {

// How a response is sent, which depends on the request and on what will become
// of the connection.
struct HttpFraming {
  enum class Length : uint8_t {
    kKnown,
    kChunked,
    kUntilClose,  // of HTTP/1.0 clients
  };
  bool head_only = false;        // the answer to HEAD
  bool close = false;            // `Connection: close`
  bool says_keep_alive = false;  // to HTTP/1.0 clients
  bool server_header = true;
  Length length = Length::kKnown;
  // Nothing of the request is still to be read: another worker, which knows
  // nothing of it, may go on with the response.
  bool request_ended = true;
};

// Of the answer to `head`. `close`: what the server wants, whatever the client
// does.
inline HttpFraming FramingFor(const HttpHead& head, bool close,
                              bool server_header) {
  close = close || !head.keep_alive;
  return {.head_only = head.method == HttpMethod::kHead,
          .close = close,
          .says_keep_alive = head.minor_version == 0 && !close,
          .server_header = server_header};
}

// So many bytes of a head, at most, are the server's own.
inline constexpr size_t kMaxOwnFields = 256;

// A head is no longer than that.
inline size_t ComposedHeadBound(const HttpResponse& response) {
  return kMaxOwnFields + response.content_type().size() +
         response.fields().size();
}

// Writes status line, fields and empty line to `to`, which has room for
// ComposedHeadBound(response) bytes. Returns the end.
char* ComposeHead(const HttpResponse& response, uint64_t body_size,
                  const HttpFraming& framing, HttpWorker& worker, char* to);

// The same of a 200 with `fields`, of which none is the server's own but
// Content-Length. `to` has room for kMaxOwnFields beyond them.
char* ComposeOkHead(absl::string_view fields, const HttpFraming& framing,
                    HttpWorker& worker, char* to);

// The same as text.
std::string HeadText(const HttpResponse& response, uint64_t body_size,
                     const HttpFraming& framing, HttpWorker& worker);

// Sends all of a response that is not streamed, and then logs it. `response`
// and `access` stay until it is sent.
Task<IoError> SendResponse(Connection* conn, const HttpResponse* response,
                           HttpFraming framing, PendingAccess* access);

// Counts a response that is about to be sent, and its request with it, which
// was there at `since`: the loop's time of that turn.
void CountResponse(int status, int64_t since, HttpWorker& worker);
// The same of one that is not streamed.
inline void CountResponse(const HttpResponse& response, int64_t since,
                          HttpWorker& worker) {
  CountResponse(response.status(), since, worker);
  worker.counters().response_bytes.Add(response.body_size());
}

// A response that is nobody's but the server's own: its status and why.
HttpResponse ErrorResponse(int status, absl::string_view reason = "");

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_COMPOSE_H_
