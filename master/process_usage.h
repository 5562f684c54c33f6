#ifndef BATON_MASTER_PROCESS_USAGE_H_
#define BATON_MASTER_PROCESS_USAGE_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/strings/string_view.h"

namespace baton {

// What a process uses, as /proc/PID/stat has it - proc(5). All zero for one
// that is gone, or without /proc.
struct ProcessUsage {
  int64_t rss_bytes = 0;
  double cpu_seconds = 0;  // user and system
  char state = '\0';       // of its first thread: R, S, D, T, t, Z, ...
};

ProcessUsage ReadProcessUsage(pid_t pid);

// `stat` is the line of that file. Pure.
ProcessUsage ParseProcessStat(absl::string_view stat, int64_t page_bytes,
                              int64_t ticks_per_second);

}  // namespace baton

#endif  // BATON_MASTER_PROCESS_USAGE_H_
