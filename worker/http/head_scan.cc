#include "worker/http/head_scan.h"

#include <string.h>

namespace baton {

HeadScan ScanHead(absl::string_view bytes, size_t from) {
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  const char* at = begin + from;
  while (at < end) {
    if (at > begin && at[-1] == '\n' && (*at == ' ' || *at == '\t')) {
      return {HeadScan::Kind::kFolded};
    }
    const auto* const lf = static_cast<const char*>(memchr(at, '\n', end - at));
    if (lf == nullptr) break;
    if (lf == begin || lf[-1] != '\r') return {HeadScan::Kind::kBadLineEnd};
    if (lf - begin == 1 || lf[-2] == '\n') {
      return {HeadScan::Kind::kComplete, static_cast<size_t>(lf + 1 - begin)};
    }
    at = lf + 1;
  }
  return {HeadScan::Kind::kIncomplete};
}

}  // namespace baton
