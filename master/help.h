#ifndef BATON_MASTER_HELP_H_
#define BATON_MASTER_HELP_H_

// What --help and --helpfull print. --help is one screen of 80 columns: whoever
// asks wants to see the main uses and find a name. Pure but for gflags'
// registry.

#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace baton {

// `program` is argv[0]; `schemes` what a listener's URL can begin with.
std::string HelpText(absl::string_view program,
                     absl::Span<const std::string> schemes);

// The same, then the flags that the application defines, and those of glog that
// have a meaning here.
std::string HelpFullText(absl::string_view program,
                         absl::Span<const std::string> schemes);

}  // namespace baton

#endif  // BATON_MASTER_HELP_H_
