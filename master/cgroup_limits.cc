#include "master/cgroup_limits.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "master/proc_file.h"

namespace baton {
namespace {

// v1 says "no limit" with LONG_MAX rounded down to a page, of whatever size.
constexpr int64_t kNoMemoryLimit =
    std::numeric_limits<int64_t>::max() - (int64_t{1} << 20);

// Where a hierarchy is mounted and which of its cgroups is seen there.
struct Mount {
  bool v2 = false;
  std::string root;
  std::string point;
  std::vector<std::string> options;  // v1: the controllers are among them
};

// The folder of our cgroup and that of the mount, both without a '/' at the
// end.
struct Place {
  std::string mount;
  std::string below;  // "" or "/a/b"
};

std::vector<std::string> Words(const std::string& path) {
  return absl::StrSplit(ReadProcFile(path), absl::ByAnyChar(" \n"),
                        absl::SkipEmpty());
}

// Blank, tab, newline and backslash are \ooo in mountinfo - proc(5).
std::string Unescape(absl::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  while (!text.empty()) {
    if (text[0] == '\\' && text.size() >= 4 && octal(text[1]) &&
        octal(text[2]) && octal(text[3])) {
      out.push_back(static_cast<char>((text[1] - '0') * 64 +
                                      (text[2] - '0') * 8 + (text[3] - '0')));
      text.remove_prefix(4);
    } else {
      out.push_back(text[0]);
      text.remove_prefix(1);
    }
  }
  return out;
}

// 31 23 0:28 ROOT POINT OPTIONS [FIELDS...] - TYPE SOURCE SUPER_OPTIONS
std::vector<Mount> CgroupMounts(absl::string_view root) {
  std::vector<Mount> mounts;
  const std::string text =
      ReadProcFile(absl::StrCat(root, "/proc/self/mountinfo"));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    const auto dash = absl::c_find(words, "-");
    if (dash - words.begin() < 6 || words.end() - dash < 4) continue;
    const bool v2 = dash[1] == "cgroup2";
    if (!v2 && dash[1] != "cgroup") continue;
    mounts.push_back({.v2 = v2,
                      .root = Unescape(words[3]),
                      .point = Unescape(words[4]),
                      .options = absl::StrSplit(dash[3], ',')});
  }
  return mounts;
}

// ID:CONTROLLERS:PATH, the second field empty for v2; PATH may hold colons.
std::vector<Place> PlacesOf(absl::string_view controller,
                            absl::string_view root,
                            const std::vector<Mount>& mounts) {
  std::vector<Place> places;
  const std::string text =
      ReadProcFile(absl::StrCat(root, "/proc/self/cgroup"));
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const bool v2 = fields[1].empty();
    const std::vector<absl::string_view> controllers =
        absl::StrSplit(fields[1], ',');
    if (!v2 && !absl::c_linear_search(controllers, controller)) continue;
    for (const Mount& mount : mounts) {
      if (mount.v2 != v2) continue;
      if (!v2 && !absl::c_linear_search(mount.options, controller)) continue;
      absl::string_view below = fields[2];
      if (mount.root != "/" && (!absl::ConsumePrefix(&below, mount.root) ||
                                (!below.empty() && below[0] != '/'))) {
        below = "";
      }
      // Of another namespace: ../.. leads out of what is mounted here.
      if (below == "/.." || absl::StartsWith(below, "/../")) below = "";
      absl::ConsumeSuffix(&below, "/");
      absl::string_view point = mount.point;
      absl::ConsumeSuffix(&point, "/");
      places.push_back({absl::StrCat(root, point), std::string(below)});
    }
  }
  return places;
}

template <typename T>
void Lower(std::optional<T>& limit, std::optional<T> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

// Both files may be there when v1 and v2 are mounted over each other's names.
std::optional<double> CpusAt(const std::string& folder) {
  std::vector<std::string> words = Words(absl::StrCat(folder, "/cpu.max"));
  if (words.empty()) {
    words = Words(absl::StrCat(folder, "/cpu.cfs_quota_us"));
    const auto period = Words(absl::StrCat(folder, "/cpu.cfs_period_us"));
    words.insert(words.end(), period.begin(), period.end());
  }
  int64_t quota = 0;
  int64_t period = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &quota) ||
      !absl::SimpleAtoi(words[1], &period) || quota <= 0 || period <= 0) {
    return std::nullopt;
  }
  return static_cast<double>(quota) / static_cast<double>(period);
}

std::optional<int64_t> MemoryAt(const std::string& folder) {
  std::vector<std::string> words = Words(absl::StrCat(folder, "/memory.max"));
  if (words.empty()) {
    words = Words(absl::StrCat(folder, "/memory.limit_in_bytes"));
  }
  int64_t bytes = 0;
  if (words.size() != 1 || !absl::SimpleAtoi(words[0], &bytes) || bytes <= 0 ||
      bytes >= kNoMemoryLimit) {
    return std::nullopt;
  }
  return bytes;
}

template <typename T>
std::optional<T> Lowest(const std::vector<Place>& places,
                        std::optional<T> (*limit_at)(const std::string&)) {
  std::optional<T> lowest;
  for (const Place& place : places) {
    std::string below = place.below;
    Lower(lowest, limit_at(absl::StrCat(place.mount, below)));
    while (!below.empty()) {
      below.resize(below.rfind('/'));
      Lower(lowest, limit_at(absl::StrCat(place.mount, below)));
    }
  }
  return lowest;
}

}  // namespace

CgroupLimits ReadCgroupLimits(absl::string_view root) {
  const std::vector<Mount> mounts = CgroupMounts(root);
  return {
      .cpus = Lowest<double>(PlacesOf("cpu", root, mounts), CpusAt),
      .memory_bytes =
          Lowest<int64_t>(PlacesOf("memory", root, mounts), MemoryAt),
  };
}

}  // namespace baton
