#ifndef BATON_WORKER_HTTP_HEAD_SCAN_H_
#define BATON_WORKER_HTTP_HEAD_SCAN_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace baton {

// Where a head, or a trailer section, ends. Looks at line ends only, and at
// each byte once: whoever gets a head in pieces goes on where the last look
// ended. What it refuses is what servers on one way take for different lines:
// a line end that is no CRLF (RFC 9112 section 2.2) and a field that is folded
// over several (section 5.2).
struct HeadScan {
  enum class Kind : uint8_t { kComplete, kIncomplete, kBadLineEnd, kFolded };

  Kind kind;
  // kComplete: of the head, its empty line included.
  size_t size = 0;
};

// `from`: how much of `bytes` was looked at before.
HeadScan ScanHead(absl::string_view bytes, size_t from);

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HEAD_SCAN_H_
