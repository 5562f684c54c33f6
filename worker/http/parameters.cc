#include "worker/http/parameters.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"

namespace baton {
namespace {

// Not PercentDecode(), which refuses what has to be kept here.
std::string Decode(absl::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const absl::string_view digits = text.substr(i + 1, 2);
    if (text[i] == '%' && digits.size() == 2 &&
        absl::ascii_isxdigit(digits[0]) && absl::ascii_isxdigit(digits[1])) {
      bytes += absl::HexStringToBytes(digits);
      i += 2;
    } else {
      bytes.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return bytes;
}

}  // namespace

HttpParameters HttpParameters::Parse(absl::string_view text) {
  HttpParameters result;
  for (const absl::string_view part :
       absl::StrSplit(text, '&', absl::SkipEmpty())) {
    if (result.size() == kMaxHttpParameters) {
      result.truncated_ = true;
      break;
    }
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    result.pairs_.emplace_back(Decode(pair.first), Decode(pair.second));
  }
  return result;
}

std::optional<absl::string_view> HttpParameters::Get(
    absl::string_view name) const {
  for (const auto& [key, value] : pairs_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::vector<absl::string_view> HttpParameters::GetAll(
    absl::string_view name) const {
  std::vector<absl::string_view> values;
  for (const auto& [key, value] : pairs_) {
    if (key == name) values.push_back(value);
  }
  return values;
}

}  // namespace baton
