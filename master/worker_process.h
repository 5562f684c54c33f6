#ifndef BATON_MASTER_WORKER_PROCESS_H_
#define BATON_MASTER_WORKER_PROCESS_H_

// A worker process as its master makes it.
//
// The child of a fork starts as a copy of the master: with every descriptor,
// the master's rights and name, and the will to live on when the master is
// gone. This is the one place where a copy of the master becomes a worker, in
// an order that matters:
//   1. map the scoreboard, take over channel and listeners, close all else;
//   2. name itself, in the log and to ps;
//   3. drop rights, and only then ask to die with the master: dropping them
//      clears that - prctl(2) - and if the master is gone by then, end;
//   4. run, and end by _exit: what it has of the master's is not its to
//   destroy.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "master/config.h"
#include "master/listener_slots.h"
#include "master/process.h"
#include "master/supervisor_types.h"
#include "net/fd_channel.h"
#include "worker/log_sink.h"
#include "worker/scoreboard.h"
#include "worker/services.h"

namespace baton {

struct WorkerSpec {
  int slot = 0;
  Generation generation = 0;
  // All of these outlive the call; in the child they live for ever.
  const Config* config = nullptr;
  const Services* services = nullptr;
  LineLogSink* log = nullptr;
  std::vector<ListenerSlots::Listener> listeners;
  // Descriptors that are not the master's: the application opened them before
  // it called Main, or they were inherited. Workers keep them.
  const std::vector<int>* not_ours = nullptr;
};

// The master's ends.
struct WorkerProcess {
  Process process;
  FdChannel channel;
  ScoreboardView scoreboard;
};

// Errors: the errno's code, naming the call that failed.
absl::StatusOr<WorkerProcess> ForkWorker(const WorkerSpec& spec);

// "worker 2", as in the log.
std::string WorkerRole(int slot);

}  // namespace baton

#endif  // BATON_MASTER_WORKER_PROCESS_H_
