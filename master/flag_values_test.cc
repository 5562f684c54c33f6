#include "master/flag_values.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "master/flags.h"
#include "net/quote.h"

namespace baton {
namespace {

TEST(FlagValues, WholeNumbers) {
  EXPECT_EQ(ParseWholeNumber("0", 0, 9, "").value(), 0);
  EXPECT_EQ(ParseWholeNumber("007", 0, 9, "").value(), 7);
  EXPECT_EQ(ParseWholeNumber("9223372036854775807", 0, INT64_MAX, "").value(),
            INT64_MAX);
  for (const absl::string_view bad :
       {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e1", "one", "10",
        "9223372036854775808", "99999999999999999999"}) {
    EXPECT_FALSE(ParseWholeNumber(bad, 0, 9, "").ok()) << bad;
  }
  EXPECT_FALSE(ParseWholeNumber("1", 2, 9, "").ok());
}

TEST(FlagValues, Bools) {
  for (const absl::string_view yes : {"true", "T", "yes", "Y", "1"}) {
    EXPECT_TRUE(ParseBool(yes).value()) << yes;
  }
  for (const absl::string_view no : {"false", "F", "no", "N", "0"}) {
    EXPECT_FALSE(ParseBool(no).value()) << no;
  }
  for (const absl::string_view bad : {"", "2", "on", "tru", " 1"}) {
    EXPECT_FALSE(ParseBool(bad).ok()) << bad;
  }
}

TEST(FlagValues, Listeners) {
  EXPECT_TRUE(ParseListeners("").value().empty());
  const std::vector<ListenUrl> two =
      ParseListeners(" echo://[::]:7 , echo+unix:///a%2Cb ").value();
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].address, "[::]:7");
  EXPECT_EQ(two[1].address, "/a,b");
}

TEST(FlagValues, ACommaInAnOptionIsToldFromAnotherListener) {
  const auto error = [](absl::string_view text) {
    return std::string(ParseListeners(text).status().message());
  };
  constexpr absl::string_view kHint = "inside of a URL is written %2C";
  for (const char* bad :
       {"http://[::]:7?root=/x&cache_control=public, max-age=60",
        "http://[::]:7?cache_control=a,,", "http://[::]:7?cache_control=a,"}) {
    EXPECT_TRUE(absl::StrContains(error(bad), kHint)) << error(bad);
  }
  // That was no comma's fault.
  for (const char* bad : {"max-age=60", "http://[::]:7,x+y://[::]:8"}) {
    EXPECT_NE(error(bad), "");
    EXPECT_FALSE(absl::StrContains(error(bad), kHint)) << error(bad);
  }
}

TEST(FlagValues, Timeouts) {
  EXPECT_EQ(ParseTimeout("0s").value(), absl::ZeroDuration());
  EXPECT_EQ(ParseTimeout("8760h").value(), kMaxTimeout);
  EXPECT_FALSE(ParseTimeout("8761h").ok());
  EXPECT_FALSE(ParseReadyTimeout("0s").ok());
  EXPECT_EQ(ParseReadyTimeout("1ms").value(), absl::Milliseconds(1));
  EXPECT_EQ(ParseTcpUserTimeout("596h").value(), absl::Hours(596));
  EXPECT_FALSE(ParseTcpUserTimeout("597h").ok());  // an int of milliseconds
}

struct BadValue {
  absl::string_view flag;
  absl::string_view value;
  absl::string_view error;
};

// For every flag that can refuse a value: one, and what the error has in it (in
// part where the words are net's).
constexpr BadValue kBadValues[] = {
    {"listen", "echo", "SCHEME[+TRANSPORT]://ADDRESS"},
    {"listen", "echo://[::]:7,,",
     "bad list \"echo://[::]:7,,\": one or more URLs, with a comma between "
     "two"},
    {"max_connections", "many",
     "bad number \"many\": a whole number from 0 (what RLIMIT_NOFILE allows) "
     "to 1073741824"},
    {"max_connections_per_ip", "-1",
     "bad number \"-1\": a whole number from 0 (no limit) to 1073741824"},
    {"forwarded_from", "x", "bad network \"x\""},
    {"idle_timeout", "60",
     "bad duration \"60\": a whole number and a unit (ms, s, m, h), such as "
     "250ms or 20s"},
    {"write_timeout", "9000h", "bad duration \"9000h\": from 0s to 8760h"},
    {"tcp_keepalive", "on", "60s:5s:3"},
    {"tcp_user_timeout", "600h", "bad duration \"600h\": from 0s to 596h"},
    {"workers", "1025",
     "bad number \"1025\": a whole number from 0 (one per usable CPU) to "
     "1024"},
    {"worker_memory", "64MB",
     "bad size \"64MB\": a whole number of bytes, or with a unit (KiB, MiB, "
     "GiB), such as 64KiB or 10MiB"},
    {"pin_workers", "maybe", "bad value \"maybe\": true or false"},
    {"watch_flagfile", "maybe", "bad value \"maybe\": true or false"},
    {"job_threads", "8:1",
     "bad threads \"8:1\": MIN:MAX, from 1 to 1024, MAX not below MIN"},
    {"job_threads", "4", "MIN:MAX"},
    {"job_threads", "0:4", "MIN:MAX"},
    {"job_queue", "0", "bad number \"0\": a whole number from 1 to 1048576"},
    {"ready_timeout", "0s", "bad duration \"0s\": from 1ms to 8760h"},
    {"stall_timeout", "900ms",
     "bad duration \"900ms\": 0s (never), or from 1s to 8760h"},
    {"crash_loop_limit", "-1",
     "bad number \"-1\": a whole number from 0 (never) to 1000000"},
    {"admin", "9180", "SCHEME"},
    {"control", "control.sock", "an absolute path"},
    {"healthcheck", "2", "true or false"},
    {"readycheck", "2", "true or false"},
    {"max_requests", "-1",
     "bad number \"-1\": a whole number from 0 (never) to 9007199254740992"},
    {"max_rss", "10mb", "10MiB"},
    {"probation", "2", "250ms"},
    {"drain_timeout", "", "250ms"},
    {"max_draining", "0", "bad number \"0\": a whole number from 1 to 1024"},
    {"drain_delay", "-1s", "250ms"},
    {"stop_timeout", "8 s", "250ms"},
    {"check", "2", "bad value \"2\": true or false"},
    {"log_format", "xml", "bad format \"xml\": text or json"},
};

TEST(FlagValues, EveryFlagSaysWhatItAllows) {
  for (const BadValue& bad : kBadValues) {
    const OwnFlag* flag = FindOwnFlag(bad.flag);
    ASSERT_NE(flag, nullptr) << bad.flag;
    const absl::Status status = flag->check(bad.value);
    EXPECT_FALSE(status.ok()) << bad.flag;
    EXPECT_TRUE(absl::StrContains(status.message(), Quote(bad.value)))
        << status;
    EXPECT_TRUE(absl::StrContains(status.message(), bad.error)) << status;
  }
  for (const OwnFlag& flag : OwnFlags()) {
    if (flag.check == nullptr || flag.check("\x01").ok()) continue;
    EXPECT_TRUE(std::any_of(
        std::begin(kBadValues), std::end(kBadValues),
        [&flag](const BadValue& bad) { return bad.flag == flag.name; }))
        << flag.name;
  }
}

}  // namespace
}  // namespace baton
