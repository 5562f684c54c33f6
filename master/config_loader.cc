#include "master/config_loader.h"

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "master/flag_file.h"
#include "master/flag_values.h"
#include "net/in_context.h"

namespace baton {
namespace {

void Append(const std::vector<FlagSetting>& from,
            std::vector<FlagSetting>& to) {
  to.insert(to.end(), from.begin(), from.end());
}

// Of a switch like --check, which may be in the environment or on the command
// line.
absl::StatusOr<bool> Wants(absl::string_view flag,
                           const std::vector<FlagSetting>& settings) {
  bool wanted = false;
  for (const FlagSetting& setting : settings) {
    if (setting.name != flag) continue;
    const absl::StatusOr<bool> value = ParseBool(setting.value);
    if (!value.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(setting.source, ": ", value.status().message()));
    }
    wanted = *value;
  }
  return wanted;
}

// What to do instead of serving.
absl::StatusOr<StartAction> ActionFor(
    const std::vector<FlagSetting>& settings) {
  constexpr std::pair<absl::string_view, StartAction> kSwitches[] = {
      {"check", StartAction::kCheck},
      {"healthcheck", StartAction::kHealthCheck},
      {"readycheck", StartAction::kReadyCheck}};
  for (const auto& [flag, action] : kSwitches) {
    const absl::StatusOr<bool> wanted = Wants(flag, settings);
    if (!wanted.ok()) return wanted.status();
    if (*wanted) return action;
  }
  return StartAction::kServe;
}

}  // namespace

absl::StatusOr<ConfigLoader> ConfigLoader::Create(
    const std::vector<std::string>& args,
    const std::vector<std::string>& environment, ServiceRules rules) {
  absl::StatusOr<FlagSource> command_line = FlagsFromCommandLine(args);
  if (!command_line.ok()) return command_line.status();
  FlagSource variables = FlagsFromEnvironment(environment);

  ConfigLoader loader;
  loader.rules_ = std::move(rules);
  loader.warnings_ = std::move(variables.warnings);
  Append(variables.settings, loader.fixed_settings_);
  Append(command_line->settings, loader.fixed_settings_);
  loader.flag_file_ = command_line->flag_file.value_or(
      variables.flag_file.value_or(std::string()));
  const absl::StatusOr<StartAction> action = ActionFor(loader.fixed_settings_);
  if (!action.ok()) return action.status();
  loader.action_ = command_line->helpfull  ? StartAction::kHelpFull
                   : command_line->help    ? StartAction::kHelp
                   : command_line->version ? StartAction::kVersion
                                           : *action;
  for (const std::string& name : SettableFlags()) {
    loader.defaults_.emplace_back(name, FlagValue(name));
  }
  return loader;
}

absl::StatusOr<std::string> ConfigLoader::ReadFile() const {
  if (flag_file_.empty()) return std::string();
  absl::StatusOr<std::string> bytes = ReadFlagFile(flag_file_);
  if (!bytes.ok()) return InContext("--flagfile", bytes.status());
  // What somebody has begun to write, or a full disk has left of it.
  if (bytes->empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--flagfile: ", flag_file_, ": empty; if each flag is to have its ",
        "default, say so by a line with a comment (# ...)"));
  }
  return bytes;
}

absl::StatusOr<std::shared_ptr<const Config>> ConfigLoader::LoadWith(
    absl::string_view file_bytes, const KnownNames& known,
    ServiceChecks checks) const {
  absl::StatusOr<FlagSource> file = FlagsFromFile(flag_file_, file_bytes);
  if (!file.ok()) return file.status();
  std::vector<FlagSetting> settings = std::move(file->settings);
  Append(fixed_settings_, settings);

  FlagSourceNames sources;
  for (const FlagSetting& setting : settings) {
    sources[setting.name] = setting.source;
  }
  absl::StatusOr<Config> config = Config();
  {
    // Whatever comes of it, the flags are then what they were.
    const google::FlagSaver saver;
    const absl::Status applied = Apply(settings);
    if (!applied.ok()) return applied;
    config = ReadConfig(sources, rules_, known, checks);
  }
  if (!config.ok()) return config.status();
  // No more than that: a server that was started so before could never be
  // upgraded.
  if (config->watch_flagfile && flag_file_.empty()) {
    config->warnings.push_back(
        absl::StrCat(sources["watch_flagfile"],
                     ": there is nothing to watch without --flagfile=FILE"));
  }
  config->warnings.insert(config->warnings.begin(), warnings_.begin(),
                          warnings_.end());
  config->file_bytes = std::string(file_bytes);
  config->settings = std::move(settings);
  auto loaded = std::make_shared<const Config>(*std::move(config));
  const absl::Status activated = Activate(*loaded);
  if (!activated.ok()) return activated;
  return loaded;
}

absl::StatusOr<Endpoint> ConfigLoader::WhereToAsk(
    absl::string_view file_bytes) const {
  const auto value_of = [&](absl::string_view flag) {
    std::string value = FlagValue(flag);  // the default
    for (absl::string_view line : absl::StrSplit(file_bytes, '\n')) {
      line = absl::StripAsciiWhitespace(line);
      if (absl::ConsumePrefix(&line, absl::StrCat("--", flag, "="))) {
        value = std::string(line);
      }
    }
    for (const FlagSetting& setting : fixed_settings_) {
      if (setting.name == flag) value = setting.value;
    }
    return value;
  };
  absl::StatusOr<std::vector<ListenUrl>> urls =
      ParseListeners(value_of("admin"));
  if (!urls.ok()) return urls.status();
  absl::StatusOr<std::vector<ListenUrl>> control =
      ParseControlPath(value_of("control"));
  if (!control.ok()) return control.status();
  urls->insert(urls->end(), control->begin(), control->end());
  for (ListenUrl& url : *urls) {
    if (absl::Status status = Resolve(url); !status.ok()) return status;
    if (url.transport == ListenUrl::Transport::kUnix ||
        url.endpoint.port() != 0) {
      return url.endpoint;
    }
  }
  return absl::InvalidArgumentError(
      "the server has neither an --admin port with a number nor a --control "
      "socket to ask");
}

absl::Status ConfigLoader::Activate(const Config& config) const {
  return Apply(config.settings);
}

absl::Status ConfigLoader::Apply(
    const std::vector<FlagSetting>& settings) const {
  std::set<absl::string_view> given;
  for (const FlagSetting& setting : settings) given.insert(setting.name);
  // A default is left to the flag's validator too, as gflags does, but only if
  // it is to stay: that is how a flag is made obligatory.
  for (const auto& [name, value] : defaults_) {
    const bool stays = given.count(name) == 0;
    google::CommandLineFlagInfo flag;
    CHECK(google::GetCommandLineFlagInfo(name.c_str(), &flag)) << name;
    if (!stays || (flag.current_value == value && !flag.has_validator_fn)) {
      continue;
    }
    const absl::Status status = SetFlag(
        {.name = name, .value = value, .source = absl::StrCat("--", name)});
    if (!status.ok()) return status;
  }
  for (const FlagSetting& setting : settings) {
    const absl::Status status = SetFlag(setting);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace baton
