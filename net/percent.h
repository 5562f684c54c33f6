#ifndef BATON_NET_PERCENT_H_
#define BATON_NET_PERCENT_H_

// Problem: a path may hold the very bytes that separate the parts of a URL.
//
// Contract: %XX (two hex digits) stands for one byte - RFC 3986 section 2.1.
// PercentEncode leaves letters, digits and the punctuation that has no meaning
// in a listener URL or a list of them. PercentDecode(PercentEncode(s)) == s for
// every s without NUL. Pure.

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

// Errors: InvalidArgument for a % without two hex digits, and for %00, which
// would end a C string early and so name another file than it seems to.
absl::StatusOr<std::string> PercentDecode(absl::string_view text);

std::string PercentEncode(absl::string_view bytes);

}  // namespace baton

#endif  // BATON_NET_PERCENT_H_
