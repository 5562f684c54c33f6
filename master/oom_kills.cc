#include "master/oom_kills.h"

#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace baton {
namespace {

std::optional<std::string> Read(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// cgroups(7): the entry of the unified hierarchy begins with "0::".
std::optional<std::string> EventsOfOurCgroup() {
  const std::optional<std::string> cgroups = Read("/proc/self/cgroup");
  if (!cgroups.has_value()) return std::nullopt;
  for (absl::string_view line : absl::StrSplit(*cgroups, '\n')) {
    if (!absl::ConsumePrefix(&line, "0::")) continue;
    return Read(absl::StrCat("/sys/fs/cgroup", line, "/memory.events"));
  }
  return std::nullopt;
}

}  // namespace

uint64_t OomKills() {
  std::optional<std::string> text = EventsOfOurCgroup();
  if (!text.has_value()) text = Read("/proc/vmstat");
  return ParseOomKills(text.value_or(""));
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
