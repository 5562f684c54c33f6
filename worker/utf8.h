#ifndef BATON_WORKER_UTF8_H_
#define BATON_WORKER_UTF8_H_

// What a log needs to know of Unicode: which bytes are a character, and which
// characters must not reach a reader as they are. Pure.

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace baton {

struct CodePoint {
  uint32_t value = 0;
  size_t bytes = 0;  // 0: no well-formed sequence starts here
};

// At the beginning of `text`, which is not empty.
CodePoint DecodeUtf8(absl::string_view text);

// Moves a cursor, ends a line, or reorders what a reader sees.
bool IsUnsafeInLog(uint32_t code_point);

}  // namespace baton

#endif  // BATON_WORKER_UTF8_H_
