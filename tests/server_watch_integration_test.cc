// --watch_flagfile: a reload when the file changes, and at no other time.

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "nlohmann/json.hpp"
#include "tests/handover_fixture.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::HasSubstr;
using testing::Not;

class ServerWatchTest : public HandoverTest {
 protected:
  ServerWatchTest() : HandoverTest("tests/reload_server") {}

  static std::string Greeting(const Endpoint& address) {
    TestClient client(address);
    EXPECT_TRUE(client.Send("?\n"));
    return client.Receive(4);
  }
  void AwaitReload(const std::string& greeting) {
    EXPECT_EQ(server().WaitFor("reload_finished").value("outcome", ""), "ok");
    EXPECT_EQ(Greeting(server().address()), greeting + "\n");
  }
  static std::string Flags(const std::string& greeting, bool watch = true) {
    return absl::StrCat("--listen=greet://127.0.0.1:0\n--workers=2\n",
                        "--greeting=", greeting,
                        "\n--watch_flagfile=", watch ? "true" : "false", "\n");
  }
  // It has an inotify descriptor.
  bool Watches() { return HasOpen(server().pid(), "inotify"); }
  static void Swap(const std::string& target, const std::string& link) {
    ASSERT_EQ(symlink(target.c_str(), (link + ".new").c_str()), 0);
    ASSERT_EQ(rename((link + ".new").c_str(), link.c_str()), 0);
  }
};

TEST_F(ServerWatchTest, AnEditIsAReload) {
  Start(Flags("one"));
  const std::string file = flag_file();
  WriteFlags(Flags("two"));
  AwaitReload("two");
  // By rename, as an editor does it.
  std::ofstream(file + ".new") << Flags("six");
  ASSERT_EQ(rename((file + ".new").c_str(), file.c_str()), 0);
  AwaitReload("six");
  // Away and there again.
  ASSERT_EQ(unlink(file.c_str()), 0);
  server().WaitFor("flag_file_unreadable");
  WriteFlags(Flags("ten"));
  AwaitReload("ten");
  EXPECT_EQ(Status()["generation"], 4);
}

TEST_F(ServerWatchTest, AMistakeIsRejectedAndItsCorrectionTakenUp) {
  Start(Flags("one"));
  WriteFlags(Flags("one") + "--wrokers=3\n");
  EXPECT_EQ(server().WaitFor("reload_finished").value("outcome", ""),
            "rejected");
  EXPECT_EQ(Greeting(server().address()), "one\n");
  WriteFlags(Flags("two"));
  AwaitReload("two");
}

// The way that a ConfigMap is mounted.
TEST_F(ServerWatchTest, ASwappedLinkIsAReload) {
  const std::string folder = flag_file() + ".d";
  for (const char* sub : {"", "/..1", "/..2"})
    ASSERT_EQ(mkdir((folder + sub).c_str(), 0755), 0);
  std::ofstream(folder + "/..1/flags") << Flags("one");
  std::ofstream(folder + "/..2/flags") << Flags("two");
  ASSERT_EQ(symlink("..1", (folder + "/..data").c_str()), 0);
  ASSERT_EQ(symlink("..data/flags", (folder + "/flags").c_str()), 0);
  Start("", {"--flagfile=" + folder + "/flags"});
  EXPECT_EQ(Greeting(server().address()), "one\n");
  Swap("..2", folder + "/..data");
  AwaitReload("two");
  Swap("..1", folder + "/..data");
  AwaitReload("one");
}

TEST_F(ServerWatchTest, AReloadSwitchesItOnAndOff) {
  Start(Flags("one", false));
  EXPECT_FALSE(Watches());
  WriteFlags(Flags("two"));
  EXPECT_EQ(Reload().value("outcome", ""), "ok");
  WaitUntil("it watches", [&] { return Watches(); });
  WriteFlags(Flags("six", false));
  AwaitReload("six");
  WaitUntil("it does not watch any more", [&] { return !Watches(); });
  WriteFlags(Flags("ten", false));
  EXPECT_EQ(Reload().value("outcome", ""), "ok");
  EXPECT_EQ(Status()["generation"], 4);
}

// The same bytes are no reason, however they came.
TEST_F(ServerWatchTest, TheSameAgainIsNoReload) {
  Start(Flags("one"));
  for (int i = 0; i < 3; ++i) WriteFlags(Flags("one"));
  std::ofstream{flag_file()};  // empty, as an edit in place begins
  EXPECT_EQ(server().WaitFor("flag_file_empty").value("path", ""), flag_file());
  EXPECT_THAT(server().log(), Not(HasSubstr("flag_file_unreadable")));
  ASSERT_EQ(unlink(flag_file().c_str()), 0);
  server().WaitFor("flag_file_unreadable");
  WriteFlags(Flags("one"));
  WriteFlags(Flags("two"));
  AwaitReload("two");
  EXPECT_EQ(Status()["generation"], 2);
}

}  // namespace
}  // namespace baton
