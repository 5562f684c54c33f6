#include "master/helper_process.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "master/child_process.h"
#include "master/id_maps.h"
#include "master/master_client.h"
#include "worker/worker.h"

namespace baton {
namespace {

// Nobody reads metrics over more connections at a time. At the limit the next
// ones wait, until those that say nothing are dropped.
constexpr int64_t kMaxConnections = 512;
constexpr absl::Duration kIdleTimeout = absl::Seconds(10);

// The user and group that own nothing, on any Linux.
constexpr uid_t kNobody = 65534;

// A helper needs no right at all once it has its listener.
std::optional<RunAs> RunAsOf(const Config& config) {
  if (config.run_as.has_value() && config.run_as->uid.has_value()) {
    return config.run_as;
  }
  // In a container that has nobody else, its root is all there is.
  if (getuid() != 0 || !CanBecome(kNobody)) return std::nullopt;
  return RunAs{.uid = kNobody, .user = "", .gid = kNobody};
}

// What a question takes at most, unless the URL says something else.
void AddDefaults(ListenUrl& url) {
  constexpr std::pair<absl::string_view, absl::string_view> kDefaults[] = {
      {"header_timeout", "5s"}, {"body_timeout", "5s"}, {"max_body", "4KiB"}};
  for (const auto& [name, value] : kDefaults) {
    if (std::none_of(url.options.begin(), url.options.end(),
                     [name = name](const auto& option) {
                       return option.first == name;
                     })) {
      url.options.emplace_back(name, value);
    }
  }
}

WorkerSettings SettingsOf(const Config& config) {
  WorkerSettings settings;
  settings.idle_timeout = kIdleTimeout;
  settings.write_timeout = kIdleTimeout;
  settings.stop_timeout = config.worker.stop_timeout;
  settings.max_connections = kMaxConnections;
  settings.job_threads = {.min = 1, .max = 1};
  return settings;
}

int HelperMain(const HelperSpec& spec, FdChannel channel, FdChannel inquiries,
               pid_t master) {
  absl::StatusOr<Scoreboard> scoreboard = Scoreboard::Create();
  if (!scoreboard.ok()) {
    LOG(ERROR) << scoreboard.status().message();
    return 1;
  }
  ChildSetup setup;
  setup.role = setup.title = HelperName(spec.kind);
  setup.log = spec.log;
  // Nothing of what an application has opened: it serves strangers.
  setup.keep = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, channel.fd()};
  setup.keep.push_back(inquiries.fd());
  for (const ListenerSlots::Listener& listener : spec.listeners) {
    setup.keep.push_back(listener.fd);
  }
  setup.run_as = RunAsOf(*spec.config);
  setup.master = master;
  const uid_t master_uid = getuid();
  if (absl::Status status = SetUpChild(std::move(setup)); !status.ok()) {
    LOG(ERROR) << "can't start: " << status.message();
    return 1;
  }
  // Neither is ever destroyed: the process ends with connections that use them.
  std::make_unique<MasterClient>(std::move(inquiries), master_uid)
      .release()
      ->MakeCurrent();
  Services& services = *std::make_unique<Services>().release();
  RegisterHelperServices(spec.kind, services);
  WorkerStart start{
      .slot = 0,
      .generation = spec.generation,
      .settings = SettingsOf(*spec.config),
      .listeners = {},
      .access_logs = {},
      .channel = std::move(channel),
      .scoreboard = *std::move(scoreboard),
      .services = &services,
      .reopen_log = [log = spec.log](UniqueFd fd, LogFormat format) {
        log->Reopen(std::move(fd), format);
      }};
  for (const ListenerSlots::Listener& listener : spec.listeners) {
    WorkerListener& added =
        start.listeners.emplace_back(listener.url, UniqueFd(listener.fd));
    AddDefaults(added.url);
  }
  return RunWorker(std::move(start));
}

}  // namespace

absl::StatusOr<HelperProcess> ForkHelper(const HelperSpec& spec) {
  absl::StatusOr<std::pair<FdChannel, FdChannel>> channel =
      FdChannel::CreatePair();
  if (!channel.ok()) return channel.status();
  absl::StatusOr<std::pair<FdChannel, FdChannel>> inquiries =
      FdChannel::CreatePair();
  if (!inquiries.ok()) return inquiries.status();
  const pid_t master = getpid();
  absl::StatusOr<Process> process = Process::Fork([&] {
    return HelperMain(spec, std::move(channel->second),
                      std::move(inquiries->second), master);
  });
  if (!process.ok()) return process.status();
  return HelperProcess{*std::move(process), std::move(channel->first),
                       std::move(inquiries->first)};
}

}  // namespace baton
