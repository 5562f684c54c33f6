#include "master/flag_registry.h"

#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "gflags/gflags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/flags.h"

DEFINE_string(test_greeting, "hello", "of this test");
DEFINE_bool(test_loud, false, "of this test");
DEFINE_int32(test_even, 2, "of this test");
DEFINE_uint32(test_uint32, 0, "of this test");
DEFINE_int64(test_int64, 0, "of this test");
DEFINE_uint64(test_uint64, 0, "of this test");
DEFINE_double(test_double, 0, "of this test");
DECLARE_int32(workers);
DECLARE_string(idle_timeout);

namespace baton {
namespace {

using testing::Contains;
using testing::Not;

bool IsEven(const char* /*flag*/, google::int32 value) {
  return value % 2 == 0;
}
DEFINE_validator(test_even, &IsEven);

std::string FindError(absl::string_view written) {
  const auto flag = FindFlag(written);
  EXPECT_FALSE(flag.ok()) << written;
  return std::string(flag.status().message());
}

absl::Status Set(absl::string_view name, absl::string_view value) {
  return SetFlag({.name = std::string(name),
                  .value = std::string(value),
                  .source = "HERE"});
}

std::string SetError(absl::string_view name, absl::string_view value) {
  const std::string before = FlagValue(name);
  const absl::Status status = Set(name, value);
  EXPECT_FALSE(status.ok()) << name;
  EXPECT_EQ(FlagValue(name), before) << name;
  return std::string(status.message());
}

// A flag of a new version of glog or gflags must not slip in as the
// application's.
TEST(FlagRegistry, EveryFlagThatIsLinkedIsKnown) {
  std::vector<google::CommandLineFlagInfo> flags;
  google::GetAllFlags(&flags);
  EXPECT_GT(flags.size(), 50u);
  for (const google::CommandLineFlagInfo& flag : flags) {
    const bool of_this_test = flag.name.substr(0, 5) == "test_";
    EXPECT_EQ(KindOf(flag.name) == FlagKind::kApplication, of_this_test)
        << flag.name << " of " << flag.filename;
  }
  EXPECT_EQ(KindOf("workers"), FlagKind::kOwn);
  EXPECT_EQ(KindOf("v"), FlagKind::kGlog);
  EXPECT_EQ(KindOf("log_dir"), FlagKind::kGlogRefused);
  EXPECT_EQ(KindOf("flagfile"), FlagKind::kGflags);
}

TEST(FlagRegistry, SettableAreOwnApplicationsAndSomeOfGlog) {
  const std::vector<std::string> names = SettableFlags();
  EXPECT_TRUE(absl::c_is_sorted(names));
  EXPECT_THAT(names, Contains("workers"));
  EXPECT_THAT(names, Contains("check"));
  EXPECT_THAT(names, Contains("test_greeting"));
  EXPECT_THAT(names, Contains("vmodule"));
  for (const char* not_settable :
       {"flagfile", "help", "undefok", "log_dir", "alsologtostderr"}) {
    EXPECT_THAT(names, Not(Contains(not_settable)));
  }
}

TEST(FlagRegistry, EveryOwnFlagIsDefined) {
  for (const OwnFlag& own : OwnFlags()) {
    const auto flag = FindFlag(own.name);
    ASSERT_TRUE(flag.ok()) << flag.status();
    EXPECT_EQ(flag->name, own.name);
    EXPECT_EQ(flag->is_switch, own.value.empty()) << own.name;
    if (own.check == nullptr) continue;
    EXPECT_TRUE(own.check(FlagValue(own.name)).ok()) << own.name;
  }
}

TEST(FlagRegistry, DashesAndNegation) {
  EXPECT_EQ(FindFlag("idle-timeout")->name, "idle_timeout");
  EXPECT_EQ(FindFlag("test_loud")->name, "test_loud");
  EXPECT_FALSE(FindFlag("test_loud")->negated);
  EXPECT_EQ(FindFlag("notest-loud")->name, "test_loud");
  EXPECT_TRUE(FindFlag("notest_loud")->negated);
  EXPECT_EQ(FindError("noworkers"),
            "--noworkers: --workers is no switch, it needs a value");
}

TEST(FlagRegistry, UnknownFlags) {
  EXPECT_EQ(FindError("worker"),
            "--worker: unknown flag, did you mean --workers?");
  EXPECT_EQ(FindError("idle-timout"),
            "--idle-timout: unknown flag, did you mean --idle_timeout?");
  EXPECT_EQ(FindError("flag_file"),
            "--flag_file: unknown flag, did you mean --flagfile?");
  EXPECT_EQ(FindError("test_greting"),
            "--test_greting: unknown flag, did you mean --test_greeting?");
  EXPECT_EQ(FindError("cache"),
            "--cache: unknown flag; --help shows what there is");
  EXPECT_EQ(FindError("x"), "--x: unknown flag; --help shows what there is");
  EXPECT_EQ(FindError("a\nb"),
            "\"--a\\nb\": unknown flag; --help shows what there is");
  EXPECT_EQ(FindError(std::string(300, 'x')),
            absl::StrCat("\"--", std::string(198, 'x'),
                         "\"... (302 bytes): unknown flag; --help shows what "
                         "there is"));
}

TEST(FlagRegistry, FlagsThatAreRefused) {
  for (const char* name : {"log_dir", "alsologtostderr", "logtostderr",
                           "stderrthreshold", "max_log_size"}) {
    EXPECT_EQ(FindError(name),
              absl::StrCat("--", name,
                           ": glog's own log files are switched off; there is "
                           "--log_file and --log_format"));
  }
  for (const char* name :
       {"fromenv", "tryfromenv", "undefok", "helpxml", "tab_completion_word"}) {
    EXPECT_EQ(FindError(name),
              absl::StrCat("--", name,
                           ": not supported; --help shows what there is"));
  }
}

TEST(FlagRegistry, SetsWhatIsRight) {
  const google::FlagSaver saver;
  EXPECT_TRUE(Set("workers", "3").ok());
  EXPECT_EQ(FLAGS_workers, 3);
  EXPECT_TRUE(Set("idle_timeout", "5m").ok());
  EXPECT_EQ(FLAGS_idle_timeout, "5m");
  EXPECT_TRUE(Set("test_greeting", "").ok());
  EXPECT_EQ(FLAGS_test_greeting, "");
  EXPECT_TRUE(Set("test_even", "0x10").ok());
  EXPECT_EQ(FLAGS_test_even, 16);
}

TEST(FlagRegistry, SaysWhatIsWrong) {
  const google::FlagSaver saver;
  EXPECT_EQ(SetError("workers", "x"),
            "HERE: bad number \"x\": a whole number from 0 (one per usable "
            "CPU) to 1024");
  EXPECT_EQ(SetError("workers", "0x2"),
            "HERE: bad number \"0x2\": a whole number from 0 (one per usable "
            "CPU) to 1024");
  EXPECT_EQ(SetError("test_loud", "maybe"),
            "HERE: bad value \"maybe\": true or false");
  EXPECT_EQ(SetError("test_even", "2147483648"),
            "HERE: bad value \"2147483648\": a whole number from -2147483648 "
            "to 2147483647");
  EXPECT_EQ(SetError("test_even", "3"),
            "HERE: bad value \"3\": refused by the program's own check of "
            "this int32");
  EXPECT_EQ(SetError("test_uint32", "-1"),
            "HERE: bad value \"-1\": a whole number from 0 to 4294967295");
  EXPECT_EQ(SetError("test_int64", ""),
            "HERE: bad value \"\": a whole number from -9223372036854775808 "
            "to 9223372036854775807");
  EXPECT_EQ(SetError("test_uint64", "1x"),
            "HERE: bad value \"1x\": a whole number from 0 to "
            "18446744073709551615");
  EXPECT_EQ(SetError("test_double", "pi"), "HERE: bad value \"pi\": a number");
  EXPECT_EQ(SetError("minloglevel", "low"),
            "HERE: bad value \"low\": a whole number from -2147483648 to "
            "2147483647");
}

TEST(FlagRegistry, EnvironmentNames) {
  EXPECT_EQ(EnvironmentName("idle_timeout"), "BATON_IDLE_TIMEOUT");
}

TEST(NearestName, OnlyWhatIsNear) {
  const std::vector<std::string> names = {"listen", "log_file", "user", "v"};
  EXPECT_EQ(NearestName("listne", names), "listen");
  EXPECT_EQ(NearestName("lisen", names), "listen");
  EXPECT_EQ(NearestName("list", names), std::nullopt);
  EXPECT_EQ(NearestName("logfile", names), "log_file");
  EXPECT_EQ(NearestName("log-file", names), "log_file");
  EXPECT_EQ(NearestName("uesr", names), "user");
  EXPECT_EQ(NearestName("x", names), std::nullopt);
  EXPECT_EQ(NearestName("", names), std::nullopt);
}

}  // namespace
}  // namespace baton
