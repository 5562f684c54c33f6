#ifndef BATON_WORKER_HTTP_HTTP_RESPONSE_H_
#define BATON_WORKER_HTTP_HTTP_RESPONSE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/http/file_body.h"

namespace baton {

// What a handler answers. The server adds the status line, Date, Server,
// Content-Length (or the transfer coding) and Connection.
//
//   return HttpResponse::Text("hello\n");
//   return HttpResponse::Json(text).Status(201).Header("Location", "/items/7");
//   return absl::NotFoundError("no such item");
//
// A field name that is no token, or a value with a line end or a NUL in it, is
// a way for a client to write the response; so is a field that the server
// writes. Either makes the response a 500, and is logged.
class HttpResponse {
 public:
  HttpResponse() = default;
  explicit HttpResponse(int status) { Status(status); }
  // InvalidArgument and OutOfRange are 400, Unauthenticated 401,
  // PermissionDenied 403, NotFound 404, AlreadyExists and Aborted 409,
  // FailedPrecondition 412, ResourceExhausted and Unavailable 503 with
  // Retry-After, DeadlineExceeded 504, Unimplemented 501, all others 500. Of
  // the last three kinds the client is not told the message: it is logged.
  // NOLINTNEXTLINE(google-explicit-constructor): a status is a response
  HttpResponse(const absl::Status& status);

  static HttpResponse Text(std::string body);
  static HttpResponse Html(std::string body);
  static HttpResponse Json(std::string body);
  // See Other: after a form, say.
  static HttpResponse Redirect(absl::string_view location, int status = 303);

  // From 200 to 599; others are a failure too.
  HttpResponse& Status(int status) &;
  HttpResponse&& Status(int status) && { return std::move(Status(status)); }
  // One more field of that name.
  HttpResponse& Header(absl::string_view name, absl::string_view value) &;
  HttpResponse&& Header(absl::string_view name, absl::string_view value) && {
    return std::move(Header(name, value));
  }
  HttpResponse& ContentType(absl::string_view type) &;
  HttpResponse&& ContentType(absl::string_view type) && {
    return std::move(ContentType(type));
  }
  HttpResponse& Body(std::string body) &;
  HttpResponse&& Body(std::string body) && {
    return std::move(Body(std::move(body)));
  }
  // The bytes are not copied: a thousand slow readers share them.
  HttpResponse& SharedBody(std::shared_ptr<const std::string> body) &;
  HttpResponse&& SharedBody(std::shared_ptr<const std::string> body) && {
    return std::move(SharedBody(std::move(body)));
  }

  // Bytes of a file, which are not read into memory. `file` is open for
  // reading; if it is shorter than that by then, the connection is closed.
  HttpResponse& File(FileBody body) &;
  HttpResponse&& File(FileBody body) && {
    return std::move(File(std::move(body)));
  }

  // For the server: fields that need no check, "Name: value\r\n" each, and a
  // type that stays.
  HttpResponse& KnownFields(absl::string_view fields) {
    fields_.append(fields.data(), fields.size());
    return *this;
  }
  HttpResponse& KnownType(absl::string_view type) {
    known_type_ = type;
    return *this;
  }

  int status() const { return status_; }
  uint64_t body_size() const {
    return file_ != nullptr ? file_->size() : body().size();
  }
  // Null if the body is in memory.
  const FileBody* file() const { return file_.get(); }
  absl::string_view body() const {
    return shared_ != nullptr ? absl::string_view(*shared_) : body_;
  }
  absl::string_view content_type() const {
    return type_.empty() ? known_type_ : type_;
  }
  // All others, "Name: value\r\n" each.
  absl::string_view fields() const { return fields_; }
  // Why the handler failed, for the log; empty if it did not.
  absl::string_view failure() const { return failure_; }

 private:
  // A type that stays, and needs no look.
  HttpResponse(absl::string_view known_type, std::string body)
      : known_type_(known_type), body_(std::move(body)) {}
  void Fail(const std::string& why);

  int status_ = 200;
  bool broken_ = false;  // it is that 500, whatever else the handler says
  absl::string_view known_type_;
  std::string type_;
  std::string fields_;
  std::string body_;
  std::shared_ptr<const std::string> shared_;
  std::unique_ptr<FileBody> file_;
  std::string failure_;
};

// "Not Found"; "Unknown" for a code without a name.
absl::string_view HttpReason(int status);
// 1xx, 204 and 304: RFC 9110 section 6.4.1.
inline bool HttpStatusHasBody(int status) {
  return status >= 200 && status != 204 && status != 304;
}

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_RESPONSE_H_
