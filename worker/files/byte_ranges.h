#ifndef BATON_WORKER_FILES_BYTE_RANGES_H_
#define BATON_WORKER_FILES_BYTE_RANGES_H_

// The field Range (RFC 9110 section 14.2) against the size of a file.
//
// Problem: a field of 30 KiB may ask ten thousand times for the same bytes, out
// of order, with numbers beyond 64 bits.
//
// Contract
// * Ranges that overlap or touch become one, in the place of the first of them;
//   else they are in the order of the request, disjoint, none empty, and all
//   within the file. At most kMaxByteRanges.
// * A field is ignored (kWhole) that is for another unit or malformed - so is
//   all of it if one range ends before it begins - or that comes to more than
//   kMaxByteRanges at any point of its reading. White space around a range is
//   forgiven.
// * A number beyond 63 bits is the greatest of those.
// * Of an empty file no range exists: one of its last bytes is all of it
//   (kWhole), any other is unsatisfiable (RFC 9110 section 14.1.2).
// * A pass over the field with at most kMaxByteRanges comparisons a range, and
//   no allocation for one or two ranges.

#include <cstddef>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"

namespace baton {

inline constexpr size_t kMaxByteRanges = 16;

struct ByteRange {
  int64_t offset = 0;
  int64_t size = 0;

  bool operator==(const ByteRange&) const = default;
};

struct RangeSelection {
  enum class Kind : uint8_t {
    kWhole,          // 200: as if there were no such field
    kRanges,         // 206
    kUnsatisfiable,  // 416
  };

  Kind kind = Kind::kWhole;
  absl::InlinedVector<ByteRange, 2> ranges;  // of kRanges
};

// `field` is the value of Range; empty: there is none.
RangeSelection SelectRanges(absl::string_view field, int64_t file_size);

}  // namespace baton

#endif  // BATON_WORKER_FILES_BYTE_RANGES_H_
