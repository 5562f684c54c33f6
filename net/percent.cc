#include "net/percent.h"

#include <cstddef>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "net/quote.h"

namespace baton {
namespace {

constexpr absl::string_view kPlainPunctuation = "-._~/:;=@+*!$'()[]";

bool IsPlain(char c) {
  return absl::ascii_isalnum(c) ||
         kPlainPunctuation.find(c) != absl::string_view::npos;
}

}  // namespace

absl::StatusOr<std::string> PercentDecode(absl::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      bytes.push_back(text[i]);
      continue;
    }
    const absl::string_view digits = text.substr(i + 1, 2);
    if (digits.size() != 2 || !absl::ascii_isxdigit(digits[0]) ||
        !absl::ascii_isxdigit(digits[1])) {
      return absl::InvalidArgumentError(
          absl::StrCat(Quote(text.substr(i, 3)),
                       " is not % and two hex digits; % itself is %25"));
    }
    if (digits == "00") {
      return absl::InvalidArgumentError("%00 is not allowed");
    }
    bytes += absl::HexStringToBytes(digits);
    i += 2;
  }
  return bytes;
}

std::string PercentEncode(absl::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (const char c : bytes) {
    if (IsPlain(c)) {
      text.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      absl::StrAppend(&text, "%", absl::Hex(byte, absl::kZeroPad2));
    }
  }
  return text;
}

}  // namespace baton
