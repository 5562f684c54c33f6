#ifndef BATON_WORKER_HTTP_ACCESS_ENTRY_H_
#define BATON_WORKER_HTTP_ACCESS_ENTRY_H_

// From a request and its response to a line in the access log of its listener.
//
// Each response is logged once: at once, if it is sent with others in one write
// (LogAccess), or when it has been sent or has failed (PendingAccess). The
// request may be gone by then, so what is to be said of it is copied. It can
// also be handed to another worker, which sends the rest, and is logged there:
//
//   PendingAccess access(listener, request, 200, since);
//   access.OnHead(conn, head.size());
//   ... send ...
//   access.Log(conn);        // or
//   blob = access.Encode();  // and there
//   PendingAccess::Decode(listener, blob), send the rest, Log(conn)
//
// For a listener without a log all of them cost a look at a pointer.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "net/connection.h"
#include "worker/http/http_request.h"
#include "worker/http/http_service.h"

namespace baton {

// What is to be logged, without a request or a connection. Bounded: texts are
// cut to what a line shows of them.
struct OwnedAccessRecord {
  std::string client;
  std::string method;
  std::string target;
  std::string host;
  std::string referer;
  std::string user_agent;
  std::string request_id;
  int8_t minor_version = -1;
  uint16_t status = 0;
  uint64_t bytes = 0;
  int64_t since = 0;  // MonotonicClock: the same in every process

  // By net/wire.h. Later builds may append fields.
  std::string Encode() const;
  static std::optional<OwnedAccessRecord> Decode(absl::string_view blob);
};

// `listener` has a log. `bytes`: of the body. `since`: the loop's time when the
// request was there.
void LogAccessNow(const HttpListener& listener, const HttpRequest& request,
                  int status, uint64_t bytes, int64_t since);
inline void LogAccess(const HttpListener& listener, const HttpRequest& request,
                      int status, uint64_t bytes, int64_t since) {
  if (listener.access_log != nullptr) {
    LogAccessNow(listener, request, status, bytes, since);
  }
}
// The same, of one that is remembered.
void LogAccess(const HttpListener& listener, const OwnedAccessRecord& record);

class PendingAccess {
 public:
  // Nothing will be logged.
  PendingAccess() = default;
  // `listener` stays until it is logged.
  PendingAccess(const HttpListener& listener, const HttpRequest& request,
                int status, int64_t since) {
    if (listener.access_log != nullptr) {
      Remember(listener, request, status, since);
    }
  }
  // Of a request that is none: `received` is what came.
  static PendingAccess OfRefused(const HttpListener& listener,
                                 const Connection& conn,
                                 absl::string_view received, int status,
                                 int64_t since);

  // A head of so many bytes is about to be sent, and behind it the body.
  void OnHead(const Connection& conn, size_t bytes) {
    body_begins_ = conn.bytes_out() + bytes;
  }
  // With the bytes that have been sent, transfer coding included. Once.
  void Log(const Connection& conn);
  bool wanted() const { return record_ != nullptr; }
  // For the worker that will send the rest and log it, with the connection's
  // count of bytes; empty if nothing is to be logged. Of a blob that is none
  // nothing is logged.
  std::string Encode() const;
  static PendingAccess Decode(const HttpListener& listener,
                              absl::string_view blob);

 private:
  void Remember(const HttpListener& listener, const HttpRequest& request,
                int status, int64_t since);

  const HttpListener* listener_ = nullptr;
  std::unique_ptr<OwnedAccessRecord> record_;
  uint64_t body_begins_ = ~uint64_t{0};  // at so many bytes of the connection
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_ACCESS_ENTRY_H_
