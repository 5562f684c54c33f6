#ifndef BATON_TOOLS_LOADGEN_TALLY_H_
#define BATON_TOOLS_LOADGEN_TALLY_H_

// Problem: "3 errors" says nothing about a server. Which of the two sides gave
// up, and whether it was a client's first exchange or a connection that had
// worked before, are different faults with different causes.
//
// What a run counts. Each exchange that began ends as exactly one of
// `exchanges` (the answer was right), or an error of one kind.

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace baton::loadgen {

enum class ErrorKind {
  kConnectRefused,  // also: a datagram answered by ICMP port unreachable
  kConnectTimeout,  // not established within the time-out
  kConnectFailed,   // any other errno of connecting
  kReset,           // the peer sent a reset
  kEof,             // the peer closed before the answer's end, or unasked
  kTimeout,         // no whole answer within the time-out
  kMismatch,        // a wrong, malformed or unasked answer
  kStatus,          // http: a proper answer, not 2xx
  kLocal,           // this side lacked descriptors, ports or memory
  kUnsent,          // due at a constant rate, never begun
};

inline constexpr int kErrorKinds = static_cast<int>(ErrorKind::kUnsent) + 1;

// "connect_refused", ...: stable, part of the JSON report.
absl::string_view ErrorKindName(ErrorKind kind);

// Whether the connection had completed an exchange before.
enum class Age { kNew, kReused };

struct Tally {
  int64_t& errors(ErrorKind kind, Age age) {
    return by_kind[static_cast<int>(kind)][static_cast<int>(age)];
  }
  int64_t errors(ErrorKind kind, Age age) const {
    return by_kind[static_cast<int>(kind)][static_cast<int>(age)];
  }
  int64_t errors(ErrorKind kind) const {
    return errors(kind, Age::kNew) + errors(kind, Age::kReused);
  }
  int64_t total_errors() const;

  int64_t exchanges = 0;
  int64_t bytes_sent = 0;
  int64_t bytes_received = 0;
  int64_t connections = 0;  // established
  // http: right answers that said "Connection: close" unasked. Not an error: no
  // request is lost by it (RFC 9112 9.6).
  int64_t told_to_close = 0;
  // The first error in words.
  std::string first_error;

 private:
  std::array<std::array<int64_t, 2>, kErrorKinds> by_kind = {};
};

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_TALLY_H_
