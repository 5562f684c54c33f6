#include "master/process_title.h"

#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace baton {
namespace {

std::string CommandLine() {
  std::ifstream file("/proc/self/cmdline");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// What a title leaves of the command line, without NULs at the end.
std::string Shown() {
  std::string text = CommandLine();
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

TEST(ProcessTitleTest, ShowsTheTitleAndNothingElse) {
  ProcessTitle::Set("baton: master");
  EXPECT_EQ(Shown(), "baton: master");
}

TEST(ProcessTitleTest, ShorterThanTheOneBefore) {
  ProcessTitle::Set("baton: worker 2 (generation 3)");
  EXPECT_EQ(Shown(), "baton: worker 2 (generation 3)");
  ProcessTitle::Set("b");
  EXPECT_EQ(Shown(), "b");
}

TEST(ProcessTitleTest, MayRunOverIntoTheEnvironmentsPlace) {
  // The arguments of a test binary are one path; this is surely longer.
  const std::string title(CommandLine().size() + 200, 'x');
  ProcessTitle::Set(title);
  EXPECT_EQ(Shown().substr(0, title.size()), title);
}

TEST(ProcessTitleTest, ATitleThatDoesNotFitIsCut) {
  ProcessTitle::Set(std::string(1 << 20, 'y'));
  EXPECT_EQ(Shown()[0], 'y');
  ProcessTitle::Set("short again");
  EXPECT_EQ(Shown(), "short again");
}

TEST(ProcessTitleTest, TheEnvironmentIsStillThere) {
  ProcessTitle::Set(std::string(1 << 20, 'z'));
  ASSERT_NE(getenv("PATH"), nullptr);
  EXPECT_EQ(std::string(getenv("PATH")).find('z'), std::string::npos);
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  baton::ProcessTitle::Init(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
