#ifndef BATON_NET_QUOTE_H_
#define BATON_NET_QUOTE_H_

// Problem: an error names the value it complains of, and that value comes from
// outside: it may hold a newline that forges a second log line, an escape
// sequence for the terminal, or a megabyte.
//
// Contract: Quote() gives one line of printable ASCII of bounded length, in
// double quotes, with everything else as C escapes. For people to read, not
// for programs to read back.

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace baton {

// Longest part of a value that Quote() shows, in bytes before escaping.
inline constexpr size_t kMaxQuotedBytes = 200;

std::string Quote(absl::string_view value);

}  // namespace baton

#endif  // BATON_NET_QUOTE_H_
