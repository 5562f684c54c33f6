// What a head says about a file: dates, etags, ranges and codings in lines of
// any shape. Nothing crashes, and what follows from what does follow.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "worker/files/accept_encoding.h"
#include "worker/files/http_date.h"
#include "worker/files/preconditions.h"
#include "worker/http/http_head.h"

namespace baton {
namespace {

using Value = std::optional<absl::string_view>;

constexpr absl::string_view kEtag = "\"a\"";
constexpr int64_t kLastYear = 253402300799;  // its end: 9999

std::vector<HttpField> ReadFields(absl::string_view text) {
  std::vector<HttpField> fields;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    fields.push_back(
        {.name = pair.first, .value = absl::StripAsciiWhitespace(pair.second)});
  }
  return fields;
}

std::vector<absl::string_view> ValuesOf(absl::Span<const HttpField> fields,
                                        absl::string_view name) {
  std::vector<absl::string_view> values;
  for (const HttpField& field : fields) {
    if (absl::EqualsIgnoreCase(field.name, name)) values.push_back(field.value);
  }
  return values;
}

void CheckSingle(absl::Span<const HttpField> fields, absl::string_view name,
                 Value value, Value if_repeated) {
  const std::vector<absl::string_view> values = ValuesOf(fields, name);
  if (values.empty()) CHECK(!value.has_value());
  if (values.size() == 1) CHECK(value == values[0]);
  if (values.size() > 1) CHECK(value == if_repeated);
}

void CheckList(absl::Span<const HttpField> fields, absl::string_view name,
               Value value) {
  const std::vector<absl::string_view> values = ValuesOf(fields, name);
  CHECK_EQ(value.has_value(), !values.empty());
  // Not StrJoin(), which minds an empty view of nothing.
  std::string joined;
  for (const absl::string_view& one : values) {
    absl::StrAppend(&joined, &one == values.data() ? "" : ", ", one);
  }
  CHECK_EQ(value.value_or(""), joined);
}

void CheckCollected(absl::Span<const HttpField> fields,
                    const FileConditions& conditions) {
  CheckSingle(fields, "Range", conditions.range, std::nullopt);
  CheckSingle(fields, "If-Range", conditions.if_range, "");
  CheckSingle(fields, "If-Modified-Since", conditions.if_modified_since,
              std::nullopt);
  CheckSingle(fields, "If-Unmodified-Since", conditions.if_unmodified_since,
              std::nullopt);
  CheckList(fields, "If-Match", conditions.if_match);
  CheckList(fields, "If-None-Match", conditions.if_none_match);
  CheckList(fields, "Accept-Encoding", conditions.accept_encoding);
  CHECK_EQ(conditions.any_but_coding,
           conditions.range || conditions.if_range ||
               conditions.if_modified_since || conditions.if_unmodified_since ||
               conditions.if_match || conditions.if_none_match);
  CHECK_EQ(conditions.any(),
           conditions.any_but_coding || conditions.accept_encoding);
}

Precondition CheckAt(const FileConditions& conditions, int64_t modified,
                     int64_t now) {
  return CheckPreconditions(conditions, {.etag = kEtag, .modified = modified},
                            now);
}

void CheckOutcome(const FileConditions& conditions, int64_t modified,
                  int64_t now) {
  const Precondition outcome = CheckAt(conditions, modified, now);
  const Precondition later = CheckAt(conditions, modified + 1, now);
  // A file that is newer is still changed where it was changed before.
  if (outcome == Precondition::kFailed) CHECK(later == outcome);
  if (outcome == Precondition::kProceed) {
    CHECK(later != Precondition::kNotModified);
  }
  if (outcome == Precondition::kNotModified) {
    CHECK(conditions.if_none_match || conditions.if_modified_since);
  }
  if (outcome == Precondition::kFailed) {
    CHECK(conditions.if_match || conditions.if_unmodified_since);
  }
  if (outcome == Precondition::kNotModified && !conditions.if_none_match) {
    const auto date = ParseHttpDate(*conditions.if_modified_since, now);
    CHECK(date.has_value() && *date >= modified && *date <= now);
  }
  const Validators validators = {.etag = kEtag, .modified = modified};
  if (RangeApplies(conditions, validators, now) && conditions.if_range) {
    CHECK(*conditions.if_range == kEtag ||
          (ParseHttpDate(*conditions.if_range, now) == modified &&
           modified < now));
  }
}

void CheckDate(absl::string_view text, int64_t now) {
  const std::optional<int64_t> date = ParseHttpDate(text, now);
  if (!date.has_value()) return;
  // A leap second leads out of the year 9999.
  if (*date > kLastYear) return;
  const std::string written = FormatHttpDate(*date);
  CHECK_EQ(written.size(), 29u);
  CHECK(ParseHttpDate(written, now) == date) << written;
}

void CheckCodings(Value field) {
  const AcceptedCodings codings = AcceptedCodings::Parse(field);
  for (const bool gzip : {false, true}) {
    for (const bool brotli : {false, true}) {
      const ContentCoding coding =
          codings.Choose({.gzip = gzip, .brotli = brotli});
      CHECK(gzip || coding != ContentCoding::kGzip);
      CHECK(brotli || coding != ContentCoding::kBrotli);
      const bool is_any_taken =
          codings.Takes(ContentCoding::kIdentity) ||
          (gzip && codings.Takes(ContentCoding::kGzip)) ||
          (brotli && codings.Takes(ContentCoding::kBrotli));
      CHECK(codings.Takes(coding) ||
            (!is_any_taken && coding == ContentCoding::kIdentity));
      CHECK(coding == ContentCoding::kIdentity || codings.TakesAnyCoding());
    }
  }
  // What is said first is not unsaid.
  const std::string none =
      absl::StrCat("br;q=0, x-gzip;q=0,", field.value_or(""));
  CHECK(!AcceptedCodings::Parse(none).TakesAnyCoding()) << none;
}

void Check(absl::string_view text, int64_t now, int64_t modified) {
  const std::vector<HttpField> fields = ReadFields(text);
  FileConditions collected = FileConditions::Collect(fields);
  const FileConditions conditions = std::move(collected);
  CheckCollected(fields, conditions);
  CheckOutcome(conditions, modified, now);
  CheckCodings(conditions.accept_encoding);
  for (const HttpField& field : fields) {
    CheckDate(field.value, now);
    CheckCodings(field.value);
  }
  const std::string written = FormatHttpDate(modified);
  CHECK(ParseHttpDate(written, now) == modified) << written;
}

}  // namespace
}  // namespace baton

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // The first eight bytes say what time it is, and when the file was modified.
  uint32_t now = 0;
  int32_t age = 0;
  if (size < sizeof(now) + sizeof(age)) return 0;
  std::memcpy(&now, data, sizeof(now));
  std::memcpy(&age, data + sizeof(now), sizeof(age));
  const absl::string_view text(
      reinterpret_cast<const char*>(data) + sizeof(now) + sizeof(age),
      size - sizeof(now) - sizeof(age));
  baton::Check(text, now, int64_t{now} - age);
  return 0;
}
