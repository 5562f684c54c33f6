#include "master/control_path.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace baton {

std::string DefaultControlPath() {
  if (geteuid() == 0) return "/run/baton/control.sock";
  const char* folder = getenv("XDG_RUNTIME_DIR");
  if (folder == nullptr || *folder == '\0') return "";
  return absl::StrCat(folder, "/baton/control.sock");
}

}  // namespace baton
