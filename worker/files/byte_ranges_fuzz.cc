// Ranges against a reference that is slow and plain: of a small file every byte
// is looked at.

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "worker/files/byte_ranges.h"

namespace baton {
namespace {

using Kind = RangeSelection::Kind;

constexpr int64_t kSmall = 64;
using Bytes = std::bitset<kSmall>;

int64_t Number(absl::string_view digits) {
  for (const char c : digits) CHECK(absl::ascii_isdigit(c));
  int64_t number = 0;
  // Saturates; false says only that it did.
  if (!absl::SimpleAtoi(digits, &number)) {
    CHECK_EQ(number, std::numeric_limits<int64_t>::max());
  }
  return number;
}

// What one range comes to in a small file; nullopt: it is malformed.
struct Part {
  Bytes bytes;
  bool is_end_of_nothing = false;
};

std::optional<Part> ReadPart(absl::string_view text, int64_t file_size) {
  const std::vector<absl::string_view> ends = absl::StrSplit(text, '-');
  if (ends.size() != 2 || (ends[0].empty() && ends[1].empty())) return {};
  for (const absl::string_view end : ends) {
    if (!std::all_of(end.begin(), end.end(), absl::ascii_isdigit)) return {};
  }
  Part part;
  for (int64_t i = 0; i < file_size; ++i) {
    if (ends[0].empty()) {
      part.bytes[i] = i >= file_size - std::min(Number(ends[1]), file_size);
    } else {
      part.bytes[i] =
          i >= Number(ends[0]) && (ends[1].empty() || i <= Number(ends[1]));
    }
  }
  if (ends[0].empty()) {
    part.is_end_of_nothing = file_size == 0 && Number(ends[1]) > 0;
  } else if (!ends[1].empty() && Number(ends[1]) < Number(ends[0])) {
    return {};
  }
  return part;
}

// The unbroken stretches of `bytes`.
std::vector<ByteRange> Stretches(const Bytes& bytes) {
  std::vector<ByteRange> stretches;
  for (int64_t i = 0; i < kSmall; ++i) {
    if (!bytes[i]) continue;
    if (i == 0 || !bytes[i - 1]) stretches.push_back({.offset = i});
    ++stretches.back().size;
  }
  return stretches;
}

// Which of the parts was the first to have something of it.
size_t FirstOf(const ByteRange& stretch, const std::vector<Bytes>& parts) {
  size_t first = 0;
  const auto has_some = [&stretch](const Bytes& part) {
    for (int64_t i = 0; i < stretch.size; ++i) {
      if (part[stretch.offset + i]) return true;
    }
    return false;
  };
  while (!has_some(parts[first])) ++first;
  return first;
}

RangeSelection Expected(absl::string_view field, int64_t file_size) {
  const std::string lower = absl::AsciiStrToLower(field);
  if (!absl::StartsWith(lower, "bytes=")) return {};
  std::vector<Bytes> parts;
  Bytes all;
  bool is_whole = false;
  for (absl::string_view text : absl::StrSplit(lower.substr(6), ',')) {
    text = absl::StripAsciiWhitespace(text);
    if (text.empty()) continue;
    const std::optional<Part> part = ReadPart(text, file_size);
    if (!part.has_value()) return {};
    parts.push_back(part->bytes);
    all |= part->bytes;
    is_whole |=
        part->is_end_of_nothing || Stretches(all).size() > kMaxByteRanges;
  }
  if (parts.empty() || is_whole) return {};
  std::vector<ByteRange> stretches = Stretches(all);
  std::sort(stretches.begin(), stretches.end(),
            [&parts](const ByteRange& a, const ByteRange& b) {
              return FirstOf(a, parts) < FirstOf(b, parts);
            });
  RangeSelection selection;
  selection.kind = stretches.empty() ? Kind::kUnsatisfiable : Kind::kRanges;
  selection.ranges.assign(stretches.begin(), stretches.end());
  return selection;
}

// For a file of any size.
void CheckProperties(absl::string_view field, int64_t file_size) {
  const RangeSelection selection = SelectRanges(field, file_size);
  CHECK_EQ(selection.ranges.empty(), selection.kind != Kind::kRanges);
  CHECK_LE(selection.ranges.size(), kMaxByteRanges);
  std::vector<ByteRange> sorted(selection.ranges.begin(),
                                selection.ranges.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const ByteRange& a, const ByteRange& b) {
              return a.offset < b.offset;
            });
  int64_t end = -1;
  for (const ByteRange& range : sorted) {
    // They do not even touch.
    CHECK_GT(range.offset, end);
    CHECK_GT(range.size, 0);
    CHECK_LE(range.size, file_size - range.offset);
    end = range.offset + range.size;
  }
}

void Check(absl::string_view field, int64_t file_size) {
  CheckProperties(field, file_size);
  const int64_t small = file_size % (kSmall + 1);
  const RangeSelection selection = SelectRanges(field, small);
  const RangeSelection expected = Expected(field, small);
  CHECK(selection.kind == expected.kind) << field << " of " << small;
  CHECK(selection.ranges == expected.ranges) << field << " of " << small;
}

}  // namespace
}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The first eight bytes say how long the file is.
  uint64_t file_size = 0;
  if (size < sizeof(file_size)) return 0;
  std::memcpy(&file_size, data, sizeof(file_size));
  const absl::string_view field(
      reinterpret_cast<const char*>(data) + sizeof(file_size),
      size - sizeof(file_size));
  const auto most = uint64_t{std::numeric_limits<int64_t>::max()};
  baton::Check(field, static_cast<int64_t>(file_size & most));
  return 0;
}
