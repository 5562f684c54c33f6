#include <unistd.h>

#include "gtest/gtest.h"
#include "master/id_maps.h"
#include "master/oom_kills.h"
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

}  // namespace
}  // namespace baton
