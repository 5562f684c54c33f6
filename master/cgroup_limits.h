#ifndef BATON_MASTER_CGROUP_LIMITS_H_
#define BATON_MASTER_CGROUP_LIMITS_H_

// Problem: in a container the machine's CPUs and memory are not ours. What is,
// is written in the cgroup's files, in two versions that can be mounted side
// by side, at places that only /proc tells, and the limit that counts may be
// that of any ancestor.
//
//   v2  cpu.max "QUOTA PERIOD" or "max PERIOD"    memory.max BYTES or "max"
//   v1  cpu.cfs_quota_us (-1: none), cpu.cfs_period_us;
//       memory.limit_in_bytes (none: the largest multiple of the page size)
// cgroups(7); Documentation/admin-guide/cgroup-v{1,2} of the kernel.
//
// Contract: the smallest limit from this process's own cgroup up to the root of
// its mount, over all hierarchies. Whatever cannot be read or understood is no
// limit: neither /proc nor cgroups have to be there. A cgroup outside the mount
// (a cgroup namespace of another container) is looked for at the mount's root.

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace baton {

struct CgroupLimits {
  std::optional<double> cpus;  // quota / period, may be below 1
  std::optional<int64_t> memory_bytes;

  bool operator==(const CgroupLimits&) const = default;
};

// `root` stands before every path ("" = this machine; a folder in tests).
CgroupLimits ReadCgroupLimits(absl::string_view root = "");

}  // namespace baton

#endif  // BATON_MASTER_CGROUP_LIMITS_H_
