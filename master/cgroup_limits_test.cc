#include "master/cgroup_limits.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr absl::string_view kV2Mount =
    "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 "
    "rw,nsdelegate\n";
constexpr absl::string_view kV1Mounts =
    "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
    "rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

// A machine's /proc and /sys, in a folder.
class CgroupLimitsTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(testing::TempDir(), "/cgroup_XXXXXX");
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
  }

  void Write(absl::string_view path, absl::string_view text) {
    const std::filesystem::path full = absl::StrCat(root_, path);
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << std::string(text);
  }

  void Proc(absl::string_view mountinfo, absl::string_view cgroup) {
    Write("/proc/self/mountinfo", mountinfo);
    Write("/proc/self/cgroup", cgroup);
  }

  CgroupLimits Read() const { return ReadCgroupLimits(root_); }

  std::string root_;
};

TEST_F(CgroupLimitsTest, NeitherProcNorCgroups) {
  EXPECT_EQ(Read(), CgroupLimits());
}

TEST_F(CgroupLimitsTest, V2OwnGroup) {
  Proc(kV2Mount, "0::/app\n");
  Write("/sys/fs/cgroup/app/cpu.max", "150000 100000\n");
  Write("/sys/fs/cgroup/app/memory.max", "536870912\n");
  EXPECT_EQ(Read(), (CgroupLimits{.cpus = 1.5, .memory_bytes = 512 << 20}));
}

TEST_F(CgroupLimitsTest, V2MaxIsNoLimit) {
  Proc(kV2Mount, "0::/app\n");
  Write("/sys/fs/cgroup/app/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/app/memory.max", "max\n");
  EXPECT_EQ(Read(), CgroupLimits());
}

TEST_F(CgroupLimitsTest, V2TheTightestAncestorCounts) {
  Proc(kV2Mount, "0::/a/b/c\n");
  Write("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
  Write("/sys/fs/cgroup/a/b/cpu.max", "50000 25000\n");
  Write("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
  Write("/sys/fs/cgroup/a/memory.max", "1000000\n");
  Write("/sys/fs/cgroup/a/b/c/memory.max", "2000000\n");
  // A cousin's limit is none of ours.
  Write("/sys/fs/cgroup/a/d/cpu.max", "1000 100000\n");
  EXPECT_EQ(Read(), (CgroupLimits{.cpus = 2, .memory_bytes = 1000000}));
}

TEST_F(CgroupLimitsTest, V2InAContainerTheLimitIsAtTheMountsRoot) {
  Proc(kV2Mount, "0::/\n");
  Write("/sys/fs/cgroup/cpu.max", "20000 100000\n");
  Write("/sys/fs/cgroup/memory.max", "1024\n");
  EXPECT_EQ(Read(), (CgroupLimits{.cpus = 0.2, .memory_bytes = 1024}));
}

TEST_F(CgroupLimitsTest, V2OutsideTheNamespaceFallsBackToTheMountsRoot) {
  Proc(kV2Mount, "0::/../../app\n");
  Write("/sys/fs/cgroup/cpu.max", "100000 100000\n");
  EXPECT_EQ(Read().cpus, 1);
}

TEST_F(CgroupLimitsTest, V1OwnGroup) {
  Proc(kV1Mounts, "5:cpu,cpuacct:/app\n4:memory:/app\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "250000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", "1048576\n");
  EXPECT_EQ(Read(), (CgroupLimits{.cpus = 2.5, .memory_bytes = 1 << 20}));
}

TEST_F(CgroupLimitsTest, V1NoLimit) {
  Proc(kV1Mounts, "5:cpu,cpuacct:/app\n4:memory:/app\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n");
  for (const absl::string_view none :
       {"9223372036854771712\n", "9223372036854710272\n"}) {  // 4 and 64 KiB
    Write("/sys/fs/cgroup/memory/app/memory.limit_in_bytes", none);
    EXPECT_EQ(Read(), CgroupLimits());
  }
}

TEST_F(CgroupLimitsTest, V1TheTightestAncestorCounts) {
  Proc(kV1Mounts, "5:cpu,cpuacct:/a/b\n4:memory:/a/b\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "300000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "77\n");
  Write("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "99\n");
  EXPECT_EQ(Read(), (CgroupLimits{.cpus = 3, .memory_bytes = 77}));
}

// A container without a cgroup namespace: the path in /proc/self/cgroup is the
// host's, and the mount shows just that part of the tree.
TEST_F(CgroupLimitsTest, V1TheMountShowsAPartOfTheTree) {
  Proc("32 31 0:29 /box/7 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n",
       "5:cpu:/box/7/app\n");
  Write("/sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "100000\n");
  Write("/sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(Read().cpus, 2);
  // A name that only begins alike is another group.
  Write("/proc/self/cgroup", "5:cpu:/box/77/app\n");
  EXPECT_EQ(Read().cpus, std::nullopt);
  Write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
  Write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Read().cpus, 1);
}

TEST_F(CgroupLimitsTest, BothVersionsSideBySide) {
  Proc(absl::StrCat(kV1Mounts,
                    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 none "
                    "rw\n"),
       "5:cpu,cpuacct:/app\n0::/app.scope\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "300000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000\n");
  Write("/sys/fs/cgroup/unified/app.scope/memory.max", "4096\n");
  EXPECT_EQ(Read(), (CgroupLimits{.cpus = 3, .memory_bytes = 4096}));
  Write("/sys/fs/cgroup/unified/app.scope/cpu.max", "100000 100000\n");
  EXPECT_EQ(Read().cpus, 1);
}

TEST_F(CgroupLimitsTest, NamesWithBlanksAndColons) {
  Proc("31 23 0:28 / /sys/fs/cg\\040roup rw - cgroup2 cgroup2 rw\n",
       "0::/a b:c\n");
  Write("/sys/fs/cg roup/a b:c/cpu.max", "100000 100000\n");
  EXPECT_EQ(Read().cpus, 1);
}

TEST_F(CgroupLimitsTest, GarbageIsNoLimit) {
  for (const absl::string_view garbage :
       {"", "\n", "x y\n", "100000\n", "1 2 3\n", "-5 100000\n", "0 100000\n",
        "100000 0\n", "99999999999999999999 1\n"}) {
    Proc(kV2Mount, "0::/app\n");
    Write("/sys/fs/cgroup/app/cpu.max", garbage);
    Write("/sys/fs/cgroup/app/memory.max", "lots\n");
    EXPECT_EQ(Read(), CgroupLimits()) << garbage;
  }
  Proc("- \n31 - cgroup2\n\\\n31 23 0:28 / /sys/fs/cgroup rw -\n",
       ":\n::\n0:\nx\n");
  EXPECT_EQ(Read(), CgroupLimits());
}

}  // namespace
}  // namespace baton
