#include "master/canary.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "master/child_process.h"
#include "master/inherited_fd.h"
#include "net/open_fds.h"
#include "worker/worker.h"

namespace baton {
namespace {

int Fail(const absl::Status& status) {
  LOG(ERROR) << "the canary can't start: " << status.message();
  return 1;
}

}  // namespace

int RunCanary(const Handoff& handoff, const Config& config,
              const Services& services, LineLogSink& log) {
  const nlohmann::json& left = handoff.document;
  const auto generation = left.value("generation", uint64_t{0});
  absl::StatusOr<UniqueFd> channel = TakeInheritedFd(left.value("channel", -1));
  if (!channel.ok()) return Fail(channel.status());
  ChildSetup setup;
  setup.role = "canary";
  setup.title = absl::StrCat("canary (generation ", generation, ")");
  setup.log = &log;
  // Whatever the master did not want it to have has been closed by the exec.
  absl::StatusOr<std::vector<int>> open = OpenFds();
  if (!open.ok()) return Fail(open.status());
  setup.keep = *std::move(open);
  setup.run_as = config.run_as;
  setup.master = left.value("master", pid_t{0});
  if (absl::Status status = SetUpChild(std::move(setup)); !status.ok()) {
    return Fail(status);
  }
  absl::StatusOr<Scoreboard> scoreboard = Scoreboard::Create();
  if (!scoreboard.ok()) return Fail(scoreboard.status());
  return RunWorker({.slot = 0,
                    .generation = generation,
                    .settings = config.worker,
                    .listeners = {},
                    .access_logs = {},
                    .channel = FdChannel(*std::move(channel)),
                    .scoreboard = *std::move(scoreboard),
                    .services = &services,
                    .reopen_log = [&log](UniqueFd fd, LogFormat format) {
                      log.Reopen(std::move(fd), format);
                    }});
}

}  // namespace baton
