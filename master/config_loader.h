#ifndef BATON_MASTER_CONFIG_LOADER_H_
#define BATON_MASTER_CONFIG_LOADER_H_

// Problem: the configuration is made of four layers (default, flag file,
// environment, command line), of which one is read again while the server runs.
// A flag whose line has gone must fall back, a mistake must change
// nothing, and at no moment may the process end for it.
//
// ConfigLoader keeps what stays the same for the life of the master (command
// line, environment, and the value that each flag had before them) and builds a
// Config from it and the bytes of the file, as often as asked.
//
//     auto loader = ConfigLoader::Create(args, environment, rules);
//     auto bytes = loader->ReadFile();        // may be given to a probe
//     auto config = loader->Load(*bytes);     // or: leave all as it was
//
// Contract
// * Every error is InvalidArgument or an errno's code, one line that names the
//   flag, the value and what is allowed, with FILE:LINE where there is one:
//   what is printed before exit code 2.
// * Load() that fails leaves every gflag as it was. One that succeeds leaves
//   them, the application's DEFINE_xxx too, at the new values.
// * A worker has the flags that the master had when it was forked. For one of
//   another generation (rolled back, or replaced while the next one is being
//   loaded) call Activate() with its Config first.
// * A flag that the application assigned before Create() keeps that value as
//   its default.
// * Main thread only, as the flags are not synchronised.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "master/config.h"
#include "master/flag_sources.h"
#include "master/known_names.h"
#include "net/endpoint.h"

namespace baton {

enum class StartAction {
  kServe,
  kCheck,
  kHealthCheck,
  kReadyCheck,
  kHelp,
  kHelpFull,
  kVersion
};

class ConfigLoader {
 public:
  // `args` is argv without argv[0], `environment` holds NAME=VALUE. Fails for
  // a command line that makes no sense, whatever the file may say. Sets
  // nothing.
  static absl::StatusOr<ConfigLoader> Create(
      const std::vector<std::string>& args,
      const std::vector<std::string>& environment, ServiceRules rules);

  StartAction action() const { return action_; }

  // --flagfile; empty = none.
  const std::string& flag_file() const { return flag_file_; }

  // The bytes of the flag file, none if there is none. One without any is an
  // error, which names it: it is hardly meant.
  absl::StatusOr<std::string> ReadFile() const;

  // What is in `known` is not looked up, the rest is. The services are asked
  // whether they can serve the listeners.
  absl::StatusOr<std::shared_ptr<const Config>> Load(
      absl::string_view file_bytes,
      const KnownNames& known = KnownNames()) const {
    return LoadWith(file_bytes, known, ServiceChecks::kAsk);
  }
  // The same bytes again, once another process has loaded them. With the names
  // that its Config has, this looks nothing up, and asks no service: they may
  // look at a disk (root=), and a mount that hangs must not take a master along
  // that serves. The validators of the application's flags do run; what files
  // the Config names is for its user to open.
  absl::StatusOr<std::shared_ptr<const Config>> LoadChecked(
      absl::string_view file_bytes, const KnownNames& known) const {
    return LoadWith(file_bytes, known, ServiceChecks::kHaveSaidYes);
  }

  // Where a server that was started like this answers questions: on its admin
  // port, or if that has no number, on its control socket. Whatever else is
  // wrong with the file does not matter: the server that runs may have been
  // started before.
  absl::StatusOr<Endpoint> WhereToAsk(absl::string_view file_bytes) const;

  // Sets all flags as they were when `config` was loaded. Fails only if a
  // validator of the application refuses what it once took; then some are set.
  absl::Status Activate(const Config& config) const;

 private:
  ConfigLoader() = default;

  absl::StatusOr<std::shared_ptr<const Config>> LoadWith(
      absl::string_view file_bytes, const KnownNames& known,
      ServiceChecks checks) const;
  absl::Status Apply(const std::vector<FlagSetting>& settings) const;

  ServiceRules rules_;
  StartAction action_ = StartAction::kServe;
  std::string flag_file_;
  // Environment, then command line.
  std::vector<FlagSetting> fixed_settings_;
  std::vector<std::string> warnings_;
  // Every settable flag's name and value at Create().
  std::vector<std::pair<std::string, std::string>> defaults_;
};

}  // namespace baton

#endif  // BATON_MASTER_CONFIG_LOADER_H_
