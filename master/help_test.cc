#include "master/help.h"

#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gflags/gflags.h"
#include "gtest/gtest.h"
#include "master/flags.h"
#include "master/version.h"

DEFINE_string(test_greeting, "hello", "what is said\nto whom");
DEFINE_bool(test_loud, true, "whether it is shouted");

namespace baton {
namespace {

const std::vector<std::string>& Schemes() {
  static const auto& schemes =
      *new std::vector<std::string>{"discard", "echo", "http"};
  return schemes;
}

TEST(Help, IsOneScreen) {
  const std::string help = HelpText("/usr/sbin/baton", Schemes());
  const std::vector<std::string> lines = absl::StrSplit(help, '\n');
  EXPECT_LE(lines.size(), 60u);
  for (const std::string& line : lines) {
    EXPECT_LE(line.size(), 80u) << line;
    EXPECT_EQ(absl::StripTrailingAsciiWhitespace(line), line);
  }
  EXPECT_EQ(help.back(), '\n');
}

TEST(Help, HasEveryFlagOfOursAndNoOther) {
  const std::string help = HelpText("baton", Schemes());
  for (const OwnFlag& flag : OwnFlags()) {
    EXPECT_TRUE(absl::StrContains(
        help, absl::StrCat("  --", flag.name, flag.value.empty() ? " " : "=",
                           flag.value)))
        << flag.name;
  }
  EXPECT_FALSE(absl::StrContains(help, "test_greeting"));
  EXPECT_FALSE(absl::StrContains(help, "vmodule"));
}

TEST(Help, ShowsDefaultsSchemesAndExamplesWithTheProgramsName) {
  const std::string help = HelpText("/opt/my_server", {"login", "www"});
  EXPECT_TRUE(absl::StrContains(help, "[60s:5s:3]"));
  EXPECT_TRUE(absl::StrContains(help, "SCHEME is one of login, www\n"));
  EXPECT_TRUE(
      absl::StrContains(help, "  my_server --listen=login://0.0.0.0:7007\n"));
  EXPECT_TRUE(
      absl::StrContains(help, "  my_server --flagfile=/etc/my_server.flags\n"));
  EXPECT_FALSE(absl::StrContains(help, "root="));
  EXPECT_TRUE(absl::StrContains(
      HelpText("/opt/my_server", Schemes()),
      "  my_server "
      "--listen='http://0.0.0.0:8080?root=/srv/www&autoindex=1'\n"));
}

TEST(Help, FullHasTheProgramsFlagsAndGlogs) {
  const std::string help = HelpFullText("baton", Schemes());
  EXPECT_TRUE(absl::StartsWith(help, HelpText("baton", Schemes())));
  EXPECT_TRUE(absl::StrContains(
      help, "  --test_greeting=string       what is said to whom [hello]\n"));
  EXPECT_TRUE(absl::StrContains(
      help, "  --test_loud                  whether it is shouted [true]\n"));
  EXPECT_TRUE(absl::StrContains(help, "  --vmodule=string"));
  EXPECT_FALSE(absl::StrContains(help, "log_dir"));
  EXPECT_FALSE(absl::StrContains(help, "undefok"));
}

TEST(Version, SaysVersionBuildAndCompiler) {
  const std::string version = VersionText();
  EXPECT_TRUE(absl::StartsWith(version, "baton 0.")) << version;
#ifdef __clang__
  EXPECT_TRUE(absl::StrContains(version, "Clang 1")) << version;
#else
  EXPECT_TRUE(absl::StrContains(version, "gcc 1")) << version;
#endif
  EXPECT_FALSE(absl::StrContains(version, "\n"));
}

}  // namespace
}  // namespace baton
