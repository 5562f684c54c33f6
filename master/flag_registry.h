#ifndef BATON_MASTER_FLAG_REGISTRY_H_
#define BATON_MASTER_FLAG_REGISTRY_H_

// Problem: in a process that links gflags and glog, flags come from four
// places: baton's own, the application's DEFINE_xxx, glog's (of which most are
// about log files that baton does not write), and gflags' own (of which some
// read files and the environment on their own account). gflags treats all
// alike, and on a mistake prints two lines and exits with 1.
//
// Here a name as somebody wrote it becomes a flag that may be set, or an error
// that says why not and what was perhaps meant; and a value is set with an
// error that says what is allowed.
//
//   own           checked by flags.h
//   application   checked by its type and its own validator
//   glog          --v, --vmodule, --minloglevel, --log_backtrace_at,
//                 --log_utc_time, --symbolize_stacktrace; its others are
//                 refused
//   gflags        --flagfile, --help, --helpfull, --version; its others are
//   refused
//
// Contract: errors are InvalidArgument and begin with the flag. gflags'
// registry is global: call all of this from the main thread, while no other
// reads a flag.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

enum class FlagKind { kOwn, kApplication, kGlog, kGlogRefused, kGflags };

// Of a flag that gflags knows, by its canonical name.
FlagKind KindOf(absl::string_view name);

struct FlagName {
  std::string name;        // canonical
  bool is_switch = false;  // needs no value
  bool negated = false;    // was written as --noNAME
};

// `written` without the dashes in front. As in gflags, '-' in it stands for
// '_', and --noNAME is NAME=false for a switch.
absl::StatusOr<FlagName> FindFlag(absl::string_view written);

// The names of all flags that may be set, sorted.
std::vector<std::string> SettableFlags();

// A value for a flag, and who wants it.
struct FlagSetting {
  std::string name;  // canonical
  std::string value;
  // Begins an error: "--workers", "BATON_WORKERS", "/etc/b.flags:3: --workers".
  std::string source;
};

// Sets it, or says what is wrong and changes nothing.
absl::Status SetFlag(const FlagSetting& setting);

// Its current value as text.
std::string FlagValue(absl::string_view name);

// "BATON_IDLE_TIMEOUT" for "idle_timeout".
std::string EnvironmentName(absl::string_view name);

// The nearest of `names` if it is near enough to be what was meant.
std::optional<std::string> NearestName(absl::string_view written,
                                       const std::vector<std::string>& names);

}  // namespace baton

#endif  // BATON_MASTER_FLAG_REGISTRY_H_
