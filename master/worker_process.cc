#include "master/worker_process.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "master/child_process.h"
#include "master/usable_cpus.h"
#include "net/errno_status.h"
#include "worker/worker.h"

namespace baton {
namespace {

absl::Status Pin(int slot) {
  const absl::StatusOr<std::vector<int>> cpus = AffinityCpus();
  if (!cpus.ok()) return cpus.status();
  const int cpu = (*cpus)[static_cast<size_t>(slot) % cpus->size()];
  cpu_set_t* set = CPU_ALLOC(cpu + 1);
  const size_t bytes = CPU_ALLOC_SIZE(cpu + 1);
  CPU_ZERO_S(bytes, set);
  CPU_SET_S(cpu, bytes, set);
  const int error = sched_setaffinity(0, bytes, set) == 0 ? 0 : errno;
  CPU_FREE(set);
  if (error == 0) return absl::OkStatus();
  return ErrnoStatus("sched_setaffinity", absl::StrCat("CPU ", cpu), error);
}

int WorkerMain(const WorkerSpec& spec, FdChannel channel,
               const UniqueFd& scoreboard_file, pid_t master) {
  absl::StatusOr<Scoreboard> scoreboard =
      Scoreboard::Open(scoreboard_file.get());
  if (!scoreboard.ok()) {
    LOG(ERROR) << scoreboard.status().message();
    return 1;
  }
  ChildSetup setup;
  setup.role = WorkerRole(spec.slot);
  setup.title = absl::StrCat(setup.role, " (generation ", spec.generation, ")");
  setup.log = spec.log;
  setup.keep = *spec.not_ours;
  setup.keep.push_back(channel.fd());
  for (const ListenerSlots::Listener& listener : spec.listeners) {
    setup.keep.push_back(listener.fd);
  }
  for (const auto& [path, fd] : spec.access_logs->files()) {
    setup.keep.push_back(fd.get());
  }
  setup.run_as = spec.config->run_as;
  setup.master = master;
  if (absl::Status status = SetUpChild(std::move(setup)); !status.ok()) {
    LOG(ERROR) << "the worker can't start: " << status.message();
    return 1;
  }
  spec.log->CountDroppedIn(&scoreboard->counters().log_lines_dropped);
  if (spec.config->pin_workers) {
    // Slower, not wrong.
    if (absl::Status pinned = Pin(spec.slot); !pinned.ok()) {
      LOG(WARNING) << "not pinned: " << pinned.message();
    }
  }
  WorkerStart start{
      .slot = spec.slot,
      .generation = spec.generation,
      .settings = spec.config->worker,
      .listeners = {},
      .access_logs = {},
      .channel = std::move(channel),
      .scoreboard = *std::move(scoreboard),
      .services = spec.services,
      .reopen_log = [log = spec.log](UniqueFd fd, LogFormat format) {
        log->Reopen(std::move(fd), format);
      }};
  for (const ListenerSlots::Listener& listener : spec.listeners) {
    start.listeners.push_back({listener.url, UniqueFd(listener.fd)});
  }
  for (const auto& [path, fd] : spec.access_logs->files()) {
    start.access_logs.push_back({path, UniqueFd(fd.get())});
  }
  return RunWorker(std::move(start));
}

}  // namespace

std::string WorkerRole(int slot) { return absl::StrCat("worker ", slot); }

absl::StatusOr<WorkerProcess> ForkWorker(const WorkerSpec& spec) {
  absl::StatusOr<std::pair<FdChannel, FdChannel>> ends =
      FdChannel::CreatePair();
  if (!ends.ok()) return ends.status();
  absl::StatusOr<UniqueFd> file = CreateScoreboardFile();
  if (!file.ok()) return file.status();
  absl::StatusOr<ScoreboardView> view = ScoreboardView::Open(file->get());
  if (!view.ok()) return view.status();
  const pid_t master = getpid();
  absl::StatusOr<Process> process = Process::Fork(
      [&] { return WorkerMain(spec, std::move(ends->second), *file, master); });
  if (!process.ok()) return process.status();
  return WorkerProcess{*std::move(process), std::move(ends->first),
                       *std::move(view), *std::move(file)};
}

}  // namespace baton
