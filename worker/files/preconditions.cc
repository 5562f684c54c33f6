#include "worker/files/preconditions.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "worker/files/http_date.h"

namespace baton {
namespace {

using Joined = FileConditions::Joined;
using Value = std::optional<absl::string_view>;

// Takes the fields of one head.
class Collector {
 public:
  void Take(const HttpField& field);
  FileConditions Finish() &&;

 private:
  static bool Is(const HttpField& field, absl::string_view name) {
    return absl::EqualsIgnoreCase(field.name, name);
  }

  static void Single(Value& value, bool& is_repeated, const HttpField& field) {
    is_repeated |= value.has_value();
    value = field.value;
  }

  void List(Value& value, std::string Joined::* storage,
            const HttpField& field) {
    if (!value.has_value()) {
      value = field.value;
      return;
    }
    if (result_.joined == nullptr) result_.joined = std::make_unique<Joined>();
    std::string& text = (*result_.joined).*storage;
    if (text.empty()) text = std::string(*value);
    absl::StrAppend(&text, ", ", field.value);
    value = text;
  }

  FileConditions result_;
  bool is_range_repeated_ = false;
  bool is_if_range_repeated_ = false;
  bool is_modified_repeated_ = false;
  bool is_unmodified_repeated_ = false;
};

void Collector::Take(const HttpField& field) {
  switch (field.name.size()) {
    case 5:
      if (Is(field, "range")) {
        Single(result_.range, is_range_repeated_, field);
      }
      break;
    case 8:
      if (Is(field, "if-match")) {
        List(result_.if_match, &Joined::if_match, field);
      } else if (Is(field, "if-range")) {
        Single(result_.if_range, is_if_range_repeated_, field);
      }
      break;
    case 13:
      if (Is(field, "if-none-match")) {
        List(result_.if_none_match, &Joined::if_none_match, field);
      }
      break;
    case 15:
      if (Is(field, "accept-encoding")) {
        List(result_.accept_encoding, &Joined::accept_encoding, field);
      }
      break;
    case 17:
      if (Is(field, "if-modified-since")) {
        Single(result_.if_modified_since, is_modified_repeated_, field);
      }
      break;
    case 19:
      if (Is(field, "if-unmodified-since")) {
        Single(result_.if_unmodified_since, is_unmodified_repeated_, field);
      }
      break;
    default:
      break;
  }
}

FileConditions Collector::Finish() && {
  if (is_range_repeated_) result_.range.reset();
  if (is_modified_repeated_) result_.if_modified_since.reset();
  if (is_unmodified_repeated_) result_.if_unmodified_since.reset();
  // Neither an etag nor a date.
  if (is_if_range_repeated_) result_.if_range = absl::string_view();
  result_.any_but_coding =
      result_.if_match.has_value() || result_.if_none_match.has_value() ||
      result_.if_modified_since.has_value() ||
      result_.if_unmodified_since.has_value() || result_.if_range.has_value() ||
      result_.range.has_value();
  return std::move(result_);
}

enum class Comparison : uint8_t { kStrong, kWeak };

// Whether `etag`, which is strong, is in the value of If-(None-)Match.
bool IsListed(absl::string_view etag, absl::string_view list,
              Comparison comparison) {
  if (list == "*") return true;
  while (true) {
    list.remove_prefix(std::min(list.find_first_not_of(" \t,"), list.size()));
    const bool is_weak = absl::ConsumePrefix(&list, "W/");
    if (!absl::StartsWith(list, "\"")) return false;
    // Within the quotes a comma is like any other.
    const size_t end = list.find('"', 1);
    if (end == absl::string_view::npos) return false;
    const absl::string_view tag = list.substr(0, end + 1);
    list = absl::StripLeadingAsciiWhitespace(list.substr(end + 1));
    if (!list.empty() && list.front() != ',') return false;
    if (tag == etag && (comparison == Comparison::kWeak || !is_weak)) {
      return true;
    }
  }
}

bool IsModified(const FileConditions& conditions, const Validators& validators,
                int64_t now) {
  if (conditions.if_none_match.has_value()) {
    return !IsListed(validators.etag, *conditions.if_none_match,
                     Comparison::kWeak);
  }
  if (!conditions.if_modified_since.has_value()) return true;
  const std::optional<int64_t> date =
      ParseHttpDate(*conditions.if_modified_since, now);
  return !date.has_value() || *date > now || validators.modified > *date;
}

bool IsAsExpected(const FileConditions& conditions,
                  const Validators& validators, int64_t now) {
  if (conditions.if_match.has_value()) {
    return IsListed(validators.etag, *conditions.if_match, Comparison::kStrong);
  }
  if (!conditions.if_unmodified_since.has_value()) return true;
  const std::optional<int64_t> date =
      ParseHttpDate(*conditions.if_unmodified_since, now);
  return !date.has_value() || validators.modified <= *date;
}

}  // namespace

FileConditions FileConditions::Collect(absl::Span<const HttpField> fields) {
  Collector collector;
  for (const HttpField& field : fields) collector.Take(field);
  return std::move(collector).Finish();
}

Precondition CheckPreconditions(const FileConditions& conditions,
                                const Validators& validators, int64_t now) {
  if (!conditions.any_but_coding) return Precondition::kProceed;
  if (!IsAsExpected(conditions, validators, now)) return Precondition::kFailed;
  return IsModified(conditions, validators, now) ? Precondition::kProceed
                                                 : Precondition::kNotModified;
}

bool RangeApplies(const FileConditions& conditions,
                  const Validators& validators, int64_t now) {
  if (!conditions.if_range.has_value()) return true;
  const absl::string_view value = *conditions.if_range;
  if (absl::StartsWith(value, "\"")) return value == validators.etag;
  return validators.modified < now &&
         ParseHttpDate(value, now) == validators.modified;
}

}  // namespace baton
