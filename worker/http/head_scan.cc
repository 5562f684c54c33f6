#include "worker/http/head_scan.h"

#include <string.h>

namespace baton {

HeadScan ScanHead(absl::string_view bytes, size_t from) {
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  const char* at = begin + from;
  // Where a line begins, but for the first.
  bool may_be_folded = from > 0 && at[-1] == '\n';
  while (at < end) {
    if (may_be_folded && (*at == ' ' || *at == '\t')) {
      return {HeadScan::Kind::kFolded};
    }
    const auto* const lf = static_cast<const char*>(memchr(at, '\n', end - at));
    if (lf == nullptr) break;
    if (lf == begin || lf[-1] != '\r') return {HeadScan::Kind::kBadLineEnd};
    at = lf + 1;
    if (at - begin == 2 || lf[-2] == '\n') {
      return {HeadScan::Kind::kComplete, static_cast<size_t>(at - begin)};
    }
    may_be_folded = true;
  }
  return {HeadScan::Kind::kIncomplete};
}

}  // namespace baton
