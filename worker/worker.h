#ifndef BATON_WORKER_WORKER_H_
#define BATON_WORKER_WORKER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "net/fd_channel.h"
#include "net/unique_fd.h"
#include "worker/access_log_file.h"
#include "worker/log_line.h"
#include "worker/scoreboard.h"
#include "worker/services.h"
#include "worker/settings.h"
#include "worker/worker_listener.h"

namespace baton {

// A worker: one process, one thread, one event loop. It does what its master
// says over the channel (worker/channel_messages.h) and never acts on its own,
// but for the one thing it must: when the channel ends, the master is gone, and
// the worker stops at once.
//
//   built: services' start callbacks have run, the loop turns   -> kReady
//   serving: its listeners are in epoll                <- kServe, -> kServing
//   leaving: no listeners; idle connections are passed on to another worker,
//     others when they get idle              <- kStopAccepting, kHandOver
//   draining: the server stops; idle connections end, others come to an end
//                                             <- kStopAccepting, kDrain
//   gone: no client's connection and no handler is left, or the drain's time
//     is over                                                  -> kDrained
//
// Signals: SIGTERM asks the master for a replacement (the master itself stops
// by other means, so a TERM sent to the whole group does nothing early);
// SIGHUP, SIGINT and SIGQUIT, which a terminal or pkill may send to the whole
// group, are left to the master.

struct WorkerStart {
  int slot = 0;
  uint64_t generation = 0;
  WorkerSettings settings;
  std::vector<WorkerListener> listeners;
  // Those of its listeners, and perhaps of others.
  std::vector<AccessLogFile> access_logs;
  FdChannel channel;
  Scoreboard scoreboard;
  const Services* services = nullptr;  // outlives the worker
  // Called with what a kReopenLog brings.
  std::function<void(UniqueFd, LogFormat)> reopen_log;
};

// Runs in the forked child, which has closed what it does not own, until the
// worker's end; returns the exit code: 0, or 1 if it could not start (logged).
int RunWorker(WorkerStart start);

}  // namespace baton

#endif  // BATON_WORKER_WORKER_H_
