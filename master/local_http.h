#ifndef BATON_MASTER_LOCAL_HTTP_H_
#define BATON_MASTER_LOCAL_HTTP_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/endpoint.h"

namespace baton {

// A question to a running baton, by its admin port or its control socket: for
// batonctl and --healthcheck, which have no loop and ask one thing.

struct LocalHttpResponse {
  int status = 0;
  std::string body;
};

// Blocks. `timeout` is for the connection and for each pause of the server's;
// InfiniteDuration() waits as long as it takes. Errors: Unavailable if nobody
// is there, PermissionDenied, DeadlineExceeded, or what went wrong with the
// answer.
absl::StatusOr<LocalHttpResponse> AskLocally(const Endpoint& server,
                                             absl::string_view method,
                                             absl::string_view target,
                                             absl::Duration timeout);

}  // namespace baton

#endif  // BATON_MASTER_LOCAL_HTTP_H_
