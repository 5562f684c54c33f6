#ifndef BATON_MASTER_WORKER_PROCESS_H_
#define BATON_MASTER_WORKER_PROCESS_H_

// A worker process as its master makes it.
//
// It maps its scoreboard, takes over channel and listeners, becomes a child of
// its own (child_process.h), and runs.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "master/access_log_files.h"
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
  const AccessLogFiles* access_logs = nullptr;
  // Descriptors that are not the master's: the application opened them before
  // it called Main, or they were inherited. Workers keep them.
  const std::vector<int>* not_ours = nullptr;
};

// The master's ends.
struct WorkerProcess {
  Process process;
  FdChannel channel;
  ScoreboardView scoreboard;
  UniqueFd scoreboard_file;  // for another binary's view
};

// Errors: the errno's code, naming the call that failed.
absl::StatusOr<WorkerProcess> ForkWorker(const WorkerSpec& spec);

// "worker 2", as in the log.
std::string WorkerRole(int slot);

}  // namespace baton

#endif  // BATON_MASTER_WORKER_PROCESS_H_
