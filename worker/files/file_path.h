#ifndef BATON_WORKER_FILES_FILE_PATH_H_
#define BATON_WORKER_FILES_FILE_PATH_H_

// From the path of a request to that of a file below a root, and back.
//
// Problem: `..` has many spellings, and most servers have at some time
// forgotten one. This is the first of two gates; the kernel, asked to resolve
// beneath the root only, is the second.
//
// Contract
// * Escapes are decoded once. What they yield is a byte of a name, never a
//   separator: %2F is refused.
// * `.` and `..` are removed from the text, however they are spelled (RFC 3986
//   section 5.2.4; not all clients do it themselves: apt asks for
//   "/debian/./Packages"). A `..` that would leave the root is refused.
// * Refused is any other segment that begins with a dot, a dot-file, but for
//   `.well-known` as the first segment (RFC 8615). Also NUL, a '%' without two
//   hex digits, a segment of more than 255 bytes, and more than
//   kMaxFilePathBytes in all.
// * Empty segments are dropped: "//a" is "a".
// * All else is a byte of a name: a backslash, a colon, UTF-8 or not.
// * So `relative` is never absolute, and no segment of it is empty, `.` or
//   `..`.

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace baton {

inline constexpr size_t kMaxFilePathBytes = 4000;
inline constexpr size_t kMaxFileNameBytes = 255;

struct FilePath {
  std::string relative;          // "a/b"; empty: the root
  bool names_directory = false;  // the path ended with '/', "/." or "/.."

  bool operator==(const FilePath&) const = default;
};

// `raw` is HttpHead::path. nullopt: there can be no such file (404).
std::optional<FilePath> DecodeFilePath(absl::string_view raw);

// The canonical path of a request for it: '/' and `relative`, with all encoded
// that is not plain in a Location field, in HTML text or in an attribute in
// quotes of either kind. One '/' at the end of `relative` is kept; others that
// separate nothing are dropped, so the result never begins with "//".
std::string EncodeFilePath(absl::string_view relative);
std::string EncodeFilePath(const FilePath& path);

// Whether `raw` can be decoded, and encodes to itself. One pass, no allocation.
bool IsCanonicalFilePath(absl::string_view raw);

}  // namespace baton

#endif  // BATON_WORKER_FILES_FILE_PATH_H_
