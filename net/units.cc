#include "net/units.h"

#include <charconv>
#include <limits>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "net/quote.h"

namespace baton {
namespace {

struct Unit {
  absl::string_view name;
  int64_t factor;
};

// Smallest first. The first is what a remainder is shown in.
constexpr Unit kDurationUnits[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};
constexpr Unit kSizeUnits[] = {
    {"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};

constexpr int64_t kMaxBytes = std::numeric_limits<int64_t>::max();
// So that a duration also fits where nanoseconds are kept in an int64_t.
constexpr int64_t kMaxMilliseconds =
    std::numeric_limits<int64_t>::max() / 1000000;

enum class Verdict { kOk, kMalformed, kTooLarge };

Verdict Parse(absl::string_view text, absl::Span<const Unit> units, int64_t max,
              int64_t& value) {
  uint64_t number = 0;
  const char* const end = text.data() + text.size();
  // from_chars takes digits only: no blanks, no sign for an unsigned type.
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc::invalid_argument) return Verdict::kMalformed;
  const absl::string_view name(rest, static_cast<size_t>(end - rest));
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (error == std::errc::result_out_of_range ||
        number > static_cast<uint64_t>(max / unit.factor)) {
      return Verdict::kTooLarge;
    }
    value = static_cast<int64_t>(number) * unit.factor;
    return Verdict::kOk;
  }
  return Verdict::kMalformed;
}

absl::Status Error(Verdict verdict, absl::string_view what,
                   absl::string_view text, absl::string_view allowed,
                   absl::string_view most) {
  if (verdict == Verdict::kTooLarge) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, " ", Quote(text), " is too large: ", most, " is the most"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("bad ", what, " ", Quote(text), ": ", allowed));
}

// The coarsest unit that says `value` exactly.
std::string Format(int64_t value, absl::Span<const Unit> units) {
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) best = &unit;
  }
  return absl::StrCat(value / best->factor, best->name);
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  int64_t milliseconds = 0;
  const Verdict verdict =
      Parse(text, kDurationUnits, kMaxMilliseconds, milliseconds);
  if (verdict == Verdict::kOk) return absl::Milliseconds(milliseconds);
  return Error(verdict, "duration", text,
               "a whole number and a unit (ms, s, m, h), such as 250ms or 20s",
               DurationToString(absl::Hours(kMaxMilliseconds / 3600000)));
}

absl::StatusOr<int64_t> ParseSize(absl::string_view text) {
  int64_t bytes = 0;
  const Verdict verdict = Parse(text, kSizeUnits, kMaxBytes, bytes);
  if (verdict == Verdict::kOk) return bytes;
  return Error(verdict, "size", text,
               "a whole number of bytes, or with a unit (KiB, MiB, GiB), such "
               "as 64KiB or 10MiB",
               SizeToString(kMaxBytes));
}

std::string DurationToString(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return "inf";
  if (duration == -absl::InfiniteDuration()) return "-inf";
  const int64_t milliseconds = absl::ToInt64Milliseconds(duration);
  if (milliseconds == 0) return "0s";
  return Format(milliseconds, kDurationUnits);
}

std::string SizeToString(int64_t bytes) { return Format(bytes, kSizeUnits); }

}  // namespace baton
