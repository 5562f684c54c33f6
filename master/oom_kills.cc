#include "master/oom_kills.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "master/proc_file.h"

namespace baton {
namespace {

// cgroups(7): the entry of the unified hierarchy begins with "0::".
std::string EventsOfOurCgroup() {
  const std::string cgroups = ReadProcFile("/proc/self/cgroup");
  for (absl::string_view line : absl::StrSplit(cgroups, '\n')) {
    if (!absl::ConsumePrefix(&line, "0::")) continue;
    return ReadProcFile(absl::StrCat("/sys/fs/cgroup", line, "/memory.events"));
  }
  return "";
}

}  // namespace

uint64_t OomKills() {
  std::string text = EventsOfOurCgroup();
  if (text.empty()) text = ReadProcFile("/proc/vmstat");
  return ParseOomKills(text);
}

uint64_t ParseOomKills(absl::string_view text) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t count = 0;
    if (absl::ConsumePrefix(&line, "oom_kill ") &&
        absl::SimpleAtoi(line, &count)) {
      return count;
    }
  }
  return 0;
}

}  // namespace baton
