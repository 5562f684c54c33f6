#ifndef BATON_TOOLS_LOADGEN_REPORT_H_
#define BATON_TOOLS_LOADGEN_REPORT_H_

// What a run found out, for people (ReportText) and for programs (ReportJson:
// one object on one line; keys are added in time, none is renamed or dropped).
//
// Latencies are in nanoseconds here, in microseconds in both texts. In a closed
// loop they count from the moment a message is sent; at a constant rate from
// the moment it was due, so that a client or server that falls behind shows.

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "tools/loadgen/histogram.h"
#include "tools/loadgen/tally.h"

namespace baton::loadgen {

struct Report {
  // 0: no error happened; 1: some did.
  int exit_code() const { return tally.total_errors() == 0 ? 0 : 1; }

  std::string target;
  std::string mode;  // closed, rate, idle
  int connections = 0;
  int64_t size = 0;
  double rate = 0;  // as asked for

  Tally tally;
  Histogram latency;  // of exchanges that ended well
  Histogram connect;  // from connect() to established
  Histogram lag;      // constant rate: how late messages were sent
  // Since the connections stood; idle: since the beginning. So is `cpu`.
  absl::Duration elapsed = absl::ZeroDuration();
  absl::Duration cpu =
      absl::ZeroDuration();  // of this process, user and system
  bool interrupted = false;
  int64_t abandoned = 0;  // exchanges in progress when interrupted: no verdict
  // --idle: connections that had their first exchange, and their second.
  int64_t held = 0;
  int64_t alive = 0;
};

std::string ReportText(const Report& report);
std::string ReportJson(const Report& report);

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_REPORT_H_
