#ifndef BATON_MASTER_CHILD_PROCESS_H_
#define BATON_MASTER_CHILD_PROCESS_H_

// How a copy of the master becomes somebody else.
//
// The child of a fork starts as the master: with every descriptor, the master's
// rights and name, and the will to live on when the master is gone. The order
// matters:
//   1. a log role; close what is not the child's;
//   2. a name, to ps;
//   3. drop rights, and only then ask to die with the master: dropping them
//      clears that - prctl(2) - and if the master is gone by then, fail.
// What it then has of the master's objects is not its to destroy: it ends by
// _exit (process.h).

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "master/run_as.h"
#include "worker/log_sink.h"

namespace baton {

struct ChildSetup {
  std::string role;   // in the log: "worker 2"
  std::string title;  // to ps, behind "baton: "
  LineLogSink* log = nullptr;
  // Descriptors that are the child's, beside the log's.
  std::vector<int> keep;
  std::optional<RunAs> run_as;  // none = the master's own
  pid_t master = 0;
};

// Errors, which are the end of the child, name the call that failed.
absl::Status SetUpChild(ChildSetup setup);

}  // namespace baton

#endif  // BATON_MASTER_CHILD_PROCESS_H_
