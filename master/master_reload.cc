// How the master takes up another configuration: read once, tried by a child,
// then loaded.

#include <unistd.h>

#include <string>
#include <utility>

#include "glog/logging.h"
#include "master/config_probe.h"
#include "master/master.h"
#include "master/master_link.h"
#include "worker/log_event.h"

namespace baton {

void Master::Do(const action::LoadConfig& load) {
  loading_ = load;
  absl::StatusOr<std::string> bytes = loader_.ReadFile();
  absl::Status started = bytes.status();
  if (started.ok()) started = StartProbe(*std::move(bytes));
  if (!started.ok()) EndLoading(started);
}

absl::Status Master::StartProbe(std::string file_bytes) {
  const absl::Duration patience =
      configs_.at(supervisor_->generation())->ready_timeout;
  ProbeSpec spec;
  spec.loader = &loader_;
  spec.services = &services_;
  spec.log = &log_;
  spec.not_ours = &not_ours_;
  spec.file_bytes = file_bytes;
  spec.master = getpid();
  return probe_->Start(
      [&spec](int output) { return RunConfigProbe(spec, output); }, patience,
      [this, patience,
       bytes = std::move(file_bytes)](const Trial::Result& result) {
        // It may have stood before strangers, of whose end nothing more is
        // told.
        strangers_timer_->Start(absl::ZeroDuration());
        if (absl::Status verdict = ProbeVerdict(result, patience);
            !verdict.ok()) {
          return EndLoading(std::move(verdict));
        }
        EndLoading(Load(*loading_, bytes));
      });
}

void Master::EndLoading(absl::StatusOr<SupervisorSettings> settings) {
  const Generation generation = loading_->generation;
  loading_.reset();
  if (settings.ok()) {
    LogListening(generation);
    Feed(event::ConfigLoaded{generation, *std::move(settings)});
  } else {
    Feed(event::ConfigRejected{generation,
                               std::string(settings.status().message())});
  }
}

// Nobody waits for a configuration that nobody will serve.
void Master::CancelLoadingAtStop() {
  if (!loading_.has_value() || supervisor_->takes_requests()) return;
  probe_->Cancel();
  EndLoading(absl::AbortedError("the server is stopping"));
}

}  // namespace baton
