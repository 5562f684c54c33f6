#ifndef BATON_NET_UNITS_H_
#define BATON_NET_UNITS_H_

// Problem: `--idle_timeout=60` is a minute to one reader and 60 ms to another,
// and a number that silently wraps is a limit that nobody set.
//
// One notation for flags, listener options and status texts:
//   duration  a whole number and one of ms, s, m, h     0s 250ms 20s 5m 1h
//   size      a whole number and nothing, KiB, MiB, GiB 123 64KiB 10MiB 1GiB
// No sign, no fraction, no space, no second unit; the case of units counts.
//
// Contract
// * Parse reads the whole string or fails with InvalidArgument; the message
//   quotes the value and says what is allowed. What does not fit is an error,
//   never clipped: durations go up to 2^63 ns (292 years), sizes to 2^63 - 1.
// * ToString gives the shortest notation that Parse reads back as the same
//   value: Parse(ToString(v)) == v for every v that Parse can return.
// * Pure and thread-safe.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace baton {

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

// Bytes.
absl::StatusOr<int64_t> ParseSize(absl::string_view text);

// Defined for all durations: what is finer than a millisecond is cut off,
// negative ones get a '-', infinite ones are "inf" and "-inf".
std::string DurationToString(absl::Duration duration);

// Defined for all numbers; negative ones get a '-'.
std::string SizeToString(int64_t bytes);

}  // namespace baton

#endif  // BATON_NET_UNITS_H_
