#ifndef BATON_MASTER_PROCESS_USAGE_H_
#define BATON_MASTER_PROCESS_USAGE_H_

#include <sys/types.h>

#include <cstdint>

#include "absl/strings/string_view.h"

namespace baton {

// What a process or a thread uses, as its `stat` file has it -
// proc_pid_stat(5). All zero for one that is gone, or without /proc.
struct ProcessUsage {
  int64_t rss_bytes = 0;
  double cpu_seconds = 0;  // user and system
  char state = '\0';       // R, S, D, T, t, Z, ...; of the first thread
};

// All its threads together.
ProcessUsage ReadProcessUsage(pid_t pid);
// Its first thread alone: other threads' time is not that one's.
ProcessUsage ReadMainThreadUsage(pid_t pid);

// Whether the kernel is writing its core file, which SIGKILL would cut -
// core(5), proc_pid_status(5). False if it can't be known.
bool IsDumpingCore(pid_t pid);
// `status` is the whole of /proc/PID/status. Pure.
bool SaysCoreDumping(absl::string_view status);

// `stat` is the line of that file. Pure.
ProcessUsage ParseProcessStat(absl::string_view stat, int64_t page_bytes,
                              int64_t ticks_per_second);

}  // namespace baton

#endif  // BATON_MASTER_PROCESS_USAGE_H_
