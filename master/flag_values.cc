#include "master/flag_values.h"

#include <initializer_list>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "master/usable_cpus.h"
#include "net/quote.h"
#include "net/socket_options.h"
#include "net/units.h"

namespace baton {
namespace {

// More descriptors than the kernel hands out: fs.nr_open is below 2^31 -
// proc(5).
constexpr int64_t kMaxConnections = int64_t{1} << 30;
constexpr int64_t kMaxRequests = int64_t{1} << 53;

constexpr int64_t kMaxCrashLoopLimit = 1'000'000;
constexpr int64_t kMaxJobThreads = 1024;
constexpr int64_t kMaxJobQueue = 1 << 20;  // 64 bytes each

absl::Status Bad(absl::string_view what, absl::string_view text,
                 absl::string_view allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat("bad ", what, " ", Quote(text), ": ", allowed));
}

absl::StatusOr<absl::Duration> DurationBetween(absl::string_view text,
                                               absl::Duration min,
                                               absl::Duration max) {
  absl::StatusOr<absl::Duration> duration = ParseDuration(text);
  if (duration.ok() && (*duration < min || *duration > max)) {
    return Bad("duration", text,
               absl::StrCat("from ", DurationToString(min), " to ",
                            DurationToString(max)));
  }
  return duration;
}

absl::StatusOr<int> ToInt(const absl::StatusOr<int64_t>& number) {
  if (!number.ok()) return number.status();
  return static_cast<int>(*number);
}

bool IsOneOf(absl::string_view text,
             std::initializer_list<absl::string_view> words) {
  return absl::c_any_of(words, [text](absl::string_view word) {
    return absl::EqualsIgnoreCase(text, word);
  });
}

}  // namespace

absl::StatusOr<int64_t> ParseWholeNumber(absl::string_view text, int64_t min,
                                         int64_t max, absl::string_view zero) {
  int64_t value = 0;
  if (text.empty() || !absl::c_all_of(text, absl::ascii_isdigit) ||
      !absl::SimpleAtoi(text, &value) || value < min || value > max) {
    return Bad(
        "number", text,
        absl::StrCat("a whole number from ", min, zero.empty() ? "" : " (",
                     zero, zero.empty() ? "" : ")", " to ", max));
  }
  return value;
}

absl::StatusOr<bool> ParseBool(absl::string_view text) {
  if (IsOneOf(text, {"true", "t", "yes", "y", "1"})) return true;
  if (IsOneOf(text, {"false", "f", "no", "n", "0"})) return false;
  return Bad("value", text, "true or false");
}

absl::StatusOr<int> ParseWorkers(absl::string_view text) {
  return ToInt(ParseWholeNumber(text, 0, kMaxWorkers, "one per usable CPU"));
}

absl::StatusOr<int> ParseMaxDraining(absl::string_view text) {
  return ToInt(ParseWholeNumber(text, 1, kMaxWorkers, ""));
}

absl::StatusOr<int64_t> ParseMaxRequests(absl::string_view text) {
  return ParseWholeNumber(text, 0, kMaxRequests, "never");
}

absl::StatusOr<int> ParseCrashLoopLimit(absl::string_view text) {
  return ToInt(ParseWholeNumber(text, 0, kMaxCrashLoopLimit, "never"));
}

absl::StatusOr<int64_t> ParseMaxConnections(absl::string_view text) {
  return ParseWholeNumber(text, 0, kMaxConnections,
                          "what RLIMIT_NOFILE allows");
}

absl::StatusOr<int64_t> ParseMaxConnectionsPerIp(absl::string_view text) {
  return ParseWholeNumber(text, 0, kMaxConnections, "no limit");
}

absl::StatusOr<std::vector<Cidr>> ParseForwardedFrom(absl::string_view text) {
  return ParseCidrList(text, ',');
}

absl::StatusOr<JobThreads> ParseJobThreads(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  if (parts.size() == 2) {
    const auto min = ParseWholeNumber(parts[0], 1, kMaxJobThreads, "");
    const auto max = ParseWholeNumber(parts[1], 1, kMaxJobThreads, "");
    if (min.ok() && max.ok() && *min <= *max) {
      return JobThreads{static_cast<int>(*min), static_cast<int>(*max)};
    }
  }
  return Bad("threads", text,
             absl::StrCat("MIN:MAX, from 1 to ", kMaxJobThreads,
                          ", MAX not below MIN"));
}

absl::StatusOr<int> ParseJobQueue(absl::string_view text) {
  return ToInt(ParseWholeNumber(text, 1, kMaxJobQueue, ""));
}

absl::StatusOr<absl::Duration> ParseTimeout(absl::string_view text) {
  return DurationBetween(text, absl::ZeroDuration(), kMaxTimeout);
}

absl::StatusOr<absl::Duration> ParseReadyTimeout(absl::string_view text) {
  return DurationBetween(text, absl::Milliseconds(1), kMaxTimeout);
}

absl::StatusOr<absl::Duration> ParseStallTimeout(absl::string_view text) {
  const absl::StatusOr<absl::Duration> duration = ParseTimeout(text);
  if (duration.ok() && *duration > absl::ZeroDuration() &&
      *duration < absl::Seconds(1)) {
    return Bad("duration", text, "0s (never), or from 1s to 8760h");
  }
  return duration;
}

absl::StatusOr<absl::Duration> ParseTcpUserTimeout(absl::string_view text) {
  // Whole hours of it, for the error text.
  return DurationBetween(text, absl::ZeroDuration(),
                         absl::Floor(kMaxTcpUserTimeout, absl::Hours(1)));
}

absl::StatusOr<LogFormat> ParseLogFormat(absl::string_view text) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  return Bad("format", text, "text or json");
}

absl::StatusOr<std::vector<ListenUrl>> ParseListeners(absl::string_view text) {
  std::vector<ListenUrl> listeners;
  if (text.empty()) return listeners;
  for (const absl::string_view entry : absl::StrSplit(text, ',')) {
    const absl::string_view url = absl::StripAsciiWhitespace(entry);
    if (url.empty()) {
      return Bad("list", text,
                 "one or more URLs, with a comma between two; one inside of a "
                 "URL is written %2C");
    }
    absl::StatusOr<ListenUrl> parsed = ParseListenUrl(url);
    // The rest of an option's value, perhaps: "public, max-age=60".
    if (!parsed.ok() && !listeners.empty() && !absl::StrContains(url, "://")) {
      return absl::InvalidArgumentError(absl::StrCat(
          parsed.status().message(),
          " (a comma parts listeners; one inside of a URL is written %2C)"));
    }
    if (!parsed.ok()) return parsed.status();
    listeners.push_back(*std::move(parsed));
  }
  return listeners;
}

absl::StatusOr<std::vector<ListenUrl>> ParseControlPath(
    absl::string_view text) {
  std::vector<ListenUrl> listeners;
  if (text.empty()) return listeners;
  // What a URL would take for something else is not worth an escape.
  if (text[0] != '/' || text.find_first_of("?%,") != absl::string_view::npos) {
    return Bad("path", text, "an absolute path without ?, % and commas");
  }
  absl::StatusOr<ListenUrl> url =
      ParseListenUrl(absl::StrCat("http+unix://", text));
  if (!url.ok()) return url.status();
  listeners.push_back(*std::move(url));
  return listeners;
}

absl::StatusOr<std::string> ParseText(absl::string_view text) {
  return std::string(text);
}

}  // namespace baton
