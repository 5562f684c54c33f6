#ifndef BATON_MASTER_OOM_KILLS_H_
#define BATON_MASTER_OOM_KILLS_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace baton {

// How many processes the kernel has killed for want of memory: those of our
// cgroup (v2), or where that is not told, of the machine. A process that it
// killed looks like any other that got SIGKILL; this number tells it apart.
// 0 if neither is told.
uint64_t OomKills();

// The number behind "oom_kill " at the beginning of a line: memory.events and
// /proc/vmstat have it alike. 0 if there is none. Pure.
uint64_t ParseOomKills(absl::string_view text);

}  // namespace baton

#endif  // BATON_MASTER_OOM_KILLS_H_
