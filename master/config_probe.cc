#include "master/config_probe.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "master/access_log_files.h"
#include "master/child_process.h"
#include "master/drop_rights.h"
#include "net/event_loop.h"
#include "net/in_context.h"
#include "net/units.h"

namespace baton {
namespace {

constexpr int kGood = 0;
constexpr int kBad = 2;

constexpr size_t kMaxReasonBytes = 4096;

void Write(int output, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(output, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // the exit code says enough
    text.remove_prefix(static_cast<size_t>(count));
  }
}

absl::Status Probe(const ProbeSpec& spec, int output) {
  ChildSetup setup;
  setup.role = setup.title = "probe";
  setup.log = spec.log;
  setup.keep = *spec.not_ours;
  setup.keep.push_back(output);
  setup.master = spec.master;
  // With the master's rights still: whose to take, the configuration says.
  if (absl::Status status = SetUpChild(std::move(setup)); !status.ok()) {
    return status;
  }
  const absl::StatusOr<std::shared_ptr<const Config>> config =
      spec.loader->Load(spec.file_bytes);
  if (!config.ok()) return config.status();
  // Before anybody with fewer rights could say whom workers are to run as.
  Write(output, NamesLine((*config)->names));
  return CheckServices(**config, *spec.services);
}

}  // namespace

absl::Status CheckServices(const Config& config, const Services& services) {
  // With the rights that they are opened with.
  for (const std::string& path : services.AccessLogs(config.listen)) {
    if (absl::Status status = CheckAccessLog(path); !status.ok()) {
      return status;
    }
  }
  if (config.run_as.has_value()) {
    // It clears the wish to die with the parent - prctl(2).
    int death_signal = 0;
    prctl(PR_GET_PDEATHSIG, &death_signal);
    const pid_t parent = getppid();
    if (absl::Status status = DropRights(*config.run_as); !status.ok()) {
      return status;
    }
    prctl(PR_SET_PDEATHSIG, death_signal);
    if (death_signal != 0 && getppid() != parent) {
      return absl::AbortedError("the master is gone");
    }
  }
  for (const ListenUrl& url : config.listen) {
    if (absl::Status status = services.Check(url); !status.ok()) {
      return InContext("--listen", status);
    }
  }
  // As in a worker: timers that the set-up starts are filed, though they never
  // come. It is there until the end of the process, for those that are static.
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  if (!loop.ok()) return loop.status();
  static_cast<void>(loop->release());
  if (absl::Status status = services.RunWorkerStart(); !status.ok()) {
    return status;
  }
  services.RunWorkerStop();
  return absl::OkStatus();
}

int RunConfigProbe(const ProbeSpec& spec, int output) {
  const absl::Status status = Probe(spec, output);
  if (status.ok()) return kGood;
  Write(output, status.message());
  return kBad;
}

absl::StatusOr<KnownNames> ProbeVerdict(const Trial::Result& result,
                                        absl::Duration patience) {
  if (result.timed_out) {
    return absl::DeadlineExceededError(
        absl::StrCat("the probe of the new configuration was not done within "
                     "ready_timeout (",
                     DurationToString(patience), ")"));
  }
  if (result.status.signal() != 0) {
    return absl::InternalError(
        absl::StrCat("the probe of the new configuration was killed by signal ",
                     result.status.ToString()));
  }
  std::string reason = result.output;
  KnownNames names = TakeNamesLine(reason);
  // Then the first such line may not be the one that was written with rights.
  if (result.cut) names = KnownNames();
  if (result.status.clean()) return names;
  if (result.status.code() == kBad && !reason.empty()) {
    return absl::InvalidArgumentError(reason.substr(0, kMaxReasonBytes));
  }
  return absl::InternalError(
      absl::StrCat("the probe of the new configuration ended with ",
                   result.status.ToString()));
}

}  // namespace baton
