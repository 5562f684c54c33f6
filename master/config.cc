#include "master/config.h"

#include <sys/socket.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "master/flag_values.h"
#include "master/helper_services.h"
#include "net/endpoint.h"
#include "net/quote.h"
#include "net/socket_options.h"
#include "net/units.h"
#include "worker/services.h"

namespace baton {
namespace {

// Reads flags into variables; remembers the first thing that is wrong.
class FlagReader {
 public:
  explicit FlagReader(const FlagSourceNames& sources) : sources_(sources) {}

  const absl::Status& status() const { return status_; }

  template <typename T>
  void Read(absl::string_view flag,
            absl::StatusOr<T> (*parse)(absl::string_view), T& value) {
    Take(flag, parse(FlagValue(flag)), value);
  }

  template <typename T, typename U>
  void Take(absl::string_view flag, absl::StatusOr<T> parsed, U& value) {
    if (parsed.ok()) {
      value = *std::move(parsed);
    } else {
      Fail(flag, parsed.status().message());
    }
  }

  void Fail(absl::string_view flag, absl::string_view what) {
    if (!status_.ok()) return;
    const auto source = sources_.find(flag);
    status_ = absl::InvalidArgumentError(absl::StrCat(
        source != sources_.end() ? source->second : absl::StrCat("--", flag),
        ": ", what));
  }

 private:
  const FlagSourceNames& sources_;
  absl::Status status_;
};

// Whether a socket cannot be bound to one while another is to the other.
// Listeners on [::] leave IPv4 alone unless they are asked to be dual.
bool InTheWay(const ListenUrl& a, const ListenUrl& b) {
  if (a.transport != b.transport || !a.endpoint.Overlaps(b.endpoint)) {
    return false;
  }
  return a.endpoint.family() == b.endpoint.family() || a.common.dual ||
         b.common.dual;
}

absl::Status CheckListeners(const ServiceRules& rules, const KnownNames& known,
                            ServiceChecks checks, Config& config) {
  std::vector<ListenUrl>& listeners = config.listen;
  if (listeners.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is none: name one at least, as in --listen=",
        rules.schemes.empty() ? "SCHEME" : rules.schemes.front(),
        "://127.0.0.1:7007 (schemes: ", absl::StrJoin(rules.schemes, ", "),
        ")"));
  }
  for (ListenUrl& url : listeners) {
    absl::Status status;
    if (checks == ServiceChecks::kAsk) status = rules.check(url);
    if (status.ok()) status = Resolve(known, url, config.names);
    if (!status.ok()) return status;
  }
  if (rules.check_together != nullptr) {
    if (absl::Status status = rules.check_together(listeners); !status.ok()) {
      return status;
    }
  }
  for (size_t i = 0; i < listeners.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!InTheWay(listeners[i], listeners[j])) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          Quote(listeners[j].text), " and ", Quote(listeners[i].text),
          " overlap: an address can be listened on once"));
    }
  }
  return absl::OkStatus();
}

// Those of the master's children.
absl::Status CheckAdmin(const KnownNames& known, ServiceChecks checks,
                        Config& config) {
  Services services;
  RegisterHelperServices(HelperKind::kAdmin, services);
  for (ListenUrl& url : config.admin) {
    absl::Status status;
    if (checks == ServiceChecks::kAsk) status = services.Check(url);
    if (status.ok() && !services.AccessLogs({&url, 1}).empty()) {
      status = absl::InvalidArgumentError(
          absl::StrCat(Quote(url.text), ": there is no access log of this"));
    }
    if (status.ok()) status = Resolve(known, url, config.names);
    if (!status.ok()) return status;
    for (const ListenUrl& other : config.listen) {
      if (!InTheWay(url, other)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(Quote(url.text), " is in the way of ", Quote(other.text),
                       " in --listen"));
    }
  }
  return absl::OkStatus();
}

void LookUpRunAs(const std::string& user, const std::string& group,
                 FlagReader& reader, std::optional<RunAs>& run_as) {
  std::optional<gid_t> gid;
  if (!group.empty()) reader.Take("group", ResolveGroup(group), gid);
  if (!reader.status().ok()) return;
  if (!user.empty()) {
    reader.Take("user", ResolveUser(user, gid), run_as);
  } else if (gid) {
    run_as = RunAs{.uid = std::nullopt, .user = "", .gid = *gid};
  }
}

void ReadRunAs(const KnownNames& known, FlagReader& reader, Config& config) {
  const std::string user = FlagValue("user");
  const std::string group = FlagValue("group");
  if (known.user.has_value() && known.user->user == user &&
      known.user->group == group) {
    config.run_as = known.user->run_as;
  } else {
    LookUpRunAs(user, group, reader, config.run_as);
  }
  if (config.run_as.has_value()) {
    config.names.user = {user, group, *config.run_as};
  }
}

void ReadWorkerSettings(FlagReader& reader, WorkerSettings& worker) {
  reader.Read("idle_timeout", ParseTimeout, worker.idle_timeout);
  reader.Read("write_timeout", ParseTimeout, worker.write_timeout);
  reader.Read("drain_timeout", ParseTimeout, worker.drain_timeout);
  reader.Read("stop_timeout", ParseTimeout, worker.stop_timeout);
  reader.Read("tcp_keepalive", ParseKeepalive, worker.tcp_keepalive);
  reader.Read("tcp_user_timeout", ParseTcpUserTimeout, worker.tcp_user_timeout);
  reader.Read("max_connections", ParseMaxConnections, worker.max_connections);
  reader.Read("max_connections_per_ip", ParseMaxConnectionsPerIp,
              worker.max_connections_per_ip);
  reader.Read("forwarded_from", ParseForwardedFrom, worker.forwarded_from);
  reader.Read("max_requests", ParseMaxRequests, worker.max_requests);
  reader.Read("job_threads", ParseJobThreads, worker.job_threads);
  reader.Read("job_queue", ParseJobQueue, worker.job_queue);
}

// A worker that serves next to nothing has some 6 MiB: less than twice that is
// no sign that one has grown.
constexpr int64_t kLeastUsefulMaxRss = int64_t{16} << 20;

std::vector<std::string> Warnings(const Config& config) {
  std::vector<std::string> warnings;
  if (config.workers > 0 && config.worker_memory > 0) {
    warnings.push_back(absl::StrCat(
        "--worker_memory has no effect with --workers=", config.workers));
  }
  if (config.max_rss > 0 && config.max_rss < kLeastUsefulMaxRss) {
    warnings.push_back(absl::StrCat(
        "--max_rss=", SizeToString(config.max_rss),
        " is hardly more than a new worker has: 0 (never), or from ",
        SizeToString(kLeastUsefulMaxRss)));
  }
  const KeepaliveOptions& keepalive = config.worker.tcp_keepalive;
  const absl::Duration patience =
      keepalive.idle + keepalive.interval * keepalive.count;
  const absl::Duration user_timeout = config.worker.tcp_user_timeout;
  // The kernel goes by this one when both are set - tcp(7).
  if (keepalive.enabled && user_timeout > absl::ZeroDuration() &&
      user_timeout < patience) {
    warnings.push_back(absl::StrCat(
        "--tcp_user_timeout=", DurationToString(user_timeout),
        " gives up before --tcp_keepalive=", KeepaliveToString(keepalive),
        " would, after ", DurationToString(patience)));
  }
  return warnings;
}

}  // namespace

absl::StatusOr<Config> ReadConfig(const FlagSourceNames& sources,
                                  const ServiceRules& rules,
                                  const KnownNames& known,
                                  ServiceChecks checks) {
  Config config;
  FlagReader reader(sources);
  reader.Read("workers", ParseWorkers, config.workers);
  reader.Read("worker_memory", ParseSize, config.worker_memory);
  reader.Read("pin_workers", ParseBool, config.pin_workers);
  reader.Read("listen", ParseListeners, config.listen);
  reader.Read("admin", ParseListeners, config.admin);
  reader.Read("control", ParseControlPath, config.control);
  config.control_is_default = sources.find("control") == sources.end();
  ReadWorkerSettings(reader, config.worker);
  reader.Read("ready_timeout", ParseReadyTimeout, config.ready_timeout);
  reader.Read("stall_timeout", ParseStallTimeout, config.stall_timeout);
  reader.Read("crash_loop_limit", ParseCrashLoopLimit, config.crash_loop_limit);
  reader.Read("max_rss", ParseSize, config.max_rss);
  reader.Read("probation", ParseTimeout, config.probation);
  reader.Read("max_draining", ParseMaxDraining, config.max_draining);
  reader.Read("drain_delay", ParseTimeout, config.drain_delay);
  reader.Read("watch_flagfile", ParseBool, config.watch_flagfile);
  reader.Read("pid_file", ParseText, config.pid_file);
  reader.Read("log_file", ParseText, config.log_file);
  reader.Read("log_format", ParseLogFormat, config.log_format);
  // What asks the system comes when everything else is right.
  if (reader.status().ok()) ReadRunAs(known, reader, config);
  if (reader.status().ok()) {
    const absl::Status listeners = CheckListeners(rules, known, checks, config);
    if (!listeners.ok()) reader.Fail("listen", listeners.message());
  }
  if (reader.status().ok()) {
    const absl::Status admin = CheckAdmin(known, checks, config);
    if (!admin.ok()) reader.Fail("admin", admin.message());
  }
  for (ListenUrl& url : config.control) {
    if (!reader.status().ok()) break;
    if (absl::Status control = Resolve(known, url, config.names);
        !control.ok()) {
      reader.Fail("control", control.message());
    }
  }
  if (!reader.status().ok()) return reader.status();
  config.warnings = Warnings(config);
  return config;
}

}  // namespace baton
