#ifndef BATON_WORKER_FILES_PRECONDITIONS_H_
#define BATON_WORKER_FILES_PRECONDITIONS_H_

// What a request for a file depends on: RFC 9110 section 13.
//
// Problem: seven fields decide what is sent of a file, and most requests have
// none of them, or Accept-Encoding alone.
//
// Contract
// * Collecting is one pass; a field of another name costs a look at the length
//   of the name and mostly nothing else.
// * The views point into the head, or into what this object owns: it may be
//   moved, and lives no longer than the head.
// * If-Match, If-None-Match and Accept-Encoding are lists: what several lines
//   say is joined by ", ". The others are not: a date or Range that is there
//   twice is as if it were not there; If-Range twice is one that never applies,
//   for to ignore it would be to paste parts of two files together.
// * For GET and HEAD of a file that exists. Times are in seconds since 1970.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/http/http_head.h"

namespace baton {

struct FileConditions {
  static FileConditions Collect(absl::Span<const HttpField> fields);

  std::optional<absl::string_view> if_match;
  std::optional<absl::string_view> if_none_match;
  std::optional<absl::string_view> if_modified_since;
  std::optional<absl::string_view> if_unmodified_since;
  std::optional<absl::string_view> if_range;
  std::optional<absl::string_view> range;
  std::optional<absl::string_view> accept_encoding;

  // Whether any of them is there.
  bool any() const { return any_but_coding || accept_encoding.has_value(); }
  // Whether any is there but Accept-Encoding. Without, the answer is 200 and
  // the whole file, in the coding to be chosen.
  bool any_but_coding = false;

  // Lists of several lines, joined; for the views above.
  struct Joined {
    std::string if_match;
    std::string if_none_match;
    std::string accept_encoding;
  };
  std::unique_ptr<Joined> joined;
};

// Of the file as it would be sent.
struct Validators {
  absl::string_view etag;  // with its quotes; strong
  int64_t modified = 0;
};

enum class Precondition : uint8_t {
  kProceed,
  kNotModified,  // 304
  kFailed,       // 412
};

// By RFC 9110 section 13.2.2. A list is read up to where it is malformed. An
// If-(Un)Modified-Since that is no date is ignored, and so is an
// If-Modified-Since after `now`, or beside an If-None-Match.
Precondition CheckPreconditions(const FileConditions& conditions,
                                const Validators& validators, int64_t now);

// Whether Range counts: there is no If-Range, or it has the very etag, or the
// very date of a file that was modified at least a second before `now`: one
// younger may change without its date doing so (RFC 9110 section 13.1.5).
bool RangeApplies(const FileConditions& conditions,
                  const Validators& validators, int64_t now);

}  // namespace baton

#endif  // BATON_WORKER_FILES_PRECONDITIONS_H_
