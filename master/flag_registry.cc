#include "master/flag_registry.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "gflags/gflags.h"
#include "glog/logging.h"
#include "master/flag_file.h"
#include "master/flag_values.h"
#include "master/flags.h"
#include "net/quote.h"

namespace baton {
namespace {

constexpr std::array<absl::string_view, 6> kGlogHonoured = {
    "log_backtrace_at",
    "log_utc_time",
    "minloglevel",
    "symbolize_stacktrace",
    "v",
    "vmodule"};

// About files, mail and stderr: destinations that are switched off.
constexpr std::array<absl::string_view, 21> kGlogRefused = {
    "alsologtoemail",
    "alsologtostderr",
    "colorlogtostderr",
    "colorlogtostdout",
    "drop_log_memory",
    "log_dir",
    "log_link",
    "log_prefix",
    "log_year_in_prefix",
    "logbuflevel",
    "logbufsecs",
    "logcleansecs",
    "logemaillevel",
    "logfile_mode",
    "logmailer",
    "logtostderr",
    "logtostdout",
    "max_log_size",
    "stderrthreshold",
    "stop_logging_if_full_disk",
    "timestamp_in_logfile_name",
};

// What works of gflags' own.
constexpr std::array<absl::string_view, 4> kGflagsHonoured = {
    "flagfile", "help", "helpfull", "version"};

bool Registered(absl::string_view name, google::CommandLineFlagInfo* info) {
  return google::GetCommandLineFlagInfo(std::string(name).c_str(), info);
}

bool Refused(absl::string_view name) {
  const FlagKind kind = KindOf(name);
  return kind == FlagKind::kGlogRefused ||
         (kind == FlagKind::kGflags &&
          !absl::c_linear_search(kGflagsHonoured, name));
}

// As in an error: "--workers", quoted if it is not the like of a flag's name.
std::string Dashed(absl::string_view written) {
  const std::string dashed = absl::StrCat("--", written);
  const bool plain = absl::c_all_of(written, [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-';
  });
  return plain && written.size() <= kMaxQuotedBytes ? dashed : Quote(dashed);
}

absl::Status Unknown(absl::string_view written) {
  std::vector<std::string> names = SettableFlags();
  for (const absl::string_view name : kGflagsHonoured) {
    names.emplace_back(name);
  }
  const std::optional<std::string> nearest = NearestName(written, names);
  return absl::InvalidArgumentError(
      absl::StrCat(Dashed(written), ": unknown flag",
                   nearest ? absl::StrCat(", did you mean --", *nearest, "?")
                           : std::string("; --help shows what there is")));
}

// Of the types that gflags has. Its own reader takes 0x, too.
template <typename Int>
bool IsInteger(absl::string_view text) {
  Int value = 0;
  return absl::SimpleAtoi(text, &value) ||
         (absl::StartsWithIgnoreCase(text, "0x") &&
          absl::SimpleHexAtoi(text, &value));
}

template <typename Int>
std::string Range() {
  return absl::StrCat("a whole number from ", std::numeric_limits<Int>::min(),
                      " to ", std::numeric_limits<Int>::max());
}

// What gflags would not set: the type's fault or that of a validator.
absl::Status BadValue(const google::CommandLineFlagInfo& flag,
                      absl::string_view value) {
  double number = 0;
  std::string allowed;
  if (flag.type == "bool" && !ParseBool(value).ok()) {
    allowed = "true or false";
  } else if (flag.type == "int32" && !IsInteger<int32_t>(value)) {
    allowed = Range<int32_t>();
  } else if (flag.type == "uint32" && !IsInteger<uint32_t>(value)) {
    allowed = Range<uint32_t>();
  } else if (flag.type == "int64" && !IsInteger<int64_t>(value)) {
    allowed = Range<int64_t>();
  } else if (flag.type == "uint64" && !IsInteger<uint64_t>(value)) {
    allowed = Range<uint64_t>();
  } else if (flag.type == "double" && !absl::SimpleAtod(value, &number)) {
    allowed = "a number";
  } else {
    allowed =
        absl::StrCat("refused by the program's own check of this ", flag.type);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("bad value ", Quote(value), ": ", allowed));
}

// Insertions, deletions, replacements, and neighbours that changed places.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1,
                                     std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({replaced, d[i - 1][j] + 1, d[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d.back().back();
}

}  // namespace

FlagKind KindOf(absl::string_view name) {
  if (const OwnFlag* own = FindOwnFlag(name)) {
    return own->check == nullptr ? FlagKind::kGflags : FlagKind::kOwn;
  }
  if (absl::c_linear_search(kGlogHonoured, name)) return FlagKind::kGlog;
  if (absl::c_linear_search(kGlogRefused, name)) return FlagKind::kGlogRefused;
  if (IsCommandLineOnly(name)) return FlagKind::kGflags;
  return FlagKind::kApplication;
}

absl::StatusOr<FlagName> FindFlag(absl::string_view written) {
  const std::string underscored = absl::StrReplaceAll(written, {{"-", "_"}});
  absl::string_view name = underscored;
  FlagName found;
  google::CommandLineFlagInfo info;
  if (!Registered(name, &info)) {
    if (!absl::ConsumePrefix(&name, "no") || !Registered(name, &info)) {
      return Unknown(written);
    }
    if (info.type != "bool") {
      return absl::InvalidArgumentError(absl::StrCat(
          Dashed(written), ": --", name, " is no switch, it needs a value"));
    }
    found.negated = true;
  }
  found.name = info.name;
  found.is_switch = info.type == "bool";
  if (Refused(found.name)) {
    return absl::InvalidArgumentError(absl::StrCat(
        Dashed(written),
        KindOf(found.name) == FlagKind::kGlogRefused
            ? ": glog's own log files are switched off; there is --log_file "
              "and --log_format"
            : ": not supported; --help shows what there is"));
  }
  return found;
}

std::vector<std::string> SettableFlags() {
  std::vector<google::CommandLineFlagInfo> flags;
  google::GetAllFlags(&flags);
  std::vector<std::string> names;
  for (const google::CommandLineFlagInfo& flag : flags) {
    const FlagKind kind = KindOf(flag.name);
    if (kind == FlagKind::kOwn || kind == FlagKind::kApplication ||
        kind == FlagKind::kGlog) {
      names.push_back(flag.name);
    }
  }
  absl::c_sort(names);
  return names;
}

absl::Status SetFlag(const FlagSetting& setting) {
  absl::Status status;
  google::CommandLineFlagInfo info;
  CHECK(Registered(setting.name, &info)) << setting.name;
  if (const OwnFlag* own = FindOwnFlag(setting.name)) {
    status = own->check(setting.value);
  }
  // gflags returns an empty text for a value that it has not set.
  if (status.ok() &&
      google::SetCommandLineOption(setting.name.c_str(), setting.value.c_str())
          .empty()) {
    status = BadValue(info, setting.value);
  }
  if (status.ok()) return status;
  return absl::InvalidArgumentError(
      absl::StrCat(setting.source, ": ", status.message()));
}

std::string FlagValue(absl::string_view name) {
  google::CommandLineFlagInfo info;
  CHECK(Registered(name, &info)) << name;
  return info.current_value;
}

std::string EnvironmentName(absl::string_view name) {
  return absl::StrCat("BATON_", absl::AsciiStrToUpper(name));
}

std::optional<std::string> NearestName(absl::string_view written,
                                       const std::vector<std::string>& names) {
  const std::string name = absl::StrReplaceAll(written, {{"-", "_"}});
  constexpr size_t kLongest = 64;
  if (name.size() > kLongest) return std::nullopt;
  size_t least = 1 + name.size() / 5;  // at most so many mistakes
  std::optional<std::string> nearest;
  for (const std::string& candidate : names) {
    const size_t distance = EditDistance(name, candidate);
    // Of "v" every single letter is one mistake away.
    if (distance >= candidate.size()) continue;
    if (distance < least || (distance == least && !nearest)) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace baton
