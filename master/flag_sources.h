#ifndef BATON_MASTER_FLAG_SOURCES_H_
#define BATON_MASTER_FLAG_SOURCES_H_

// The three places a flag can be set in, each turned into the same thing: a
// list of settings, in order, of flags that exist. Nothing is set yet, and no
// value is looked at but those that say what to do.
//
// Contract: errors are InvalidArgument, one line, and begin with the flag or
// with FILE:LINE. The forms of gflags are kept: --name=value, --name value (on
// the command line), -name, --switch, --noswitch; later goes before earlier on
// the command line, but a flag that stands twice in a file is a mistake.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "master/flag_registry.h"

namespace baton {

struct FlagSource {
  std::vector<FlagSetting> settings;
  std::optional<std::string> flag_file;  // the value of --flagfile
  // The command line only.
  bool help = false;
  bool helpfull = false;
  bool version = false;
  // The environment only: variables that look like a misspelt flag.
  std::vector<std::string> warnings;
};

// `args` is argv without argv[0]. There are no arguments but flags.
absl::StatusOr<FlagSource> FlagsFromCommandLine(
    absl::Span<const std::string> args);

// `environment` holds NAME=VALUE, as in environ(7); BATON_IDLE_TIMEOUT sets
// --idle_timeout. A BATON_... that is no flag is none of our business (a
// container platform makes up BATON_PORT for a service of that name) and
// worth a warning if it is nearly one. --help, --helpfull and --version have
// no variable.
FlagSource FlagsFromEnvironment(absl::Span<const std::string> environment);

// `text` is what was read from `path`.
absl::StatusOr<FlagSource> FlagsFromFile(absl::string_view path,
                                         absl::string_view text);

}  // namespace baton

#endif  // BATON_MASTER_FLAG_SOURCES_H_
