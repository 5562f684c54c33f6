#ifndef BATON_MASTER_FLAG_VALUES_H_
#define BATON_MASTER_FLAG_VALUES_H_

// What the values of baton's own flags are made of: one parser a type. gflags
// knows numbers and strings; it reads 0x10 and " 7" as numbers and calls every
// mistake an "illegal value". These read the whole text, and their errors
// (InvalidArgument) quote it and say what is allowed, without the flag's name:
// that, and where it was set, is put before them by who knows. Pure.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/listen_url.h"
#include "worker/log_line.h"
#include "worker/settings.h"

namespace baton {

// Longest of any time-out: a year. No sum of a few of them, and no monotonic
// clock, comes near the end of 64 bits.
inline constexpr absl::Duration kMaxTimeout = absl::Hours(8760);

// Decimal digits only. `zero` explains what 0 stands for; empty = nothing
// special, and 0 is refused if `min` is above it.
absl::StatusOr<int64_t> ParseWholeNumber(absl::string_view text, int64_t min,
                                         int64_t max, absl::string_view zero);

// The words that gflags takes: true, t, yes, y, 1 and their opposites.
absl::StatusOr<bool> ParseBool(absl::string_view text);

absl::StatusOr<int> ParseWorkers(absl::string_view text);
absl::StatusOr<int64_t> ParseMaxConnections(absl::string_view text);
absl::StatusOr<int64_t> ParseMaxRequests(absl::string_view text);
absl::StatusOr<int> ParseMaxDraining(absl::string_view text);
absl::StatusOr<int> ParseCrashLoopLimit(absl::string_view text);
absl::StatusOr<int64_t> ParseMaxConnectionsPerIp(absl::string_view text);
absl::StatusOr<std::vector<Cidr>> ParseForwardedFrom(absl::string_view text);
// MIN:MAX.
absl::StatusOr<JobThreads> ParseJobThreads(absl::string_view text);
absl::StatusOr<int> ParseJobQueue(absl::string_view text);

// From zero to kMaxTimeout.
absl::StatusOr<absl::Duration> ParseTimeout(absl::string_view text);
// Not zero.
absl::StatusOr<absl::Duration> ParseReadyTimeout(absl::string_view text);
// Zero, or a second at least: it is counted in looks, two a second.
absl::StatusOr<absl::Duration> ParseStallTimeout(absl::string_view text);
absl::StatusOr<absl::Duration> ParseTcpUserTimeout(absl::string_view text);

absl::StatusOr<LogFormat> ParseLogFormat(absl::string_view text);

// A comma-separated list; blanks around an entry are fine, an empty entry is
// not, but an empty text is an empty list. Nothing is looked up.
absl::StatusOr<std::vector<ListenUrl>> ParseListeners(absl::string_view text);

// The path of a control socket, as a listener; none for an empty text.
absl::StatusOr<std::vector<ListenUrl>> ParseControlPath(absl::string_view text);

// Any text at all.
absl::StatusOr<std::string> ParseText(absl::string_view text);

}  // namespace baton

#endif  // BATON_MASTER_FLAG_VALUES_H_
