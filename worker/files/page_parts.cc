#include "worker/files/page_parts.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace baton {
namespace {

constexpr absl::string_view kStyle = R"(
:root { color-scheme: light dark; --back: #fbfbfa; --text: #1d2125; --soft: #667078;
  --line: #8883; --mark: #1f6f54; --hover: #2a7d5f14; }
@media (prefers-color-scheme: dark) { :root { --back: #15181b; --text: #e3e6e8; --soft: #949ea6;
  --mark: #6ccba6; --hover: #6ccba61a; } }
html { -webkit-text-size-adjust: 100%; }
body { font: 16px/1.5 system-ui, sans-serif; background: var(--back); color: var(--text);
  margin: 0 auto; padding: 0 1.5rem; }
a { color: var(--mark); text-decoration: none; }
a:hover { text-decoration: underline; }
)";

bool IsContinuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// The length of the UTF-8 character at the front, 0 if there is none; the
// table of RFC 3629 section 4: nothing overlong, no surrogate, none above
// U+10FFFF.
size_t CharacterLength(absl::string_view text) {
  const auto at = [text](size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : uint8_t{0};
  };
  const unsigned char first = at(0);
  const unsigned char second = at(1);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4 || !IsContinuation(second)) return 0;
  if (first < 0xE0) return 2;
  if (!IsContinuation(at(2))) return 0;
  if (first < 0xF0) {
    const bool is_overlong = first == 0xE0 && second < 0xA0;
    const bool is_surrogate = first == 0xED && second > 0x9F;
    return is_overlong || is_surrogate ? 0 : 3;
  }
  const bool is_overlong = first == 0xF0 && second < 0x90;
  const bool is_too_high = first == 0xF4 && second > 0x8F;
  return is_overlong || is_too_high || !IsContinuation(at(3)) ? 0 : 4;
}

void AppendAscii(char c, std::string* text) {
  const auto code = static_cast<unsigned char>(c);
  switch (c) {
    case '&':
      text->append("&amp;");
      return;
    case '<':
      text->append("&lt;");
      return;
    case '>':
      text->append("&gt;");
      return;
    case '"':
      text->append("&quot;");
      return;
    case '\'':
      text->append("&#39;");
      return;
    default:
      break;
  }
  if (code == 0x7F) {
    text->append("\u2421");
  } else if (code < 0x20) {
    // U+2400 plus the code: E2 90 80 plus it.
    text->append("\xE2\x90");
    text->push_back(static_cast<char>(0x80 + code));
  } else {
    text->push_back(c);
  }
}

}  // namespace

std::string PageHead(absl::string_view title, absl::string_view style) {
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light "
      "dark\">\n<title>",
      HtmlText(title), "</title>\n<style>", kStyle, style,
      "</style>\n</head>\n");
}

std::string HtmlText(absl::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t length = CharacterLength(bytes);
    if (length == 1) {
      AppendAscii(bytes[0], &text);
    } else if (length == 0) {
      text.append("\uFFFD");
    } else {
      absl::StrAppend(&text, bytes.substr(0, length));
    }
    bytes.remove_prefix(length == 0 ? 1 : length);
  }
  return text;
}

}  // namespace baton
