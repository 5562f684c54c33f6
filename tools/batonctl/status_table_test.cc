#include "tools/batonctl/status_table.h"

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

constexpr char kStatus[] = R"({
  "pid": 42, "version": "1.2.3", "started_at": "2023-11-14T22:13:20.000Z",
  "generation": 3, "state": "running", "wanted_workers": 2,
  "last_reload": {"outcome": "rejected", "reason": "no such flag",
                  "at": "2023-11-14T23:00:00.000Z", "generation": 4},
  "listeners": [{"url": "http://0.0.0.0:0", "address": "0.0.0.0:8080"}],
  "workers": [
    {"slot": 0, "pid": 43, "generation": 3, "state": "ready",
     "connections": 12, "accepted": 123456, "requests": 98765432,
     "bytes_in": 2048, "bytes_out": 1073741824, "restarts": 1,
     "last_exit": "SIGSEGV", "rss_bytes": 9437184, "cpu_seconds": 12.34},
    {"slot": 1, "pid": 0, "generation": 3, "state": "backoff"}]})";

TEST(StatusTableTest, IsForPeople) {
  const auto table = StatusTable(kStatus);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(
      *table,
      "baton 1.2.3, pid 42: running, generation 3, 1 of 2 workers ready, since "
      "2023-11-14T22:13:20.000Z\n"
      "last reload: rejected (no such flag), at 2023-11-14T23:00:00.000Z\n"
      "listening:   http://0.0.0.0:0 at 0.0.0.0:8080\n"
      "\n"
      "SLOT  PID  GEN  STATE    CONNS  ACCEPTED  REQUESTS    IN   OUT    CPU   "
      "RSS  RESTARTS  LAST EXIT\n"
      "   0   43    3  ready       12      123k       99M  2.0k  1.0G  12.3s  "
      "9.0M         1  SIGSEGV\n"
      "   1    -    3  backoff      0         0         0     0     0   0.0s   "
      "  "
      "0         0  -\n");
}

TEST(StatusTableTest, SaysWhatIsNotAsConfigured) {
  const auto table = StatusTable(R"({
    "pid": 42, "version": "1.2.3", "build": "opt, x86_64", "binary": "/x/baton",
    "started_at": "now", "generation": 3, "state": "running",
    "wanted_workers": 1, "configured_workers": 4, "last_reload": null,
    "listeners": [{"url": "http://0.0.0.0:0", "address": "0.0.0.0:8080"}],
    "removed_listeners": [{"url": "echo://[::1]:7", "address": "[::1]:7"}],
    "workers": []})");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_TRUE(absl::StartsWith(
      *table,
      "baton 1.2.3, pid 42: running, generation 3, 0 of 1 workers ready "
      "(scaled; configured: 4), since now\n"
      "binary:      /x/baton (opt, x86_64)\n"
      "listening:   http://0.0.0.0:0 at 0.0.0.0:8080\n"
      "removed:     echo://[::1]:7 at [::1]:7\n"))
      << *table;
}

TEST(StatusTableTest, WhatIsNoStatusIsAnError) {
  for (const char* bad : {"", "{", "[]", "{}", "{\"workers\": 1}"}) {
    EXPECT_FALSE(StatusTable(bad).ok()) << bad;
  }
  // Of another version, perhaps.
  EXPECT_TRUE(StatusTable("{\"workers\": [{}]}").ok());
}

TEST(StatusTableTest, NumbersAreShort) {
  EXPECT_EQ(ShortNumber(0, 1000), "0");
  EXPECT_EQ(ShortNumber(999, 1000), "999");
  EXPECT_EQ(ShortNumber(1000, 1000), "1.0k");
  EXPECT_EQ(ShortNumber(12345, 1000), "12k");
  EXPECT_EQ(ShortNumber(1023, 1024), "1023");
  EXPECT_EQ(ShortNumber(1536, 1024), "1.5k");
  EXPECT_EQ(ShortNumber(5e18, 1000), "5000P");
}

}  // namespace
}  // namespace baton
