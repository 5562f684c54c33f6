#ifndef BATON_MASTER_CONFIG_H_
#define BATON_MASTER_CONFIG_H_

// Problem: flags are global variables that a reload writes to, one by one, as
// text. What serves must not see half of a new configuration, and nobody but
// one place should know how `60s:5s:3` is read.
//
// A Config is all of it at one moment: parsed, checked value by value and
// against each other, and then never changed. The master keeps one for each
// generation that still has workers.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "master/flag_registry.h"
#include "master/known_names.h"
#include "master/run_as.h"
#include "net/listen_url.h"
#include "worker/log_line.h"
#include "worker/settings.h"

namespace baton {

struct Config {
  // As asked for; 0 = see ResolveWorkerCount() in usable_cpus.h.
  int workers = 0;
  // With workers == 0: what one may need, in bytes; 0 = any amount.
  int64_t worker_memory = 0;
  bool pin_workers = false;
  // None = the master's own user and group.
  std::optional<RunAs> run_as;

  // At least one; host names looked up; no two in each other's way.
  std::vector<ListenUrl> listen;
  // Where the master's children serve, looked up too: the read-only port, and
  // the control socket (one or none).
  std::vector<ListenUrl> admin;
  std::vector<ListenUrl> control;
  bool control_is_default = false;  // nobody has asked for it
  // Also holds drain_timeout and stop_timeout, which the master goes by, too.
  WorkerSettings worker;

  absl::Duration ready_timeout;  // above zero
  absl::Duration stall_timeout;  // 0 = none
  int crash_loop_limit = 0;      // 0 = none
  int64_t max_rss = 0;           // of a worker, in bytes; 0 = any
  absl::Duration probation;      // of a reload's first new worker
  int max_draining = 8;          // per slot
  absl::Duration drain_delay;

  bool watch_flagfile = false;
  std::string pid_file;  // empty = none
  std::string log_file;  // empty = stderr
  LogFormat log_format = LogFormat::kText;

  // Not wrong, but hardly what was meant. Sentences, for the log.
  std::vector<std::string> warnings;

  // What was looked up for it, or known.
  KnownNames names;

  // Of the flag file, as they were.
  std::string file_bytes;
  // What it was made of, in the order of precedence: see
  // ConfigLoader::Activate().
  std::vector<FlagSetting> settings;
};

// What the configuration needs to know about the services that there are.
struct ServiceRules {
  // Sorted, for error texts and --help.
  std::vector<std::string> schemes;
  // Whether a service serves this URL; the error says what is wrong with it
  // and what there is. May wait, for a disk or for what an application does.
  std::function<absl::Status(const ListenUrl&)> check;
  // And whether they, who each pass that, go together; none: they do.
  std::function<absl::Status(absl::Span<const ListenUrl>)> check_together =
      nullptr;
};

// Where each flag was set: what an error about it begins with. A flag that is
// not in it has its default.
using FlagSourceNames = std::map<std::string, std::string, std::less<>>;

// Whether the services are asked what they say of their listeners.
enum class ServiceChecks : uint8_t { kAsk, kHaveSaidYes };

// The configuration that gflags' values are now. Looks up host names, users and
// groups that are not in `known`, so it may block. Errors are InvalidArgument,
// one line each.
absl::StatusOr<Config> ReadConfig(const FlagSourceNames& sources,
                                  const ServiceRules& rules,
                                  const KnownNames& known,
                                  ServiceChecks checks);

}  // namespace baton

#endif  // BATON_MASTER_CONFIG_H_
