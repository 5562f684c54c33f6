#ifndef BATON_WORKER_HTTP_HTTP_EXCHANGE_H_
#define BATON_WORKER_HTTP_HTTP_EXCHANGE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/buffer_pool.h"
#include "net/connection.h"
#include "net/task.h"
#include "worker/http/access_entry.h"
#include "worker/http/http_body.h"
#include "worker/http/http_call.h"
#include "worker/http/http_compose.h"
#include "worker/http/http_head.h"
#include "worker/http/http_request.h"
#include "worker/http/http_response.h"
#include "worker/http/http_service.h"
#include "worker/http/router.h"

namespace baton::internal {

// A head with the bytes it points into.
class OwnedHead {
 public:
  // `bytes` are those that `head` was parsed from.
  OwnedHead(const HttpHead& head, absl::string_view bytes);
  OwnedHead(const OwnedHead&) = delete;
  OwnedHead& operator=(const OwnedHead&) = delete;

  const HttpHead& head() const { return head_; }

 private:
  const std::string bytes_;
  std::vector<HttpField> fields_;
  HttpHead head_;
};

// One request and its response, the general way: whatever has to wait for
// something. The short way, for what can be answered at once, is in
// http_connection.cc.
class HttpExchange {
 public:
  // Takes over from the worker's parser, of which `head` is; `bytes` begin with
  // it and it is still unread. `conn` outlives this.
  HttpExchange(Connection* conn, const HttpHead& head, absl::string_view bytes);

  // Answers. False: the connection is to be closed, for which all has been
  // done.
  Task<bool> Run();

  // Of HttpCall.
  const HttpRequest& request() const { return request_; }
  Task<absl::StatusOr<std::string>> ReadBody();
  Task<ReadResult> ReadSome();
  Task<IoError> Begin(HttpResponse head);
  Task<IoError> Send(absl::string_view bytes);
  Task<IoError> SendEvent(HttpEvent event);
  bool leaving() const { return conn_->leaving(); }

 private:
  Task<HttpResponse> CallFunction(HttpFunction function);
  Task<bool> Stream();
  Task<bool> Respond(HttpResponse response);
  Task<bool> Finish(bool close);
  void GlanceAtBody();
  void Take(const HttpBodyDecoder::Step& step);
  absl::Duration TimeLeftForBody();
  std::string StartStream(HttpResponse& head);
  Task<IoError> WritePart(std::string head, absl::string_view bytes);
  Task<IoError> SendBehind(HttpResponse head, absl::string_view bytes);
  IoError WhyNotToSend() const;
  void Reject(int status, absl::string_view reason);
  void RejectReadError(IoError error);
  bool MaySkipBody() const;
  HttpFraming Framing() const;

  Connection* const conn_;
  const HttpListener& listener_;
  HttpWorker& worker_;
  const int64_t since_;  // the turn of the loop in which its head was there
  const OwnedHead owned_;
  HttpPathParameters parameters_;
  HttpRouter::Match match_;
  const uint64_t max_body_;
  HttpBodyDecoder decoder_;
  HttpRequest request_;
  PendingAccess access_;  // of the response, from when it is begun
  // What is held of a body that is wanted whole, until the response is out:
  // bodies of many clients together are bounded like all else they send.
  BufferReservation body_memory_;
  std::string body_text_;   // of a function
  int64_t body_since_ = 0;  // when it was first waited for
  bool body_ended_;
  bool says_continue_;       // is owed to the client before it sends a body
  bool continuing_ = false;  // that is being said
  bool lost_ = false;        // the connection is broken
  bool begun_ = false;       // the head of a stream is sent
  bool bodiless_ = false;    // and there is no body to follow
  bool failed_ = false;      // it is an error's
  bool close_ = false;       // after this response
  bool answered_ = false;
  int rejected_ = 0;  // the status of what is wrong with the request
  std::string why_rejected_;
};

// Closes in good order although the client may still be sending: data that
// nobody has read would make the kernel reset the connection, and the reset
// destroy the response on its way - RFC 9112 section 9.6.
Task<> LingeringClose(Connection* conn);

// What a handler's failure, if this is one, makes known of itself.
void ReportThatItFailed(const HttpRequest& request, HttpResponse& response,
                        HttpWorker& worker);
inline void ReportFailure(const HttpRequest& request, HttpResponse& response,
                          HttpWorker& worker) {
  if (!response.failure().empty()) {
    ReportThatItFailed(request, response, worker);
  }
}

}  // namespace baton::internal

#endif  // BATON_WORKER_HTTP_HTTP_EXCHANGE_H_
