#include "master/flag_sources.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gflags/gflags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

DEFINE_string(test_greeting, "hello", "of this test");
DEFINE_string(test_Case, "", "of this test");
DEFINE_string(test_case, "", "of this test");

namespace baton {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// "name=value (source)", one for each setting.
std::vector<std::string> Text(const FlagSource& source) {
  std::vector<std::string> lines;
  for (const FlagSetting& setting : source.settings) {
    lines.push_back(absl::StrCat(setting.name, "=", setting.value, " (",
                                 setting.source, ")"));
  }
  return lines;
}

FlagSource CommandLine(const std::vector<std::string>& args) {
  const auto source = FlagsFromCommandLine(args);
  EXPECT_TRUE(source.ok()) << source.status();
  return source.value_or(FlagSource());
}

std::string CommandLineError(const std::vector<std::string>& args) {
  const auto source = FlagsFromCommandLine(args);
  EXPECT_FALSE(source.ok());
  return std::string(source.status().message());
}

std::string FileError(absl::string_view text) {
  const auto source = FlagsFromFile("/etc/b.flags", text);
  EXPECT_FALSE(source.ok());
  return std::string(source.status().message());
}

TEST(CommandLine, AllFormsOfAFlag) {
  EXPECT_THAT(Text(CommandLine({"--workers=1", "-workers=2", "--workers", "3",
                                "-workers", "-4", "--idle-timeout=1s"})),
              ElementsAre("workers=1 (--workers)", "workers=2 (--workers)",
                          "workers=3 (--workers)", "workers=-4 (--workers)",
                          "idle_timeout=1s (--idle_timeout)"));
  EXPECT_THAT(
      Text(CommandLine({"--pin_workers", "--nopin_workers", "--pin_workers=x",
                        "--test_greeting=a=b", "--user="})),
      ElementsAre("pin_workers=true (--pin_workers)",
                  "pin_workers=false (--pin_workers)",
                  "pin_workers=x (--pin_workers)",
                  "test_greeting=a=b (--test_greeting)", "user= (--user)"));
}

TEST(CommandLine, NothingToSet) {
  EXPECT_THAT(Text(CommandLine({})), IsEmpty());
}

TEST(CommandLine, WhatToDo) {
  EXPECT_TRUE(CommandLine({"--help"}).help);
  EXPECT_TRUE(CommandLine({"--helpfull"}).helpfull);
  EXPECT_TRUE(CommandLine({"--version"}).version);
  EXPECT_FALSE(CommandLine({"--version", "--noversion"}).version);
  EXPECT_FALSE(CommandLine({"--help=false"}).help);
  EXPECT_EQ(CommandLine({"--flagfile=a", "--flagfile", "b"}).flag_file, "b");
  EXPECT_EQ(CommandLine({}).flag_file, std::nullopt);
  EXPECT_THAT(Text(CommandLine({"--check"})),
              ElementsAre("check=true (--check)"));
}

TEST(CommandLine, Mistakes) {
  EXPECT_EQ(CommandLineError({"serve"}),
            "unexpected argument \"serve\": there are only flags, such as "
            "--workers=4");
  for (const char* bad : {"", "-", "--", "--=", "-="}) {
    EXPECT_EQ(CommandLineError({bad}),
              absl::StrCat("unexpected argument \"", bad,
                           "\": there are only flags, such as --workers=4"));
  }
  EXPECT_EQ(CommandLineError({"--workers"}), "--workers: needs a value");
  EXPECT_EQ(CommandLineError({"--user", "--check"}), "--user: needs a value");
  EXPECT_EQ(CommandLineError({"--flagfile"}), "--flagfile: needs a value");
  EXPECT_EQ(CommandLineError({"--pin_workers", "yes"}),
            "unexpected argument \"yes\": there are only flags, such as "
            "--workers=4");
  EXPECT_EQ(CommandLineError({"--nopin_workers=true"}),
            "--nopin_workers: takes no value; write --pin_workers=true or "
            "--pin_workers=false");
  EXPECT_EQ(CommandLineError({"--help=me"}),
            "--help: bad value \"me\": true or false");
  EXPECT_EQ(CommandLineError({"--workrs=1"}),
            "--workrs: unknown flag, did you mean --workers?");
  EXPECT_EQ(CommandLineError({"--log_dir=/tmp"}),
            "--log_dir: glog's own log files are switched off; there is "
            "--log_file and --log_format");
}

TEST(Environment, EveryFlagHasAVariable) {
  const FlagSource source = FlagsFromEnvironment(
      {"PATH=/bin", "BATON_WORKERS=3", "BATON_LISTEN=echo://[::]:7?a=b",
       "BATON_TEST_GREETING=", "BATON_FLAGFILE=/etc/b.flags", "BATON_V=1",
       "BATON_CHECK=1", "workers=9", "BATON_WORKERS=4"});
  EXPECT_THAT(Text(source),
              ElementsAre("workers=3 (BATON_WORKERS)",
                          "listen=echo://[::]:7?a=b (BATON_LISTEN)",
                          "test_greeting= (BATON_TEST_GREETING)",
                          "v=1 (BATON_V)", "check=1 (BATON_CHECK)"));
  EXPECT_EQ(source.flag_file, "/etc/b.flags");
  EXPECT_THAT(source.warnings, IsEmpty());
}

TEST(Environment, OneVariableForFlagsThatDifferInCaseOnly) {
  EXPECT_THAT(Text(FlagsFromEnvironment({"BATON_TEST_CASE=x"})),
              ElementsAre("test_Case=x (BATON_TEST_CASE)",
                          "test_case=x (BATON_TEST_CASE)"));
}

TEST(Environment, WhatIsNoFlagIsLeftAlone) {
  // What a container platform sets for a service named baton, and an image for
  // its version; glog's files and gflags' own.
  const FlagSource source = FlagsFromEnvironment(
      {"BATON_PORT=tcp://10.0.0.1:80", "BATON_SERVICE_HOST=10.0.0.1",
       "BATON_PORT_80_TCP_ADDR=10.0.0.1", "BATON_VERSION=1.2", "BATON_HELP=1",
       "BATON_LOG_DIR=/tmp", "BATON_UNDEFOK=x", "BATON_=", "BATON_X", "BATON",
       "="});
  EXPECT_THAT(Text(source), IsEmpty());
  EXPECT_THAT(source.warnings, IsEmpty());
  EXPECT_FALSE(source.help);
  EXPECT_FALSE(source.version);
}

TEST(Environment, AMisspeltOneIsWorthAWarning) {
  EXPECT_THAT(FlagsFromEnvironment({"BATON_LISTNE=x"}).warnings,
              ElementsAre("the environment has \"BATON_LISTNE\", which is no "
                          "flag; did you mean BATON_LISTEN?"));
}

TEST(File, LinesBecomeSettings) {
  const auto source = FlagsFromFile("/etc/b.flags",
                                    "# c\n--workers=4\n--pin_workers\n\n"
                                    "--test-greeting=a b\n--nolog_utc_time\n");
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT(
      Text(*source),
      ElementsAre("workers=4 (/etc/b.flags:2: --workers)",
                  "pin_workers=true (/etc/b.flags:3: --pin_workers)",
                  "test_greeting=a b (/etc/b.flags:5: --test_greeting)",
                  "log_utc_time=false (/etc/b.flags:6: --log_utc_time)"));
}

TEST(File, Mistakes) {
  EXPECT_EQ(FileError("\nworkers"),
            "/etc/b.flags:2: \"workers\" is no flag: write \"--name=value\"");
  EXPECT_EQ(FileError("--workrs=1"),
            "/etc/b.flags:1: --workrs: unknown flag, did you mean --workers?");
  EXPECT_EQ(FileError("--workers"),
            "/etc/b.flags:1: --workers: needs a value, --workers=...");
  EXPECT_EQ(FileError("--nopin_workers=1"),
            "/etc/b.flags:1: --nopin_workers: takes no value; write "
            "--pin_workers=true or --pin_workers=false");
  EXPECT_EQ(FileError("--flagfile=x"),
            "/etc/b.flags:1: --flagfile has no place in a flag file");
  EXPECT_EQ(FileError("--nocheck"),
            "/etc/b.flags:1: --check has no place in a flag file");
  EXPECT_EQ(FileError("--log_dir=/tmp"),
            "/etc/b.flags:1: --log_dir: glog's own log files are switched "
            "off; there is --log_file and --log_format");
}

TEST(File, TwiceTheSameFlagIsAMistake) {
  EXPECT_EQ(FileError("--workers=1\n\n--workers=1"),
            "/etc/b.flags:3: --workers: stands in line 1 already");
  EXPECT_EQ(FileError("--pin_workers\n--nopin-workers"),
            "/etc/b.flags:2: --pin_workers: stands in line 1 already");
  EXPECT_EQ(FileError("--listen=a\n--listen=b"),
            "/etc/b.flags:2: --listen: stands in line 1 already; several "
            "listeners go into one, with commas between");
}

}  // namespace
}  // namespace baton
