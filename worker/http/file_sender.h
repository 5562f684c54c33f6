#ifndef BATON_WORKER_HTTP_FILE_SENDER_H_
#define BATON_WORKER_HTTP_FILE_SENDER_H_

// Responses with a file as their body, which may take hours: while a stretch of
// the file is being sent, another worker may take the connection and go on.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "net/connection.h"
#include "net/io_error.h"
#include "net/task.h"
#include "worker/http/access_entry.h"
#include "worker/http/file_body.h"
#include "worker/http/http_compose.h"

namespace baton {

// What is to follow the stretch of a file that is being sent: the state of an
// HTTP connection (net/connection_state.h). Most have none: nothing follows,
// and the connection goes on.
struct HttpRest {
  static constexpr uint32_t kVersion = 1;
  std::string Encode() const;
  static absl::StatusOr<HttpRest> Decode(uint32_t version,
                                         absl::string_view bytes);

  bool close = false;                 // then the connection
  std::vector<FileBody::Part> parts;  // of the same file
  std::string after;
  // The access log's line: here what is pending, there what that was.
  const PendingAccess* access = nullptr;
  std::string access_blob;
};

// Sends `head`, if there is one, like Connection::Write, and `body`, which is
// not empty and stays until it is sent. `framing` says what becomes of the
// connection then, and `access` what is to be logged, wherever that is.
// kDraining: another worker has it.
Task<IoError> SendFileBody(Connection* conn, absl::string_view head,
                           const FileBody* body, HttpFraming framing,
                           PendingAccess* access);

// Sends the rest of a body with which the connection came, if it did. False:
// the connection is to be closed.
Task<bool> SendRestOfFile(Connection* conn);

}  // namespace baton

#endif  // BATON_WORKER_HTTP_FILE_SENDER_H_
