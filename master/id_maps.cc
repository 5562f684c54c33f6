#include "master/id_maps.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "master/proc_file.h"

namespace baton {
namespace {

// Without /proc, or in a kernel without user namespaces, there is no such file.
bool IsMapped(const char* path, uid_t id) {
  const std::string map = ReadProcFile(path);
  return map.empty() || MapsId(map, id);
}

bool HasCapabilities() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3,
                                     .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return false;
  const uint32_t needed = CAP_TO_MASK(CAP_SETUID) | CAP_TO_MASK(CAP_SETGID);
  return (data[0].effective & needed) == needed;
}

}  // namespace

bool CanBecome(uid_t id) {
  return HasCapabilities() &&
         !absl::StartsWith(ReadProcFile("/proc/self/setgroups"), "deny") &&
         IsMapped("/proc/self/uid_map", id) &&
         IsMapped("/proc/self/gid_map", id);
}

bool MapsId(absl::string_view map, uid_t id) {
  for (absl::string_view line : absl::StrSplit(map, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t first = 0;
    uint64_t count = 0;
    if (fields.size() == 3 && absl::SimpleAtoi(fields[0], &first) &&
        absl::SimpleAtoi(fields[2], &count) && id >= first &&
        id - first < count) {
      return true;
    }
  }
  return false;
}

}  // namespace baton
