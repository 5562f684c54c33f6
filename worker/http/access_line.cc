#include "worker/http/access_line.h"

#include <limits.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "absl/time/time.h"
#include "worker/utf8.h"

namespace baton {
namespace {

constexpr absl::string_view kEllipsis = "...";
// Of how one byte or character may be written.
constexpr ptrdiff_t kLongestUnit = 6;
constexpr size_t kDigits = 20;
// What stands around the texts of the longer format.
constexpr size_t kOthers = 256;

static_assert(AccessBounds::kClient + AccessBounds::kMethod +
                  AccessBounds::kTarget + AccessBounds::kHost +
                  AccessBounds::kReferer + AccessBounds::kUserAgent +
                  AccessBounds::kRequestId + kOthers <=
              kMaxAccessLineBytes);
static_assert(kMaxAccessLineBytes < PIPE_BUF);

char* Put(absl::string_view text, char* to) {
  memcpy(to, text.data(), text.size());
  return to + text.size();
}

template <typename T>
char* PutNumber(T number, char* to) {
  return std::to_chars(to, to + kDigits, number).ptr;
}

// Stands for itself in both formats.
bool IsPlain(char byte) {
  const auto c = static_cast<unsigned char>(byte);
  return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

// Copies so many bytes at once, if all of them are plain.
constexpr size_t kBlock = sizeof(uint64_t);
bool CopyPlainBlock(const char* from, char* to) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighBits = kOnes * 0x80;
  uint64_t block = 0;
  memcpy(&block, from, kBlock);
  // Each sets the high bit of such a byte; those of others it sets only if
  // there is one.
  const auto below = [](uint64_t bytes, uint64_t bound) {
    return (bytes - kOnes * bound) & ~bytes;
  };
  const uint64_t others = block | (block + kOnes) | below(block, 0x20) |
                          below(block ^ kOnes * '"', 1) |
                          below(block ^ kOnes * '\\', 1);
  if ((others & kHighBits) != 0) return false;
  memcpy(to, &block, kBlock);
  return true;
}

// Copies what is plain up to the first byte that is not. Returns its size.
size_t CopyPlain(const char* from, size_t size, char* to) {
  size_t done = 0;
  while (done + kBlock <= size && CopyPlainBlock(from + done, to + done)) {
    done += kBlock;
  }
  // The rest once more with what is before it.
  if (size >= kBlock && size - done < kBlock &&
      CopyPlainBlock(from + size - kBlock, to + size - kBlock)) {
    return size;
  }
  for (; done < size && IsPlain(from[done]); ++done) to[done] = from[done];
  return done;
}

// At most `max` bytes. `put_unit` writes what is first of a text that does not
// begin with a plain byte, and takes it off.
template <typename PutUnit>
char* PutText(absl::string_view text, size_t max, PutUnit put_unit, char* to) {
  char* const limit = to + max - kEllipsis.size();
  while (true) {
    const size_t room = static_cast<size_t>(limit - to);
    const size_t plain =
        CopyPlain(text.data(), std::min(text.size(), room), to);
    to += plain;
    text.remove_prefix(plain);
    if (text.empty()) return to;
    if (limit - to < kLongestUnit) return Put(kEllipsis, to);
    to = put_unit(text, to);
  }
}

char* PutHex(uint32_t value, int digits, char* to) {
  for (int i = digits - 1; i >= 0; --i) {
    *to++ = "0123456789ABCDEF"[value >> (4 * i) & 0xf];
  }
  return to;
}

char* PutCombinedUnit(absl::string_view& text, char* to) {
  const auto byte = static_cast<unsigned char>(text.front());
  text.remove_prefix(1);
  return PutHex(byte, 2, Put("\\x", to));
}

char* PutJsonUnit(absl::string_view& text, char* to) {
  const CodePoint c = DecodeUtf8(text);
  const absl::string_view raw = text.substr(0, std::max<size_t>(c.bytes, 1));
  text.remove_prefix(raw.size());
  if (c.bytes == 0) return Put("\\uFFFD", to);
  if (c.value == '"') return Put("\\\"", to);
  if (c.value == '\\') return Put("\\\\", to);
  // All of these have four digits.
  if (IsUnsafeInLog(c.value)) return PutHex(c.value, 4, Put("\\u", to));
  return Put(raw, to);
}

char* PutCombined(absl::string_view text, size_t max, char* to) {
  if (text.empty()) return Put("-", to);
  return PutText(text, max, PutCombinedUnit, to);
}

char* PutJson(absl::string_view name, absl::string_view text, size_t max,
              char* to) {
  to = PutText(text, max, PutJsonUnit, Put(name, to));
  return Put("\"", to);
}

char* PutRequest(const AccessRecord& record, char* to) {
  if (record.method.empty()) {
    return PutCombined(record.target, AccessBounds::kTarget, to);
  }
  to = PutCombined(record.method, AccessBounds::kMethod, to);
  to = PutCombined(record.target, AccessBounds::kTarget, Put(" ", to));
  return PutNumber(int{record.minor_version}, Put(" HTTP/1.", to));
}

char* PutCombinedLine(const AccessRecord& record, absl::string_view date,
                      char* to) {
  to = PutCombined(record.client, AccessBounds::kClient, to);
  to = Put("] \"", Put(date, Put(" - - [", to)));
  to = Put("\" ", PutRequest(record, to));
  to = Put(" ", PutNumber(record.status, to));
  to = Put(" \"", PutNumber(record.bytes, to));
  to = PutCombined(record.referer, AccessBounds::kReferer, to);
  to = Put("\" \"", to);
  to = PutCombined(record.user_agent, AccessBounds::kUserAgent, to);
  return Put("\"\n", to);
}

char* PutJsonLine(const AccessRecord& record, absl::string_view date,
                  long nanos,  // as timespec has it
                  char* to) {
  constexpr long kNanosPerMilli = 1'000'000;
  constexpr int64_t kNanosPerMicro = 1000;
  to = Put(".", Put(date, Put(R"({"time":")", to)));
  const auto millis = static_cast<int>(nanos / kNanosPerMilli);
  for (const int place : {100, 10, 1}) {
    *to++ = static_cast<char>('0' + millis / place % 10);
  }
  to = PutJson(R"(Z","client":")", record.client, AccessBounds::kClient, to);
  to = PutJson(R"(,"method":")", record.method, AccessBounds::kMethod, to);
  to = PutJson(R"(,"target":")", record.target, AccessBounds::kTarget, to);
  to = Put(R"(,"version":")", to);
  if (record.minor_version >= 0) {
    to = PutNumber(int{record.minor_version}, Put("1.", to));
  }
  to = PutNumber(record.status, Put(R"(","status":)", to));
  to = PutNumber(record.bytes, Put(R"(,"bytes":)", to));
  to = PutNumber(std::max<int64_t>(record.duration_nanos, 0) / kNanosPerMicro,
                 Put(R"(,"duration_us":)", to));
  to = PutJson(R"(,"host":")", record.host, AccessBounds::kHost, to);
  to = PutJson(R"(,"referer":")", record.referer, AccessBounds::kReferer, to);
  to = PutJson(R"(,"user_agent":")", record.user_agent,
               AccessBounds::kUserAgent, to);
  if (!record.request_id.empty()) {
    to = PutJson(R"(,"request_id":")", record.request_id,
                 AccessBounds::kRequestId, to);
  }
  return Put("}\n", PutNumber(record.pid, Put(R"(,"pid":)", to)));
}

}  // namespace

void AccessDate::Make(AccessFormat format, time_t second, Cached& cached) {
  // In English, whatever locale an application sets.
  const std::string text = absl::FormatTime(
      format == AccessFormat::kCombined ? "%d/%b/%Y:%H:%M:%S +0000"
                                        : "%Y-%m-%dT%H:%M:%S",
      absl::FromTimeT(second), absl::UTCTimeZone());
  cached.second = second;
  cached.size = text.copy(cached.text.data(), cached.text.size());
}

size_t FormatAccessLine(AccessFormat format, const AccessRecord& record,
                        const timespec& now, AccessDate& date, char* to) {
  const absl::string_view text = date.Text(format, now.tv_sec);
  const char* const end = format == AccessFormat::kCombined
                              ? PutCombinedLine(record, text, to)
                              : PutJsonLine(record, text, now.tv_nsec, to);
  return static_cast<size_t>(end - to);
}

}  // namespace baton
