#include "worker/files/accept_encoding.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

using Weight = std::optional<uint16_t>;

constexpr uint16_t kFullWeight = 1000;

// "0.5": at most three digits behind the point, at most 1.
Weight ParseWeight(absl::string_view text) {
  if (text.empty() || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  int weight = (text[0] - '0') * kFullWeight;
  text.remove_prefix(1);
  if (!text.empty() && !absl::ConsumePrefix(&text, ".")) return std::nullopt;
  int unit = kFullWeight;
  for (const char digit : text) {
    unit /= 10;
    if (unit == 0 || !absl::ascii_isdigit(digit)) return std::nullopt;
    weight += (digit - '0') * unit;
  }
  if (weight > kFullWeight) return std::nullopt;
  return static_cast<uint16_t>(weight);
}

// Of what stands behind the coding.
Weight ParseParameter(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  if (text.empty()) return kFullWeight;
  if (!absl::ConsumePrefix(&text, ";")) return std::nullopt;
  text = absl::StripLeadingAsciiWhitespace(text);
  if (!absl::StartsWithIgnoreCase(text, "q=")) return std::nullopt;
  return ParseWeight(text.substr(2));
}

// As named in the field.
struct Weights {
  Weight gzip;
  Weight brotli;
  Weight identity;
  Weight others;

  Weight* Find(absl::string_view coding) {
    if (absl::EqualsIgnoreCase(coding, "gzip")) return &gzip;
    if (absl::EqualsIgnoreCase(coding, "br")) return &brotli;
    if (absl::EqualsIgnoreCase(coding, "identity")) return &identity;
    if (absl::EqualsIgnoreCase(coding, "x-gzip")) return &gzip;
    return coding == "*" ? &others : nullptr;
  }
};

Weights ParseWeights(absl::string_view field) {
  Weights weights;
  for (absl::string_view element : absl::StrSplit(field, ',')) {
    element = absl::StripAsciiWhitespace(element);
    const absl::string_view coding =
        element.substr(0, element.find_first_of("; \t"));
    Weight* const weight = weights.Find(coding);
    if (weight == nullptr || weight->has_value()) continue;
    *weight = ParseParameter(element.substr(coding.size()));
  }
  return weights;
}

}  // namespace

absl::string_view ContentCodingName(ContentCoding coding) {
  switch (coding) {
    case ContentCoding::kIdentity:
      return "";
    case ContentCoding::kGzip:
      return "gzip";
    case ContentCoding::kBrotli:
      return "br";
  }
  return "";
}

AcceptedCodings AcceptedCodings::Parse(std::optional<absl::string_view> field) {
  AcceptedCodings codings;
  if (!field.has_value()) return codings;
  const Weights weights = ParseWeights(*field);
  const uint16_t others = weights.others.value_or(0);
  codings.gzip_ = weights.gzip.value_or(others) * kUnit;
  codings.brotli_ = weights.brotli.value_or(others) * kUnit;
  if (weights.identity.has_value() || weights.others.has_value()) {
    codings.identity_ = weights.identity.value_or(others) * kUnit;
  }
  return codings;
}

bool AcceptedCodings::Takes(ContentCoding coding) const {
  switch (coding) {
    case ContentCoding::kIdentity:
      return identity_ > 0;
    case ContentCoding::kGzip:
      return gzip_ > 0;
    case ContentCoding::kBrotli:
      return brotli_ > 0;
  }
  return false;
}

ContentCoding AcceptedCodings::Choose(AvailableCodings available) const {
  const uint16_t gzip = available.gzip ? gzip_ : 0;
  const uint16_t brotli = available.brotli ? brotli_ : 0;
  if (brotli > 0 && brotli >= gzip && brotli >= identity_) {
    return ContentCoding::kBrotli;
  }
  if (gzip > 0 && gzip >= identity_) return ContentCoding::kGzip;
  return ContentCoding::kIdentity;
}

ContentCoding ChooseCoding(std::optional<absl::string_view> field,
                           AvailableCodings available) {
  return AcceptedCodings::Parse(field).Choose(available);
}

}  // namespace baton
