#include "master/process_usage.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "master/proc_file.h"
#include "net/unique_fd.h"

namespace baton {

namespace {

ProcessUsage ReadStat(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return {};
  std::array<char, 1024> line;
  const ssize_t size = read(fd.get(), line.data(), line.size());
  if (size <= 0) return {};
  return ParseProcessStat({line.data(), static_cast<size_t>(size)},
                          sysconf(_SC_PAGESIZE), sysconf(_SC_CLK_TCK));
}

}  // namespace

ProcessUsage ReadProcessUsage(pid_t pid) {
  return ReadStat(absl::StrCat("/proc/", pid, "/stat"));
}

ProcessUsage ReadMainThreadUsage(pid_t pid) {
  return ReadStat(absl::StrCat("/proc/", pid, "/task/", pid, "/stat"));
}

bool IsDumpingCore(pid_t pid) {
  return SaysCoreDumping(ReadProcFile(absl::StrCat("/proc/", pid, "/status")));
}

// The first line, the name, has its newlines escaped.
bool SaysCoreDumping(absl::string_view status) {
  return absl::StrContains(status, "\nCoreDumping:\t1\n");
}

ProcessUsage ParseProcessStat(absl::string_view stat, int64_t page_bytes,
                              int64_t ticks_per_second) {
  // The name, field 2, may hold anything, and ends with the last parenthesis.
  const size_t end = stat.rfind(") ");
  if (end == absl::string_view::npos) return {};
  const std::vector<absl::string_view> fields =
      absl::StrSplit(stat.substr(end + 2), ' ');
  constexpr size_t kFirst = 3;  // the number of fields[0]
  const auto number = [&fields](size_t field) {
    int64_t value = 0;
    if (field - kFirst >= fields.size() ||
        !absl::SimpleAtoi(fields[field - kFirst], &value)) {
      return int64_t{0};
    }
    return value;
  };
  constexpr size_t kUserTime = 14;
  constexpr size_t kSystemTime = 15;
  constexpr size_t kResidentPages = 24;
  return {.rss_bytes = number(kResidentPages) * page_bytes,
          .cpu_seconds =
              static_cast<double>(number(kUserTime) + number(kSystemTime)) /
              static_cast<double>(ticks_per_second),
          .state = fields[0].empty() ? '\0' : fields[0][0]};
}

}  // namespace baton
