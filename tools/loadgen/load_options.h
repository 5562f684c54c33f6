#ifndef BATON_TOOLS_LOADGEN_LOAD_OPTIONS_H_
#define BATON_TOOLS_LOADGEN_LOAD_OPTIONS_H_

// What a run is to do; the flags of the command line, parsed.

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tools/loadgen/histogram.h"
#include "tools/loadgen/load_target.h"

namespace baton::loadgen {

// What there is to say in mid-run, once a second.
struct Progress {
  absl::Duration elapsed;
  absl::Duration interval;   // since the last one
  const Histogram* latency;  // nanoseconds, of the interval
  int64_t open_connections = 0;
  int64_t errors = 0;  // since the start
};

struct LoadOptions {
  LoadTarget target = {};
  int connections = 1;
  int64_t size = 64;  // bytes of a message
  // Exchanges per second, all connections together; 0: closed loop.
  double rate = 0;
  // Exchanges after which a connection is replaced by a new one; 0: never.
  int64_t churn = 0;
  // The run ends at either; 0 and infinite: no such limit.
  int64_t count = 0;
  absl::Duration duration = absl::InfiniteDuration();
  // Closed loop: pause between an answer and the next message.
  absl::Duration think = absl::ZeroDuration();
  // Of one connection's establishment, and of one exchange.
  absl::Duration timeout = absl::Seconds(5);
  // One exchange on each connection, then hold them all for `duration`, then
  // one more on each.
  bool idle = false;
  // Stream echo: an urgent byte in the middle of each message.
  bool urgent = false;
  // Constant rate: wait for the next time by polling. Exact, and takes a CPU.
  bool spin = false;
  // Connections that may be in the course of being established.
  int connecting = 256;
  // IPv4 loopback targets: addresses 127.0.0.1 and on to connect from, for more
  // connections than one address has ports. 0: as many as are needed.
  int sources = 0;
  // Readable: end the run now. Borrowed; -1: none.
  int stop_fd = -1;
  std::function<void(const Progress&)> progress = nullptr;
};

// InvalidArgument, saying which options contradict each other or are out of
// range, by the names they have as flags.
absl::Status CheckLoadOptions(const LoadOptions& options);

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_LOAD_OPTIONS_H_
