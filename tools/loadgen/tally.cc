#include "tools/loadgen/tally.h"

#include <cstdint>

#include "absl/strings/string_view.h"

namespace baton::loadgen {

absl::string_view ErrorKindName(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kConnectRefused:
      return "connect_refused";
    case ErrorKind::kConnectTimeout:
      return "connect_timeout";
    case ErrorKind::kConnectFailed:
      return "connect_failed";
    case ErrorKind::kReset:
      return "reset";
    case ErrorKind::kEof:
      return "eof";
    case ErrorKind::kTimeout:
      return "timeout";
    case ErrorKind::kMismatch:
      return "mismatch";
    case ErrorKind::kStatus:
      return "status";
    case ErrorKind::kLocal:
      return "local";
    case ErrorKind::kUnsent:
      return "unsent";
  }
  return "unknown";
}

int64_t Tally::total_errors() const {
  int64_t total = 0;
  for (const auto& ages : by_kind) total += ages[0] + ages[1];
  return total;
}

}  // namespace baton::loadgen
