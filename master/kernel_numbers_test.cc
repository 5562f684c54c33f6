#include <time.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "master/id_maps.h"
#include "master/oom_kills.h"
#include "master/proc_file.h"
#include "master/process_usage.h"

namespace baton {
namespace {

TEST(OomKillsTest, IsFoundAmongOthers) {
  EXPECT_EQ(ParseOomKills("low 0\nhigh 3\nmax 9\noom 4\noom_kill 2\n"
                          "oom_group_kill 7\n"),
            2u);
  EXPECT_EQ(ParseOomKills("pgfault 12\noom_kill 5\n"), 5u);
  EXPECT_EQ(ParseOomKills(""), 0u);
  EXPECT_EQ(ParseOomKills("oom_kill x\n"), 0u);
  OomKills();  // whatever this machine tells
}

TEST(IdMapsTest, AnIdIsMappedOrNot) {
  EXPECT_TRUE(MapsId("         0          0 4294967295\n", 65534));
  EXPECT_FALSE(MapsId("         0       1000          1\n", 65534));
  EXPECT_TRUE(MapsId("0 1000 1\n1 100000 65536\n", 65534));
  EXPECT_TRUE(MapsId("0 1000 1\n", 0));
  EXPECT_FALSE(MapsId("", 0));
  EXPECT_FALSE(MapsId("0 x\n", 0));
}

TEST(ProcessUsageTest, ReadsPastAnyName) {
  const ProcessUsage usage = ParseProcessStat(
      "17 (a) S (b 1) R 1 17 17 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 "
      "900 1000000 300 18446744073709551615 1 1\n",
      4096, 100);
  EXPECT_EQ(usage.rss_bytes, 300 * 4096);
  EXPECT_DOUBLE_EQ(usage.cpu_seconds, 3.0);
  EXPECT_EQ(usage.state, 'R');
  EXPECT_EQ(ParseProcessStat("", 4096, 100).rss_bytes, 0);
  EXPECT_EQ(ParseProcessStat("1 (x) R 1", 4096, 100).rss_bytes, 0);
}

TEST(ProcessUsageTest, OfThisProcess) {
  EXPECT_GT(ReadProcessUsage(getpid()).rss_bytes, 0);
  EXPECT_EQ(ReadProcessUsage(0).rss_bytes, 0);
}

// The turn watch asks whether the loop's thread could run, whatever the jobs'
// threads do.
TEST(ProcessUsageTest, TheMainThreadHasATimeOfItsOwn) {
  const double main_before = ReadMainThreadUsage(getpid()).cpu_seconds;
  const double all_before = ReadProcessUsage(getpid()).cpu_seconds;
  std::thread([] {
    timespec used = {};
    while (used.tv_sec == 0 && used.tv_nsec < 300'000'000) {
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    }
  }).join();
  EXPECT_GT(ReadProcessUsage(getpid()).cpu_seconds - all_before, 0.2);
  EXPECT_LT(ReadMainThreadUsage(getpid()).cpu_seconds - main_before, 0.2);
  EXPECT_EQ(ReadMainThreadUsage(getpid()).state, 'R');
  EXPECT_EQ(ReadMainThreadUsage(0).state, '\0');
}

TEST(ProcessUsageTest, WhetherTheKernelDumpsACore) {
  EXPECT_TRUE(SaysCoreDumping("Name:\tx\nCoreDumping:\t1\nThreads:\t1\n"));
  EXPECT_FALSE(SaysCoreDumping("Name:\tx\nCoreDumping:\t0\nThreads:\t1\n"));
  EXPECT_FALSE(SaysCoreDumping(""));
  EXPECT_FALSE(IsDumpingCore(getpid()));
  EXPECT_TRUE(absl::StrContains(ReadProcFile("/proc/self/status"),
                                "\nCoreDumping:\t0\n"))
      << "this kernel does not say it";
}

}  // namespace
}  // namespace baton
