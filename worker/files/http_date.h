#ifndef BATON_WORKER_FILES_HTTP_DATE_H_
#define BATON_WORKER_FILES_HTTP_DATE_H_

// The dates of HTTP (RFC 9110 section 5.6.7), in seconds since 1970.
//
// Problem: one form is written, but three have to be read, and one of them has
// years of two digits.
//
// Contract
// * What is written is the first form, "Sun, 06 Nov 1994 08:49:37 GMT"; a
//   moment outside the years 0 to 9999 is written as the nearest one inside.
// * What is read back is what was written. Letters count in their case and
//   there is no slack, but nobody looks whether the day's name fits the date.
//   A second 60 is the first one of the next minute.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace baton {

std::string FormatHttpDate(int64_t unix_seconds);

// nullopt for what is none of the three. A year of two digits is the latest one
// that is at most 50 years after `now`.
std::optional<int64_t> ParseHttpDate(absl::string_view text, int64_t now);

}  // namespace baton

#endif  // BATON_WORKER_FILES_HTTP_DATE_H_
