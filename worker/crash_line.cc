#include "worker/crash_line.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/time/civil_time.h"

namespace baton {
namespace {

// Of one value, escaped: the fields of a line fit into their buffers with one
// that is as long.
constexpr size_t kMaxValueBytes = 400;

}  // namespace

template <size_t N>
void CrashLine::Buffer<N>::Append(absl::string_view text) {
  const size_t count = std::min(text.size(), bytes.size() - size);
  std::copy_n(text.data(), count, bytes.data() + size);
  size += count;
}

template <size_t N>
void CrashLine::Buffer<N>::AppendNumber(int64_t value, int digits) {
  std::array<char, 20> reversed;
  size_t count = 0;
  auto rest = static_cast<uint64_t>(value);
  if (value < 0) {
    Append("-");
    rest = 0 - rest;
  }
  do {
    reversed[count++] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest != 0 || static_cast<int>(count) < digits);
  while (count > 0) Append({&reversed[--count], 1});
}

// Quotes and backslashes are as JSON has them.
template <size_t N>
void CrashLine::Buffer<N>::AppendEscaped(absl::string_view text) {
  const size_t end = std::min(size + kMaxValueBytes, bytes.size());
  for (char c : text) {
    if (size + 2 > end) return;
    if (c == '"' || c == '\\') Append("\\");
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
    Append({&c, 1});
  }
}

CrashLine::CrashLine(LogFormat format, const Origin& origin,
                     absl::string_view event)
    : format_(format), event_(event) {
  Begin(origin);
}

void CrashLine::Begin(const Origin& origin) {
  const bool json = format_ == LogFormat::kJson;
  const absl::CivilSecond clock =
      absl::CivilSecond(1970, 1, 1) +
      (origin.unix_seconds + (json ? 0 : origin.utc_offset_seconds));
  line_.Append(json ? R"({"time":")" : "F");
  line_.AppendNumber(clock.year(), 4);
  if (json) line_.Append("-");
  line_.AppendNumber(clock.month(), 2);
  if (json) line_.Append("-");
  line_.AppendNumber(clock.day(), 2);
  line_.Append(json ? "T" : " ");
  line_.AppendNumber(clock.hour(), 2);
  line_.Append(":");
  line_.AppendNumber(clock.minute(), 2);
  line_.Append(":");
  line_.AppendNumber(clock.second(), 2);
  line_.Append(".");
  line_.AppendNumber(origin.microseconds, 6);
  line_.Append(json ? R"(Z","level":"fatal","pid":)" : " ");
  line_.AppendNumber(origin.pid);
  if (json) {
    line_.Append(R"(,"role":")");
    line_.AppendEscaped(origin.role);
    line_.Append(R"(","file":")");
  } else {
    line_.Append(" ");
  }
  line_.AppendEscaped(origin.file);
  line_.Append(json ? R"(","line":)" : ":");
  line_.AppendNumber(origin.line);
  if (json) return;
  line_.Append("] ");
  line_.AppendEscaped(origin.role);
  line_.Append(": ");
}

void CrashLine::Field(absl::string_view key, absl::string_view value) {
  text_.Append(" ");
  text_.Append(key);
  text_.Append("=\"");
  text_.AppendEscaped(value);
  text_.Append("\"");
  json_.Append(json_.size == 0 ? "\"" : ",\"");
  json_.Append(key);
  json_.Append("\":\"");
  json_.AppendEscaped(value);
  json_.Append("\"");
}

void CrashLine::Field(absl::string_view key, int64_t value) {
  text_.Append(" ");
  text_.Append(key);
  text_.Append("=");
  text_.AppendNumber(value);
  json_.Append(json_.size == 0 ? "\"" : ",\"");
  json_.Append(key);
  json_.Append("\":");
  json_.AppendNumber(value);
}

void CrashLine::HexField(absl::string_view key, uint64_t value) {
  std::array<char, 18> text;
  size_t at = text.size();
  do {
    text[--at] = "0123456789abcdef"[value % 16];
    value /= 16;
  } while (value != 0);
  text[--at] = 'x';
  text[--at] = '0';
  Field(key, absl::string_view(&text[at], text.size() - at));
}

absl::string_view CrashLine::Finish() {
  if (format_ == LogFormat::kText) {
    line_.Append(event_);
    line_.Append(text_.view());
    line_.Append("\n");
    return line_.view();
  }
  line_.Append(R"(,"event":")");
  line_.Append(event_);
  line_.Append(R"(","fields":{)");
  line_.Append(json_.view());
  line_.Append(R"(},"message":")");
  line_.Append(event_);
  // Once more for a string in a string.
  for (const char& c : text_.view()) {
    if (c == '"' || c == '\\') line_.Append("\\");
    line_.Append({&c, 1});
  }
  line_.Append("\"}\n");
  return line_.view();
}

}  // namespace baton
