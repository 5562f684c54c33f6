// What a reload takes up: every flag there is.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/flag_file.h"
#include "master/flags.h"
#include "master/process.h"
#include "net/endpoint.h"
#include "nlohmann/json.hpp"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Read(const std::string& path) {
  return absl::StrCat("\n", ReadFile(path));
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// Root of a user namespace that has no other user can't.
bool CanBecomeNobody() {
  auto dropped = Process::Fork([] { return setuid(65534); });
  EXPECT_TRUE(dropped.ok());
  return dropped->WaitAndReap().clean();
}

// Those processes of a server whose name begins like this.
std::vector<pid_t> Named(const ServerProcess& server,
                         const std::string& beginning) {
  std::vector<pid_t> found;
  for (const pid_t pid : server.Workers()) {
    if (absl::StartsWith(TitleOf(pid), beginning)) found.push_back(pid);
  }
  return found;
}

std::string StatusOf(pid_t pid) {
  return Read(absl::StrCat("/proc/", pid, "/status"));
}

using Values = std::map<std::string, std::string>;

// Of each flag that a file may have: another value than its default.
Values OtherValues(const std::string& folder) {
  Values values = {
      {"listen", "greet://127.0.0.1:0,echo://127.0.0.1:0"},
      {"max_connections", "77"},
      {"max_connections_per_ip", "66"},
      {"forwarded_from", "10.0.0.0/8"},
      {"idle_timeout", "200ms"},
      {"write_timeout", "21s"},
      {"tcp_keepalive", "61s:6s:4"},
      {"tcp_user_timeout", "91s"},
      {"workers", "3"},
      {"worker_memory", "1MiB"},
      {"pin_workers", "true"},
      {"job_threads", "3:5"},
      {"job_queue", "55"},
      {"max_requests", "1000000"},
      {"max_rss", "1GiB"},
      {"ready_timeout", "39s"},
      {"stall_timeout", "31s"},
      {"crash_loop_limit", "44"},
      {"admin", "http://127.0.0.1:0?max_body=1KiB"},
      {"control", folder + ".sock"},
      {"probation", "10ms"},
      {"drain_timeout", "33s"},
      {"max_draining", "5"},
      {"drain_delay", "3ms"},
      {"stop_timeout", "7s"},
      {"watch_flagfile", "true"},
      {"pid_file", folder + ".pid"},
      {"log_file", folder + ".log"},
      {"log_format", "text"},
  };
  if (CanBecomeNobody()) {
    values["user"] = "nobody";
    values["group"] = "nogroup";
  }
  return values;
}

// A server with everything in its flag file.
class EveryFlagTest : public testing::Test {
 protected:
  EveryFlagTest()
      : folder_(MakeFolder()), values_(OtherValues(folder_ + "/it")) {
    Write({{"listen", "greet://127.0.0.1:0"},
           {"admin", "http://127.0.0.1:0"},
           {"control", ""},
           {"log_format", "json"},
           {"workers", "1"}});
    server_.emplace(std::vector<std::string>{"--flagfile=" + file()},
                    std::vector<std::string>{kOwnAdmin, kOwnFlags},
                    "tests/reload_server");
    server_->WaitReady();
  }

  static std::string MakeFolder() {
    // Short: there is a socket in it.
    std::string folder = "/tmp/baton.XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    return folder;
  }
  ~EveryFlagTest() override {
    server_.reset();
    for (const char* name : {"flags", "it.sock", "it.pid", "it.log"})
      unlink(absl::StrCat(folder_, "/", name).c_str());
    EXPECT_EQ(rmdir(folder_.c_str()), 0);
  }

  std::string file() const { return folder_ + "/flags"; }
  void Write(const Values& values) const {
    std::ofstream out(file());
    for (const auto& [name, value] : values)
      out << "--" << name << "=" << value << "\n";
  }

  const std::string folder_;
  const Values values_;
  std::optional<ServerProcess> server_;
};

TEST_F(EveryFlagTest, IsTakenUpOrRefusedByName) {
  for (const OwnFlag& flag : OwnFlags()) {
    const std::string name(flag.name);
    if (values_.contains(name)) continue;
    if (name == "user" || name == "group") continue;  // needs root
    ASSERT_TRUE(IsCommandLineOnly(name))
        << "say what --" << name << " is to be set to";
    Write({{"listen", "greet://127.0.0.1:0"}, {name, "true"}});
    server_->Signal(SIGHUP);
    const nlohmann::json finished = server_->WaitFor("reload_finished");
    EXPECT_EQ(finished.value("outcome", ""), "rejected") << name;
    EXPECT_THAT(finished.value("reason", ""), HasSubstr("--" + name));
  }

  // All at once, but for what would take the log away from this test.
  Values values = values_;
  for (const char* name : {"log_file", "log_format", "stall_timeout"}) {
    if (FindOwnFlag(name) == nullptr || name[0] == 'l') values.erase(name);
  }
  values["log_format"] = "json";
  Write(values);
  server_->Signal(SIGHUP);
  const nlohmann::json taken = server_->WaitFor("configuration");
  EXPECT_EQ(server_->WaitFor("reload_finished").value("outcome", ""), "ok");
  for (const auto& [name, value] : values)
    EXPECT_EQ(taken.value(name, "not there"), value) << name;

  // What can be seen from outside.
  WaitUntil("the old ones have left",
            [&] { return Named(*server_, "baton: worker").size() == 3; });
  for (const pid_t worker : Named(*server_, "baton: worker")) {
    EXPECT_THAT(StatusOf(worker),
                testing::ContainsRegex("Cpus_allowed_list:\t[0-9]+\n"));
    EXPECT_THAT(StatusOf(worker), HasSubstr("\nThreads:\t4\n"));
    if (values.contains("user"))
      EXPECT_THAT(StatusOf(worker), HasSubstr("\nUid:\t65534\t65534"));
  }
  EXPECT_TRUE(TestClient(server_->address(1)).Echoes("a new listener"));
  TestClient idle(server_->address());
  EXPECT_EQ(idle.ReceiveAll(), "") << "idle_timeout";
  EXPECT_TRUE(Exists(values["control"]));
  EXPECT_EQ(Read(values["pid_file"]), absl::StrCat("\n", server_->pid(), "\n"));
  server_->Signal(SIGTERM);
  const nlohmann::json stop = server_->WaitFor("stop_started");
  EXPECT_EQ(stop.value("drain_delay_ms", 0), 3);
  EXPECT_EQ(stop.value("stop_timeout_ms", 0), 7000);
  EXPECT_EQ(server_->Wait().exit_code, 0);
  EXPECT_FALSE(Exists(values["pid_file"]));
}

// --- what the master itself has open

TEST_F(EveryFlagTest, TheLogGoesOnElsewhereInAnotherFormat) {
  const std::string log = values_.at("log_file");
  Values values = {{"listen", "greet://127.0.0.1:0"},
                   {"admin", "http://127.0.0.1:0"},
                   {"control", ""},
                   {"workers", "2"},
                   {"probation", "0s"},
                   {"log_file", log},
                   {"log_format", "text"}};
  Write(values);
  server_->Signal(SIGHUP);
  WaitUntil("the new log has it", [&] {
    return absl::StrContains(ReadFile(log), "reload_finished outcome=ok");
  });
  // Of the master, of workers and of helpers alike.
  EXPECT_THAT(ReadFile(log), Not(HasSubstr("{\"time\"")));
  WaitUntil("all have it", [&] {
    const std::vector<pid_t> children = server_->Workers();
    return std::all_of(children.begin(), children.end(),
                       [&](pid_t child) { return HasOpen(child, log); });
  });

  // And back, to what it had at the start.
  values.erase("log_file");
  values["log_format"] = "json";
  Write(values);
  server_->Signal(SIGHUP);
  const nlohmann::json finished = server_->WaitFor("reload_finished");
  EXPECT_EQ(finished.value("outcome", ""), "ok");
  const std::string before = ReadFile(log);
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->Wait().exit_code, 0);
  EXPECT_EQ(ReadFile(log), before);
}

TEST_F(EveryFlagTest, ThePidFileMovesAndStaysLocked) {
  const std::string first = values_.at("pid_file");
  const std::string second = folder_ + "/it.log";
  Values values = {{"listen", "greet://127.0.0.1:0"},
                   {"admin", ""},
                   {"control", ""},
                   {"workers", "1"},
                   {"probation", "0s"},
                   {"log_format", "json"}};
  const std::string pid = absl::StrCat(server_->pid(), "\n");
  for (const auto& [now, before] :
       {std::pair{first, second}, {second, first}, {first, second}}) {
    values["pid_file"] = now;
    Write(values);
    server_->Signal(SIGHUP);
    EXPECT_EQ(server_->WaitFor("reload_finished").value("outcome", ""), "ok");
    EXPECT_EQ(ReadFile(now), pid);
    EXPECT_FALSE(Exists(before));
  }
  // By another name it is the same one.
  values["pid_file"] = folder_ + "/./it.pid";
  Write(values);
  server_->Signal(SIGHUP);
  EXPECT_EQ(server_->WaitFor("reload_finished").value("outcome", ""), "ok");
  EXPECT_EQ(ReadFile(first), pid);
  const Finished other = RunServer(
      {"--listen=echo://127.0.0.1:0", "--workers=1", "--pid_file=" + first});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr(absl::StrCat("process ", server_->pid())));

  // A reload that is rejected has taken no other.
  values["pid_file"] = second;
  values["set_up_fails"] = "true";
  Write(values);
  server_->Signal(SIGHUP);
  EXPECT_EQ(server_->WaitFor("reload_finished").value("outcome", ""),
            "rejected");
  EXPECT_EQ(ReadFile(first), pid);
  EXPECT_FALSE(Exists(second));

  // And one that is rolled back gives it back.
  values.erase("set_up_fails");
  values["worker_fails"] = "true";
  Write(values);
  server_->Signal(SIGHUP);
  EXPECT_EQ(server_->WaitFor("reload_finished").value("outcome", ""),
            "rolled_back");
  EXPECT_EQ(ReadFile(first), pid);
  EXPECT_FALSE(Exists(second));
}

}  // namespace
}  // namespace baton
