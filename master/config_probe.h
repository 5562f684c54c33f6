#ifndef BATON_MASTER_CONFIG_PROBE_H_
#define BATON_MASTER_CONFIG_PROBE_H_

// Whether a server would come up with a configuration: found out by doing what
// its workers will do, short of serving.
//
// The set-up of an application's services is its own code. It may fail, crash
// or hang, and may find as the workers' user what the master's did not (a
// folder that it can't read): so a reload is tried by a child of the master
// (trial.h) before the master itself takes up anything.

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "master/config.h"
#include "master/config_loader.h"
#include "master/known_names.h"
#include "master/trial.h"
#include "worker/log_sink.h"
#include "worker/services.h"

namespace baton {

// Drops rights for good, checks the listeners' options as that user, and sets
// the services up and ends them. For a process that does nothing else.
absl::Status CheckServices(const Config& config, const Services& services);

struct ProbeSpec {
  const ConfigLoader* loader = nullptr;
  const Services* services = nullptr;
  LineLogSink* log = nullptr;
  // Descriptors that the application's set-up may use: see WorkerSpec.
  const std::vector<int>* not_ours = nullptr;
  std::string file_bytes;
  pid_t master = 0;
};

// In the child. `output` gets what names stand for, then, if the exit code that
// it returns is 2 and not 0, the reason.
int RunConfigProbe(const ProbeSpec& spec, int output);

// What is wrong with the configuration, by the probe's end; if nothing is, the
// names that it has looked up.
absl::StatusOr<KnownNames> ProbeVerdict(const Trial::Result& result,
                                        absl::Duration patience);

}  // namespace baton

#endif  // BATON_MASTER_CONFIG_PROBE_H_
