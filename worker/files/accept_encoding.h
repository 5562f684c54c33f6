#ifndef BATON_WORKER_FILES_ACCEPT_ENCODING_H_
#define BATON_WORKER_FILES_ACCEPT_ENCODING_H_

// The field Accept-Encoding (RFC 9110 section 12.5.3) against what there is of
// a file.
//
// Contract
// * A coding is taken if the field names it with a weight above 0, or does not
//   name it and has a `*` with one. Identity is taken also if the field neither
//   names it nor has a `*`, but then any other that is taken goes before it.
// * Among those that are taken the greatest weight wins; at equal weights
//   brotli goes before gzip, and gzip before identity.
// * When nothing that there is is taken, it is identity: never an error.
// * Without the field nothing but identity is sent, though any coding might be:
//   whoever says nothing can seldom decode.
// * A malformed element is skipped; of two for one coding the first counts.
//   "x-gzip" is gzip.

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace baton {

enum class ContentCoding : uint8_t { kIdentity, kGzip, kBrotli };

// "gzip", "br"; empty for identity: as in Content-Encoding.
absl::string_view ContentCodingName(ContentCoding coding);

// Codings that there are of a file; there is always identity.
struct AvailableCodings {
  bool gzip = false;
  bool brotli = false;
};

// What a client takes.
class AcceptedCodings {
 public:
  // Nothing but identity.
  AcceptedCodings() = default;

  // nullopt: the field is not there. Several lines are joined by ", ".
  static AcceptedCodings Parse(std::optional<absl::string_view> field);

  bool Takes(ContentCoding coding) const;
  // Whether one but identity is taken: else there is nothing to look for.
  bool TakesAnyCoding() const { return gzip_ > 0 || brotli_ > 0; }
  ContentCoding Choose(AvailableCodings available) const;

 private:
  // 0: not taken. In half thousandths: what is taken unnamed has one of them,
  // less than any weight that a field can give.
  static constexpr uint16_t kUnit = 2;
  uint16_t identity_ = 1;
  uint16_t gzip_ = 0;
  uint16_t brotli_ = 0;
};

// AcceptedCodings::Parse(field).Choose(available).
ContentCoding ChooseCoding(std::optional<absl::string_view> field,
                           AvailableCodings available);

}  // namespace baton

#endif  // BATON_WORKER_FILES_ACCEPT_ENCODING_H_
