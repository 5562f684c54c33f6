#include "worker/files/media_type.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace baton {
namespace {

// An extension of up to eight bytes in lower case, the first one highest and
// zeros behind; and where in kTypes its type is.
struct Short {
  uint64_t key;
  uint16_t offset;
  uint16_t size;
};

// A longer one.
struct Long {
  absl::string_view extension;
  uint16_t offset;
  uint16_t size;
};

// kTypes, kShort in the order of its keys, kLong.
#include "worker/files/media_types.inc"

constexpr absl::string_view kUnknown = "application/octet-stream";

absl::string_view TypeAt(uint16_t offset, uint16_t size) {
  return absl::string_view(kTypes, sizeof(kTypes) - 1).substr(offset, size);
}

uint64_t KeyOf(absl::string_view extension) {
  uint64_t key = 0;
  for (size_t i = 0; i < sizeof(key); ++i) {
    const auto byte =
        static_cast<unsigned char>(i < extension.size() ? extension[i] : '\0');
    key = key << 8 | static_cast<unsigned char>(absl::ascii_tolower(byte));
  }
  return key;
}

}  // namespace

absl::string_view MediaType(absl::string_view path) {
  const size_t dot = path.find_last_of("./");
  if (dot == absl::string_view::npos || path[dot] == '/') return kUnknown;
  const absl::string_view extension = path.substr(dot + 1);
  if (extension.size() > sizeof(uint64_t)) {
    for (const Long& entry : kLong) {
      if (absl::EqualsIgnoreCase(extension, entry.extension)) {
        return TypeAt(entry.offset, entry.size);
      }
    }
    return kUnknown;
  }
  const uint64_t key = KeyOf(extension);
  const Short* const entry = std::lower_bound(
      std::begin(kShort), std::end(kShort), key,
      [](const Short& one, uint64_t sought) { return one.key < sought; });
  if (entry == std::end(kShort) || entry->key != key) return kUnknown;
  return TypeAt(entry->offset, entry->size);
}

}  // namespace baton
