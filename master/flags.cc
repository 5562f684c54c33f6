#include "master/flags.h"

#include <array>

#include "absl/algorithm/container.h"
#include "gflags/gflags.h"
#include "master/control_path.h"
#include "master/flag_values.h"
#include "net/socket_options.h"
#include "net/units.h"

// The descriptions are what --help shows, one line each. A flag without one
// shares the line of the next.

DEFINE_string(listen, "http://0.0.0.0:8080", "what to serve");
DEFINE_int64(max_connections, 0, "per worker; 0: what RLIMIT_NOFILE allows");
DEFINE_int64(max_connections_per_ip, 0, "per worker; IPv6 by /64; 0: no limit");
DEFINE_string(forwarded_from, "", "proxies whose X-Forwarded-For is believed");
DEFINE_string(idle_timeout, "60s", "reap one idle for that long; 0s: never");
DEFINE_string(write_timeout, "20s",
              "drop a peer that takes nothing; 0s: never");
DEFINE_string(tcp_keepalive, "60s:5s:3", "idle:interval:count, or off");
DEFINE_string(tcp_user_timeout, "75s",
              "for unacknowledged data; 0s: the kernel's");

DEFINE_string(admin, "http://127.0.0.1:9180", "health, status, metrics");
DEFINE_string(control, baton::DefaultControlPath(), "for batonctl");

DEFINE_int32(workers, 0, "0: one per usable CPU");
DEFINE_string(worker_memory, "0", "what one may need: start no more than fit");
DEFINE_bool(pin_workers, false, "worker i runs on usable CPU i");
DEFINE_string(job_threads, "1:8", "a worker's, for blocking work: min:max");
DEFINE_int32(job_queue, 1024, "jobs that may wait for one of them");
DEFINE_int64(max_requests, 0, "recycle a worker after so many; 0: never");
DEFINE_string(max_rss, "0", "recycle a worker larger than this; 0: never");
DEFINE_string(user, "", "");
DEFINE_string(group, "", "workers run as these");
DEFINE_string(ready_timeout, "10s", "a worker not ready by then has failed");
DEFINE_string(stall_timeout, "30s", "end a worker stuck so long; 0s: never");
DEFINE_int32(crash_loop_limit, 0,
             "exit 4 after so many faults in 60s; 0: never");

DEFINE_string(probation, "2s", "watch a reload's first new worker so long");
DEFINE_string(drain_timeout, "0s", "for an old worker's connections; 0s: any");
DEFINE_int32(max_draining, 8, "old workers a slot may have; more are cut");
DEFINE_string(drain_delay, "0s", "after SIGTERM, serve on that long first");
DEFINE_string(stop_timeout, "8s", "how long a stop may take");

DEFINE_bool(watch_flagfile, false, "reload when it changes, links and all");
DEFINE_bool(check, false, "is the configuration good? exit 0 or 2");
DEFINE_bool(healthcheck, false, "");
DEFINE_bool(readycheck, false, "ask a server here; exit 0 or 1");
DEFINE_string(pid_file, "", "locked; written when ready, removed at exit");

DEFINE_string(log_file, "", "instead of stderr; SIGUSR1 opens it again");
DEFINE_string(log_format, "text", "a record is a line, or a JSON object");

namespace baton {
namespace {

template <auto Parse>
absl::Status Check(absl::string_view value) {
  return Parse(value).status();
}

constexpr char kServe[] = "Serving";
constexpr char kWorkers[] = "Workers";
constexpr char kOperate[] = "Seeing and controlling it";
constexpr char kStop[] = "Reload and stop";
constexpr char kConfiguration[] = "Configuration, log, help";

constexpr std::array<OwnFlag, 38> kOwnFlags = {{
    {"listen", "URL[,URL...]", kServe, Check<ParseListeners>},
    {"max_connections", "N", kServe, Check<ParseMaxConnections>},
    {"max_connections_per_ip", "N", kServe, Check<ParseMaxConnectionsPerIp>},
    {"forwarded_from", "CIDR[,CIDR...]", kServe, Check<ParseForwardedFrom>},
    {"idle_timeout", "DURATION", kServe, Check<ParseTimeout>},
    {"write_timeout", "DURATION", kServe, Check<ParseTimeout>},
    {"tcp_keepalive", "PROBES", kServe, Check<ParseKeepalive>},
    {"tcp_user_timeout", "DURATION", kServe, Check<ParseTcpUserTimeout>},

    {"workers", "N", kWorkers, Check<ParseWorkers>},
    {"worker_memory", "SIZE", kWorkers, Check<ParseSize>},
    {"pin_workers", "", kWorkers, Check<ParseBool>},
    {"job_threads", "MIN:MAX", kWorkers, Check<ParseJobThreads>},
    {"job_queue", "N", kWorkers, Check<ParseJobQueue>},
    {"max_requests", "N", kWorkers, Check<ParseMaxRequests>},
    {"max_rss", "SIZE", kWorkers, Check<ParseSize>},
    {"user", "NAME", kWorkers, Check<ParseText>},
    {"group", "NAME", kWorkers, Check<ParseText>},
    {"ready_timeout", "DURATION", kWorkers, Check<ParseReadyTimeout>},
    {"stall_timeout", "DURATION", kWorkers, Check<ParseStallTimeout>},
    {"crash_loop_limit", "N", kWorkers, Check<ParseCrashLoopLimit>},

    {"admin", "URL[,URL...]", kOperate, Check<ParseListeners>},
    {"control", "PATH", kOperate, Check<ParseControlPath>},
    {"healthcheck", "", kOperate, Check<ParseBool>},
    {"readycheck", "", kOperate, Check<ParseBool>},

    {"probation", "DURATION", kStop, Check<ParseTimeout>},
    {"drain_timeout", "DURATION", kStop, Check<ParseTimeout>},
    {"max_draining", "N", kStop, Check<ParseMaxDraining>},
    {"drain_delay", "DURATION", kStop, Check<ParseTimeout>},
    {"stop_timeout", "DURATION", kStop, Check<ParseTimeout>},

    {"flagfile", "FILE", kConfiguration, nullptr,
     "more flags; SIGHUP reads it again"},
    {"watch_flagfile", "", kConfiguration, Check<ParseBool>},
    {"check", "", kConfiguration, Check<ParseBool>},
    {"pid_file", "PATH", kConfiguration, Check<ParseText>},
    {"log_file", "PATH", kConfiguration, Check<ParseText>},
    {"log_format", "text|json", kConfiguration, Check<ParseLogFormat>},
    {"help", "", kConfiguration, nullptr, "this screen"},
    {"helpfull", "", kConfiguration, nullptr,
     "the program's own flags and glog's, too"},
    {"version", "", kConfiguration, nullptr, "version, build and compiler"},
}};

}  // namespace

absl::Span<const OwnFlag> OwnFlags() { return kOwnFlags; }

const OwnFlag* FindOwnFlag(absl::string_view name) {
  const auto found = absl::c_find_if(
      kOwnFlags, [name](const OwnFlag& flag) { return flag.name == name; });
  return found == kOwnFlags.end() ? nullptr : &*found;
}

}  // namespace baton
