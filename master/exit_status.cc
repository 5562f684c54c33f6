#include "master/exit_status.h"

#include <string.h>

#include "absl/strings/str_cat.h"

namespace baton {

std::string ExitStatus::ToString() const {
  if (signal_ == 0) return absl::StrCat("exit code ", code_);
  // Real-time signals have no name of their own.
  const char* name = sigabbrev_np(signal_);
  return absl::StrCat(name != nullptr ? absl::StrCat("SIG", name)
                                      : absl::StrCat("signal ", signal_),
                      core_dumped_ ? " (core dumped)" : "");
}

}  // namespace baton
