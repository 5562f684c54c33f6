#include "master/flag_sources.h"

#include <cstddef>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "master/flag_file.h"
#include "master/flag_values.h"
#include "net/quote.h"

namespace baton {
namespace {

constexpr absl::string_view kPrefix = "BATON_";

// A switch without a value, or a negated one: "true" or "false".
absl::StatusOr<std::string> SwitchValue(
    const FlagName& flag, absl::string_view written,
    const std::optional<std::string>& value) {
  if (value && flag.negated) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", written, ": takes no value; write --", flag.name,
                     "=", "true or --", flag.name, "=false"));
  }
  if (value) return *value;
  return std::string(flag.negated ? "false" : "true");
}

// What the command line says about what to do, kept out of the settings.
// Returns whether `setting` was that.
absl::StatusOr<bool> TakeUp(const FlagSetting& setting, FlagSource& source) {
  if (setting.name == "flagfile") {
    source.flag_file = setting.value;
    return true;
  }
  bool* const wish = setting.name == "help"       ? &source.help
                     : setting.name == "helpfull" ? &source.helpfull
                     : setting.name == "version"  ? &source.version
                                                  : nullptr;
  if (wish == nullptr) return false;
  const absl::StatusOr<bool> value = ParseBool(setting.value);
  if (!value.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(setting.source, ": ", value.status().message()));
  }
  *wish = *value;
  return true;
}

struct Argument {
  std::string written;
  std::optional<std::string> value;
};

absl::StatusOr<Argument> SplitArgument(absl::string_view text) {
  absl::string_view rest = text;
  const bool dash = absl::ConsumePrefix(&rest, "-");
  absl::ConsumePrefix(&rest, "-");
  if (!dash || rest.empty() || rest.front() == '=') {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected argument ", Quote(text),
                     ": there are only flags, such as --workers=4"));
  }
  const size_t equals = rest.find('=');
  Argument argument{.written = std::string(rest.substr(0, equals)),
                    .value = {}};
  if (equals != absl::string_view::npos) {
    argument.value = std::string(rest.substr(equals + 1));
  }
  return argument;
}

}  // namespace

absl::StatusOr<FlagSource> FlagsFromCommandLine(
    absl::Span<const std::string> args) {
  FlagSource source;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::StatusOr<Argument> argument = SplitArgument(args[i]);
    if (!argument.ok()) return argument.status();
    const absl::StatusOr<FlagName> flag = FindFlag(argument->written);
    if (!flag.ok()) return flag.status();
    if (flag->is_switch) {
      absl::StatusOr<std::string> value =
          SwitchValue(*flag, argument->written, argument->value);
      if (!value.ok()) return value.status();
      argument->value = *std::move(value);
    } else if (!argument->value) {
      if (i + 1 == args.size() || absl::StartsWith(args[i + 1], "--")) {
        return absl::InvalidArgumentError(
            absl::StrCat("--", flag->name, ": needs a value"));
      }
      argument->value = args[++i];
    }
    FlagSetting setting{.name = flag->name,
                        .value = *std::move(argument->value),
                        .source = absl::StrCat("--", flag->name)};
    const absl::StatusOr<bool> taken = TakeUp(setting, source);
    if (!taken.ok()) return taken.status();
    if (!*taken) source.settings.push_back(std::move(setting));
  }
  return source;
}

FlagSource FlagsFromEnvironment(absl::Span<const std::string> environment) {
  FlagSource source;
  std::vector<std::string> flags = SettableFlags();
  flags.push_back("flagfile");
  std::multimap<std::string, std::string> flag_of;
  for (const std::string& flag : flags) {
    flag_of.emplace(EnvironmentName(flag), flag);
  }
  std::map<std::string, bool> seen;
  for (const std::string& entry : environment) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(entry, absl::MaxSplits('=', 1));
    const auto& [variable, value] = parts;
    // Of two of the same name the first counts, as for getenv(3).
    if (!absl::StartsWith(variable, kPrefix) ||
        !seen.emplace(variable, true).second) {
      continue;
    }
    const auto [first, last] = flag_of.equal_range(variable);
    for (auto flag = first; flag != last; ++flag) {
      if (flag->second == "flagfile") {
        source.flag_file = value;
      } else {
        source.settings.push_back({flag->second, value, variable});
      }
    }
    if (first != last) continue;
    const std::string name =
        absl::AsciiStrToLower(variable.substr(kPrefix.size()));
    if (const auto nearest = NearestName(name, flags)) {
      source.warnings.push_back(absl::StrCat(
          "the environment has ", Quote(variable),
          ", which is no flag; did you mean ", EnvironmentName(*nearest), "?"));
    }
  }
  return source;
}

absl::StatusOr<FlagSource> FlagsFromFile(absl::string_view path,
                                         absl::string_view text) {
  absl::StatusOr<std::vector<FlagFileLine>> lines = ParseFlagFile(path, text);
  if (!lines.ok()) return lines.status();
  FlagSource source;
  std::map<std::string, int> line_of;
  for (FlagFileLine& line : *lines) {
    const std::string where = absl::StrCat(path, ":", line.line, ": ");
    const auto error = [&where](absl::string_view what) {
      return absl::InvalidArgumentError(absl::StrCat(where, what));
    };
    const absl::StatusOr<FlagName> flag = FindFlag(line.name);
    if (!flag.ok()) return error(flag.status().message());
    const std::string dashed = absl::StrCat("--", flag->name);
    // --nocheck is check.
    if (IsCommandLineOnly(flag->name)) {
      return error(absl::StrCat(dashed, " has no place in a flag file"));
    }
    if (flag->is_switch) {
      absl::StatusOr<std::string> value =
          SwitchValue(*flag, line.name, line.value);
      if (!value.ok()) return error(value.status().message());
      line.value = *std::move(value);
    } else if (!line.value) {
      return error(absl::StrCat(dashed, ": needs a value, ", dashed, "=..."));
    }
    const auto [first, is_new] = line_of.emplace(flag->name, line.line);
    if (!is_new) {
      return error(absl::StrCat(
          dashed, ": stands in line ", first->second, " already",
          flag->name == "listen"
              ? "; several listeners go into one, with commas between"
              : ""));
    }
    source.settings.push_back(
        {flag->name, *std::move(line.value), absl::StrCat(where, dashed)});
  }
  return source;
}

}  // namespace baton
