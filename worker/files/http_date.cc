#include "worker/files/http_date.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/civil_time.h"

namespace baton {
namespace {

using Names = std::array<absl::string_view, 12>;

// From Monday on, as absl::Weekday.
constexpr Names kDays = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
constexpr Names kLongDays = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                             "Friday", "Saturday", "Sunday"};
constexpr Names kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

constexpr absl::CivilSecond kEpoch(1970, 1, 1);

absl::CivilSecond ToCivil(int64_t unix_seconds) {
  constexpr int64_t kFirst = absl::CivilSecond(0, 1, 1) - kEpoch;
  constexpr int64_t kLast =
      absl::CivilSecond(9999, 12, 31, 23, 59, 59) - kEpoch;
  return kEpoch + std::clamp(unix_seconds, kFirst, kLast);
}

// Takes a date from the left; what was not as told makes all of it wrong.
class Reader {
 public:
  explicit Reader(absl::string_view text) : text_(text) {}

  bool done() const { return is_good_ && text_.empty(); }

  bool Skip(absl::string_view literal) {
    const bool is_there = absl::ConsumePrefix(&text_, literal);
    is_good_ &= is_there;
    return is_there;
  }

  int Number(size_t digits) {
    const absl::string_view part = text_.substr(0, digits);
    is_good_ &= part.size() == digits &&
                std::all_of(part.begin(), part.end(), absl::ascii_isdigit);
    if (!is_good_) return 0;
    text_.remove_prefix(digits);
    int number = 0;
    for (const char digit : part) number = number * 10 + (digit - '0');
    return number;
  }

  // Of two places; the first may be blank.
  int PaddedNumber() {
    return Number(absl::ConsumePrefix(&text_, " ") ? 1 : 2);
  }

  // The place of the one of `names` that is next.
  int Name(const Names& names) {
    for (size_t i = 0; i < names.size() && !names[i].empty(); ++i) {
      if (absl::ConsumePrefix(&text_, names[i])) return static_cast<int>(i);
    }
    is_good_ = false;
    return 0;
  }

 private:
  absl::string_view text_;
  bool is_good_ = true;
};

struct Parts {
  int64_t year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

absl::CivilSecond ToCivil(const Parts& parts) {
  return absl::CivilSecond(parts.year, parts.month, parts.day, parts.hour,
                           parts.minute, parts.second);
}

std::optional<int64_t> ToSeconds(const Parts& parts) {
  const absl::CivilDay day(parts.year, parts.month, parts.day);
  const bool is_day = day.month() == parts.month && day.day() == parts.day;
  if (!is_day || parts.hour > 23 || parts.minute > 59 || parts.second > 60) {
    return std::nullopt;
  }
  return ToCivil(parts) - kEpoch;
}

void ReadTime(Reader& reader, Parts& parts) {
  parts.hour = reader.Number(2);
  reader.Skip(":");
  parts.minute = reader.Number(2);
  reader.Skip(":");
  parts.second = reader.Number(2);
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::optional<int64_t> ParseFixed(absl::string_view text) {
  Reader reader(text);
  Parts parts;
  reader.Name(kDays);
  reader.Skip(", ");
  parts.day = reader.Number(2);
  reader.Skip(" ");
  parts.month = reader.Name(kMonths) + 1;
  reader.Skip(" ");
  parts.year = reader.Number(4);
  reader.Skip(" ");
  ReadTime(reader, parts);
  reader.Skip(" GMT");
  if (!reader.done()) return std::nullopt;
  return ToSeconds(parts);
}

// "Sunday, 06-Nov-94 08:49:37 GMT"
std::optional<int64_t> ParseRfc850(absl::string_view text, int64_t now) {
  Reader reader(text);
  Parts parts;
  reader.Name(kLongDays);
  reader.Skip(", ");
  parts.day = reader.Number(2);
  reader.Skip("-");
  parts.month = reader.Name(kMonths) + 1;
  reader.Skip("-");
  parts.year = reader.Number(2);
  reader.Skip(" ");
  ReadTime(reader, parts);
  reader.Skip(" GMT");
  if (!reader.done()) return std::nullopt;

  const absl::CivilSecond today = ToCivil(now);
  const absl::CivilSecond latest(today.year() + 50, today.month(), today.day(),
                                 today.hour(), today.minute(), today.second());
  parts.year += today.year() - today.year() % 100 + 100;
  while (ToCivil(parts) > latest) parts.year -= 100;
  return ToSeconds(parts);
}

// "Sun Nov  6 08:49:37 1994"
std::optional<int64_t> ParseAsctime(absl::string_view text) {
  Reader reader(text);
  Parts parts;
  reader.Name(kDays);
  reader.Skip(" ");
  parts.month = reader.Name(kMonths) + 1;
  reader.Skip(" ");
  parts.day = reader.PaddedNumber();
  reader.Skip(" ");
  ReadTime(reader, parts);
  reader.Skip(" ");
  parts.year = reader.Number(4);
  if (!reader.done()) return std::nullopt;
  return ToSeconds(parts);
}

}  // namespace

std::string FormatHttpDate(int64_t unix_seconds) {
  const absl::CivilSecond time = ToCivil(unix_seconds);
  const auto two = [](int number) {
    return absl::Dec(number, absl::kZeroPad2);
  };
  const auto day = static_cast<size_t>(absl::GetWeekday(time));
  const auto month = static_cast<size_t>(time.month() - 1);
  const std::string clock = absl::StrCat(
      two(time.hour()), ":", two(time.minute()), ":", two(time.second()));
  return absl::StrCat(kDays[day], ", ", two(time.day()), " ", kMonths[month],
                      " ", absl::Dec(time.year(), absl::kZeroPad4), " ", clock,
                      " GMT");
}

std::optional<int64_t> ParseHttpDate(absl::string_view text, int64_t now) {
  if (text.size() < 4) return std::nullopt;
  if (text[3] == ',') return ParseFixed(text);
  if (text[3] == ' ') return ParseAsctime(text);
  return ParseRfc850(text, now);
}

}  // namespace baton
