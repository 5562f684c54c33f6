// From the path of a request to a file and back: whatever is decoded stays
// below the root by its text alone, and what is canonical is so by all three
// functions.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "worker/files/file_path.h"
#include "worker/files/media_type.h"

namespace baton {
namespace {

void CheckNames(absl::string_view relative) {
  CHECK_LE(relative.size(), kMaxFilePathBytes);
  CHECK_EQ(relative.find('\0'), absl::string_view::npos);
  if (relative.empty()) return;
  bool is_first = true;
  for (const absl::string_view name : absl::StrSplit(relative, '/')) {
    CHECK(!name.empty());
    CHECK_LE(name.size(), kMaxFileNameBytes);
    CHECK(name[0] != '.' || (is_first && name == ".well-known")) << relative;
    is_first = false;
  }
}

// Of a Location field, and of an attribute.
void CheckSafe(absl::string_view text) {
  CHECK(absl::StartsWith(text, "/"));
  CHECK(!absl::StrContains(text, "//"));
  CHECK_EQ(text.find_first_of("\"'<>&?#\\ "), absl::string_view::npos);
  for (const char c : text) CHECK(c > ' ' && c < 0x7f) << text;
}

void Check(absl::string_view raw) {
  CheckSafe(EncodeFilePath(raw));
  const std::optional<FilePath> path = DecodeFilePath(raw);
  if (!path.has_value()) {
    CHECK(!IsCanonicalFilePath(raw)) << raw;
    return;
  }
  CheckNames(path->relative);
  if (absl::EndsWith(raw, "/")) CHECK(path->names_directory);
  // RFC 3986 section 5.2.4.
  for (const char* const nowhere : {"/.", "/a/..", "/%61/b/%2e./.%2E"}) {
    const std::string longer = absl::StrCat(nowhere, raw);
    CHECK(DecodeFilePath(longer) == path) << longer;
  }
  const std::string text = EncodeFilePath(*path);
  CheckSafe(text);
  CHECK(DecodeFilePath(text) == path) << text;
  CHECK(IsCanonicalFilePath(text)) << text;
  CHECK_EQ(IsCanonicalFilePath(raw), raw == text) << raw;
  CHECK(!MediaType(path->relative).empty());
}

}  // namespace
}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  baton::Check(text);
  baton::Check(absl::StrCat("/", text));
  return 0;
}
