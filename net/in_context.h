#ifndef BATON_NET_IN_CONTEXT_H_
#define BATON_NET_IN_CONTEXT_H_

// An error of a file or a socket names that; of which flag or option it is, and
// so where to mend it, only whoever has read that knows.

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace baton {

// "--log_file: open log /x: ...": the error with `context` in front of it. OK
// stays OK.
inline absl::Status InContext(absl::string_view context,
                              const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(context, ": ", status.message()));
}

}  // namespace baton

#endif  // BATON_NET_IN_CONTEXT_H_
