#include "worker/files/file_path.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"

namespace baton {
namespace {

constexpr absl::string_view kWellKnown = ".well-known";
constexpr absl::string_view kHexDigits = "0123456789ABCDEF";

// Of RFC 3986's pchar all but '&' and '\'', which mean something in HTML.
constexpr std::array<bool, 256> PlainBytes() {
  std::array<bool, 256> plain{};
  for (const char c : absl::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "abcdefghijklmnopqrstuvwxyz"
                                        "0123456789-._~!$()*+,;=:@")) {
    plain[static_cast<unsigned char>(c)] = true;
  }
  return plain;
}

bool IsPlain(char c) {
  static constexpr std::array<bool, 256> kPlain = PlainBytes();
  return kPlain[static_cast<unsigned char>(c)];
}

// -1: none. Lower case too.
int HexValue(char c) {
  const size_t place =
      kHexDigits.find(absl::ascii_toupper(static_cast<unsigned char>(c)));
  return place == absl::string_view::npos ? -1 : static_cast<int>(place);
}

// What the escape that `text` begins with stands for; nullopt if it is none, or
// of a byte that no name has.
std::optional<char> Unescape(absl::string_view text) {
  if (text.size() < 3) return std::nullopt;
  const int high = HexValue(text[1]);
  const int low = HexValue(text[2]);
  if (high < 0 || low < 0) return std::nullopt;
  const char byte = static_cast<char>(high * 16 + low);
  if (byte == '\0' || byte == '/') return std::nullopt;
  return byte;
}

bool AppendDecoded(absl::string_view text, std::string& bytes) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\0') return false;
    if (text[i] != '%') {
      bytes.push_back(text[i]);
      continue;
    }
    const std::optional<char> byte = Unescape(text.substr(i));
    if (!byte.has_value()) return false;
    bytes.push_back(*byte);
    i += 2;
  }
  return true;
}

void AppendEncoded(char byte, std::string& text) {
  if (IsPlain(byte)) {
    text.push_back(byte);
    return;
  }
  const auto value = static_cast<unsigned char>(byte);
  text.push_back('%');
  text.push_back(kHexDigits[value / 16]);
  text.push_back(kHexDigits[value % 16]);
}

// Whether a dot at its beginning is right.
bool IsServed(absl::string_view name, bool is_first) {
  return name.front() != '.' || (is_first && name == kWellKnown);
}

// The bytes of a name that is encoded canonically; nullopt if it is not.
std::optional<size_t> SizeOfCanonical(absl::string_view name) {
  size_t size = 0;
  for (size_t i = 0; i < name.size(); ++i, ++size) {
    if (IsPlain(name[i])) continue;
    if (name[i] != '%') return std::nullopt;
    const std::optional<char> byte = Unescape(name.substr(i));
    if (!byte.has_value() || IsPlain(*byte)) return std::nullopt;
    if (absl::ascii_islower(static_cast<unsigned char>(name[i + 1])) ||
        absl::ascii_islower(static_cast<unsigned char>(name[i + 2]))) {
      return std::nullopt;
    }
    i += 2;
  }
  return size;
}

// Removes the last segment; false if there is none.
bool GoUp(std::string& relative) {
  if (relative.empty()) return false;
  const size_t slash = relative.rfind('/');
  relative.resize(slash == std::string::npos ? 0 : slash);
  return true;
}

}  // namespace

std::optional<FilePath> DecodeFilePath(absl::string_view raw) {
  if (raw.empty() || raw.front() != '/') return std::nullopt;
  FilePath path;
  std::string& relative = path.relative;
  relative.reserve(std::min(raw.size(), kMaxFilePathBytes));
  for (const absl::string_view segment : absl::StrSplit(raw.substr(1), '/')) {
    path.names_directory = true;
    if (segment.empty()) continue;
    const size_t end = relative.size();
    if (end > 0) relative.push_back('/');
    const size_t begin = relative.size();
    if (!AppendDecoded(segment, relative)) return std::nullopt;
    const absl::string_view name = absl::string_view(relative).substr(begin);
    if (name == "." || name == "..") {
      const bool up = name.size() == 2;
      relative.resize(end);
      if (up && !GoUp(relative)) return std::nullopt;
      continue;
    }
    if (!IsServed(name, begin == 0) || name.size() > kMaxFileNameBytes ||
        relative.size() > kMaxFilePathBytes) {
      return std::nullopt;
    }
    path.names_directory = false;
  }
  return path;
}

std::string EncodeFilePath(absl::string_view relative) {
  std::string path;
  path.reserve(relative.size() + 1);
  path.push_back('/');
  for (const char byte : relative) {
    if (byte != '/') {
      AppendEncoded(byte, path);
    } else if (path.back() != '/') {
      path.push_back('/');
    }
  }
  return path;
}

std::string EncodeFilePath(const FilePath& path) {
  std::string text = EncodeFilePath(path.relative);
  if (path.names_directory && text.back() != '/') text.push_back('/');
  return text;
}

bool IsCanonicalFilePath(absl::string_view raw) {
  if (raw.empty() || raw.front() != '/') return false;
  if (raw.size() == 1) return true;
  absl::string_view rest = raw.substr(1);
  size_t size = 0;
  for (bool is_first = true; !rest.empty(); is_first = false) {
    const absl::string_view name = rest.substr(0, rest.find('/'));
    if (name.empty() || !IsServed(name, is_first)) return false;
    const std::optional<size_t> bytes = SizeOfCanonical(name);
    if (!bytes.has_value() || *bytes > kMaxFileNameBytes) return false;
    size += *bytes + (is_first ? 0 : 1);
    if (size > kMaxFilePathBytes) return false;
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
  }
  return true;
}

}  // namespace baton
