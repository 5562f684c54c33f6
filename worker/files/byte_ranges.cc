#include "worker/files/byte_ranges.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

using Ranges = absl::InlinedVector<ByteRange, 2>;
using Kind = RangeSelection::Kind;

constexpr absl::string_view kUnit = "bytes=";
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

// "first-last", "first-", or "-last": the last `last` bytes.
struct Spec {
  bool is_suffix = false;
  int64_t first = 0;
  int64_t last = kMost;
};

// Takes the digits at the left of `text`; nullopt if there are none.
std::optional<int64_t> TakeNumber(absl::string_view& text) {
  if (text.empty() || !absl::ascii_isdigit(text.front())) return std::nullopt;
  int64_t number = 0;
  while (!text.empty() && absl::ascii_isdigit(text.front())) {
    const int digit = text.front() - '0';
    number = number > (kMost - digit) / 10 ? kMost : number * 10 + digit;
    text.remove_prefix(1);
  }
  return number;
}

std::optional<Spec> ParseSpec(absl::string_view text) {
  Spec spec;
  const std::optional<int64_t> first = TakeNumber(text);
  if (!absl::ConsumePrefix(&text, "-")) return std::nullopt;
  const std::optional<int64_t> last = TakeNumber(text);
  if (!text.empty() || !(first.has_value() || last.has_value())) {
    return std::nullopt;
  }
  spec.is_suffix = !first.has_value();
  spec.first = first.value_or(spec.first);
  spec.last = last.value_or(spec.last);
  if (!spec.is_suffix && spec.last < spec.first) return std::nullopt;
  return spec;
}

// Empty if there are no such bytes.
ByteRange Resolve(const Spec& spec, int64_t file_size) {
  if (spec.is_suffix) {
    const int64_t size = std::min(spec.last, file_size);
    return {.offset = file_size - size, .size = size};
  }
  if (spec.first >= file_size) return {};
  return {.offset = spec.first,
          .size = std::min(spec.last, file_size - 1) - spec.first + 1};
}

void Add(const ByteRange& range, Ranges& ranges) {
  const int64_t end = range.offset + range.size;
  const auto touches = [&range, end](const ByteRange& other) {
    return other.offset <= end && range.offset <= other.offset + other.size;
  };
  const auto place = std::find_if(ranges.begin(), ranges.end(), touches);
  if (place == ranges.end()) {
    ranges.push_back(range);
    return;
  }
  // Those that are there do not touch each other: so none touches the joined
  // one that does not touch `range`.
  int64_t joined_begin = range.offset;
  int64_t joined_end = end;
  for (auto it = place; it != ranges.end(); ++it) {
    if (!touches(*it)) continue;
    joined_begin = std::min(joined_begin, it->offset);
    joined_end = std::max(joined_end, it->offset + it->size);
  }
  ranges.erase(std::remove_if(place + 1, ranges.end(), touches), ranges.end());
  *place = {.offset = joined_begin, .size = joined_end - joined_begin};
}

}  // namespace

RangeSelection SelectRanges(absl::string_view field, int64_t file_size) {
  const RangeSelection whole;
  if (!absl::StartsWithIgnoreCase(field, kUnit)) return whole;
  RangeSelection selection;
  bool is_any = false;
  bool is_end_of_nothing = false;
  for (const absl::string_view element :
       absl::StrSplit(field.substr(kUnit.size()), ',')) {
    const absl::string_view text = absl::StripAsciiWhitespace(element);
    if (text.empty()) continue;
    const std::optional<Spec> spec = ParseSpec(text);
    if (!spec.has_value()) return whole;
    is_any = true;
    is_end_of_nothing |= file_size == 0 && spec->is_suffix && spec->last > 0;
    const ByteRange range = Resolve(*spec, file_size);
    if (range.size > 0) Add(range, selection.ranges);
    if (selection.ranges.size() > kMaxByteRanges) return whole;
  }
  if (!is_any || is_end_of_nothing) return whole;
  selection.kind =
      selection.ranges.empty() ? Kind::kUnsatisfiable : Kind::kRanges;
  return selection;
}

}  // namespace baton
