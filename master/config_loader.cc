#include "master/config_loader.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "master/flag_file.h"
#include "master/flag_values.h"

namespace baton {
namespace {

void Append(const std::vector<FlagSetting>& from,
            std::vector<FlagSetting>& to) {
  to.insert(to.end(), from.begin(), from.end());
}

// Of --check, which may be in the environment or on the command line.
absl::StatusOr<bool> WantsCheck(const std::vector<FlagSetting>& settings) {
  bool check = false;
  for (const FlagSetting& setting : settings) {
    if (setting.name != "check") continue;
    const absl::StatusOr<bool> value = ParseBool(setting.value);
    if (!value.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(setting.source, ": ", value.status().message()));
    }
    check = *value;
  }
  return check;
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
  const absl::StatusOr<bool> check = WantsCheck(loader.fixed_settings_);
  if (!check.ok()) return check.status();
  loader.action_ = command_line->helpfull  ? StartAction::kHelpFull
                   : command_line->help    ? StartAction::kHelp
                   : command_line->version ? StartAction::kVersion
                   : *check                ? StartAction::kCheck
                                           : StartAction::kServe;
  for (const std::string& name : SettableFlags()) {
    loader.defaults_.emplace_back(name, FlagValue(name));
  }
  return loader;
}

absl::StatusOr<std::string> ConfigLoader::ReadFile() const {
  if (flag_file_.empty()) return std::string();
  absl::StatusOr<std::string> bytes = ReadFlagFile(flag_file_);
  if (!bytes.ok()) {
    return absl::Status(bytes.status().code(),
                        absl::StrCat("--flagfile: ", bytes.status().message()));
  }
  return bytes;
}

absl::StatusOr<std::shared_ptr<const Config>> ConfigLoader::Load(
    absl::string_view file_bytes) const {
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
    config = ReadConfig(sources, rules_);
  }
  if (!config.ok()) return config.status();
  config->warnings.insert(config->warnings.begin(), warnings_.begin(),
                          warnings_.end());
  config->settings = std::move(settings);
  auto loaded = std::make_shared<const Config>(*std::move(config));
  const absl::Status activated = Activate(*loaded);
  if (!activated.ok()) return activated;
  return loaded;
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
