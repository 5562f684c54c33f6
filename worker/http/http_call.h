#ifndef BATON_WORKER_HTTP_HTTP_CALL_H_
#define BATON_WORKER_HTTP_HTTP_CALL_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/io_error.h"
#include "net/task.h"
#include "worker/http/http_request.h"
#include "worker/http/http_response.h"

namespace baton {

namespace internal {
class HttpExchange;
}  // namespace internal

// A server-sent event (WHATWG HTML, section 9.2). Line ends in `data` make more
// lines of it; the others must have none (they are cut there).
struct HttpEvent {
  absl::string_view data;
  absl::string_view type = {};
  absl::string_view id = {};
};

// A request in a coroutine handler, which may take its time.
//
//   Task<HttpResponse> Store(HttpCall call) {
//     absl::StatusOr<std::string> body = co_await call.ReadBody();
//     if (!body.ok()) co_return body.status();
//     ...
//   }
//
//   Task<> Ticks(HttpCall call) {
//     while (co_await call.SendEvent({.data = "tick"}) == IoError::kOk) {
//       co_await Sleep(absl::Seconds(1));
//     }
//   }
//
// A handle: valid until the handler returns, wherever it is copied to. One
// reading and one sending operation at a time.
class HttpCall {
 public:
  explicit HttpCall(internal::HttpExchange* exchange) : exchange_(exchange) {}

  const HttpRequest& request() const;

  // The whole body, within its limit. When it fails, the server knows what the
  // client is to be told (400, 408, 413), and says that instead of whatever the
  // handler returns.
  Task<absl::StatusOr<std::string>> ReadBody();
  // The next part of it, borrowed like what a connection reads; kEof at its
  // end. Errors as with ReadBody.
  Task<ReadResult> ReadSome();

  // For an HttpStreamer. Begin sends the head, Send a part of the body; it
  // waits while the client takes nothing, so a slow one costs no memory. An
  // error means that nobody reads any more. The first Send begins by itself,
  // with 200. What is sent must stay until the operation ends.
  Task<IoError> Begin(HttpResponse head);
  Task<IoError> Send(absl::string_view bytes);
  // Begins with the type text/event-stream.
  Task<IoError> SendEvent(HttpEvent event);

  // The worker is leaving: an endless stream should end. The connection does
  // not: unless the server stops, its next request finds another worker.
  bool leaving() const;

 private:
  internal::HttpExchange* exchange_;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_CALL_H_
