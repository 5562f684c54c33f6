#include "master/flag_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<FlagFileLine> Parsed(absl::string_view text) {
  const auto lines = ParseFlagFile("f", text);
  EXPECT_TRUE(lines.ok()) << lines.status();
  return lines.value_or(std::vector<FlagFileLine>());
}

std::string Error(absl::string_view text) {
  const auto lines = ParseFlagFile("/etc/baton.flags", text);
  EXPECT_FALSE(lines.ok());
  return std::string(lines.status().message());
}

TEST(FlagFile, NothingAtAll) {
  EXPECT_THAT(Parsed(""), IsEmpty());
  EXPECT_THAT(Parsed("\n\n# --workers=4\n   # indented\n \t \n"), IsEmpty());
}

TEST(FlagFile, LinesKeepTheirNumbers) {
  EXPECT_THAT(Parsed("# first\n--workers=4\n\n-listen=echo://[::]:7\n"),
              ElementsAre(FlagFileLine{2, "workers", "4"},
                          FlagFileLine{4, "listen", "echo://[::]:7"}));
}

TEST(FlagFile, Switches) {
  EXPECT_THAT(Parsed("--pin_workers\n--nopin_workers"),
              ElementsAre(FlagFileLine{1, "pin_workers", std::nullopt},
                          FlagFileLine{2, "nopin_workers", std::nullopt}));
}

TEST(FlagFile, TheValueIsAllBehindTheFirstEqualsSign) {
  EXPECT_THAT(
      Parsed("--a=\n--b=x=y\n--c=x # y\n--d= x\n--e=\"x\"\n"),
      ElementsAre(FlagFileLine{1, "a", ""}, FlagFileLine{2, "b", "x=y"},
                  FlagFileLine{3, "c", "x # y"}, FlagFileLine{4, "d", " x"},
                  FlagFileLine{5, "e", "\"x\""}));
}

TEST(FlagFile, BlanksAroundALineCarriageReturnsAndAByteOrderMark) {
  EXPECT_THAT(Parsed("\xef\xbb\xbf--a=1\r\n \t--b=2 \t\r\n--c=3"),
              ElementsAre(FlagFileLine{1, "a", "1"}, FlagFileLine{2, "b", "2"},
                          FlagFileLine{3, "c", "3"}));
}

TEST(FlagFile, NamesMayBeWrittenWithDashes) {
  EXPECT_THAT(Parsed("--idle-timeout=1s"),
              ElementsAre(FlagFileLine{1, "idle-timeout", "1s"}));
}

TEST(FlagFile, GarbageIsRefusedWithFileLineAndWhatToWrite) {
  EXPECT_EQ(Error("--workers=4\nworkers=4"),
            "/etc/baton.flags:2: \"workers=4\" is no flag: write "
            "\"--workers=4\"");
  EXPECT_EQ(Error("--workers 4"),
            "/etc/baton.flags:1: \"--workers 4\" is no flag: write "
            "\"--workers=4\"");
  EXPECT_EQ(Error("--workers = 4"),
            "/etc/baton.flags:1: \"--workers = 4\" is no flag: write "
            "\"--workers=4\"");
  EXPECT_EQ(Error("\n\n{"),
            "/etc/baton.flags:3: \"{\" is no flag: write \"--name=value\"");
  EXPECT_EQ(Error("--"),
            "/etc/baton.flags:1: \"--\" is no flag: write \"--name=value\"");
  EXPECT_EQ(Error("--=4"),
            "/etc/baton.flags:1: \"--=4\" is no flag: write \"--name=value\"");
  EXPECT_EQ(Error("---workers=4"),
            "/etc/baton.flags:1: \"---workers=4\" is no flag: write "
            "\"--workers=4\"");
  // What gflags takes for the names of programs.
  EXPECT_EQ(Error("baton"),
            "/etc/baton.flags:1: \"baton\" is no flag: write "
            "\"--name=value\"");
}

TEST(FlagFile, ControlCharactersAreRefusedAndDoNotReachTheTerminal) {
  EXPECT_EQ(Error("--user=\x1b[2J"),
            "/etc/baton.flags:1: a control character in "
            "\"--user=\\x1b[2J\"");
  EXPECT_EQ(Error(absl::string_view("--a=b\0c", 7)),
            "/etc/baton.flags:1: a control character in \"--a=b\\x00\\x63\"");
}

TEST(FlagFile, FlagsOfTheCommandLineAreRefused) {
  for (const absl::string_view name :
       {"flagfile", "fromenv", "tryfromenv", "undefok", "check", "healthcheck",
        "readycheck", "help", "helpfull", "helpshort", "helpon", "helpmatch",
        "helppackage", "helpxml", "version", "tab_completion_word",
        "tab-completion-columns"}) {
    EXPECT_EQ(Error(absl::StrCat("--", name, "=x")),
              absl::StrCat("/etc/baton.flags:1: --", name,
                           " has no place in a flag file"));
  }
  EXPECT_FALSE(IsCommandLineOnly("workers"));
}

TEST(FlagFile, TooLargeATextIsRefused) {
  EXPECT_TRUE(ParseFlagFile("f", std::string(kMaxFlagFileBytes, '\n')).ok());
  EXPECT_EQ(Error(std::string(kMaxFlagFileBytes + 1, '\n')),
            "/etc/baton.flags: larger than 1048576 bytes");
}

class ReadFlagFileTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = absl::StrCat(testing::TempDir(), "/flag_file_XXXXXX");
    ASSERT_NE(mkdtemp(dir_.data()), nullptr);
  }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(dir_, "/", name);
  }

  std::string dir_;
};

TEST_F(ReadFlagFileTest, BytesAsTheyAre) {
  const std::string text(100000, 'x');
  std::ofstream(Path("f")) << text;
  EXPECT_EQ(ReadFlagFile(Path("f")).value(), text);
  std::ofstream(Path("empty")).flush();
  EXPECT_EQ(ReadFlagFile(Path("empty")).value(), "");
}

TEST_F(ReadFlagFileTest, ThroughASymbolicLink) {
  std::ofstream(Path("f")) << "--workers=4\n";
  ASSERT_EQ(symlink("f", Path("link").c_str()), 0);
  EXPECT_EQ(ReadFlagFile(Path("link")).value(), "--workers=4\n");
}

TEST_F(ReadFlagFileTest, WhatIsMissingIsNamed) {
  EXPECT_EQ(
      ReadFlagFile(Path("f")).status().message(),
      absl::StrCat("open ", Path("f"), ": No such file or directory (ENOENT)"));
}

TEST_F(ReadFlagFileTest, OnlyRegularFilesAndWithoutWaiting) {
  EXPECT_EQ(ReadFlagFile(dir_).status().message(),
            absl::StrCat(dir_, ": not a regular file"));
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(ReadFlagFile(Path("fifo")).status().message(),
            absl::StrCat(Path("fifo"), ": not a regular file"));
}

TEST_F(ReadFlagFileTest, TooLargeAFile) {
  std::ofstream(Path("f")) << std::string(kMaxFlagFileBytes + 1, '\n');
  EXPECT_EQ(ReadFlagFile(Path("f")).status().message(),
            absl::StrCat(Path("f"), ": larger than 1048576 bytes"));
}

}  // namespace
}  // namespace baton
