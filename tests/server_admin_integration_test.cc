// What operators see and do: the admin port, the control socket, batonctl.

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr char kServer[] = "tests/http_server";

struct Ran {
  int code;
  std::string output;
};

// Both streams, unless stderr goes elsewhere.
Ran Shell(const std::string& command, absl::string_view errors = "2>&1") {
  FILE* const pipe = popen(absl::StrCat(command, " ", errors).c_str(), "r");
  std::string output;
  char bytes[4096];
  size_t size;
  while ((size = fread(bytes, 1, sizeof(bytes), pipe)) > 0) {
    output.append(bytes, size);
  }
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output};
}

// Of one test: the children of a server that was killed hold its socket for a
// moment. Short, for a socket's path.
std::string NewFolder() {
  std::string folder = "/tmp/baton_XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return folder;
}

class ServerAdminTest : public testing::Test {
 protected:
  ServerAdminTest()
      : folder_(NewFolder()),
        control_(folder_ + "/sock"),
        file_(folder_ + "/flags") {}
  ~ServerAdminTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Start(std::vector<std::string> args) {
    args.insert(args.begin(),
                {"--listen=http://127.0.0.1:0", "--admin=http://127.0.0.1:0",
                 absl::StrCat("--control=", control_)});
    server_.emplace(args, std::vector<std::string>{}, kServer);
    admin_ = server_->WaitFor("helper_listening", [](const json& fields) {
      return fields["helper"] == "admin";
    })["address"];
    server_->WaitReady();
  }

  Ran Curl(absl::string_view path, absl::string_view options = "") {
    return Shell(absl::StrCat("curl --silent --show-error --max-time 30 ",
                              options, " http://", admin_, path));
  }
  std::string Code(absl::string_view path, absl::string_view options = "") {
    return Curl(path, absl::StrCat("-o /dev/null -w '%{http_code}' ", options))
        .output;
  }
  json Status() { return json::parse(Curl("/status").output); }
  Ran Control(absl::string_view path, absl::string_view options = "-X POST") {
    return Shell(absl::StrCat("curl --silent --show-error --max-time 60 ",
                              "--unix-socket ", control_, " ", options,
                              " 'http://localhost", path, "'"));
  }
  Ran Batonctl(absl::string_view arguments, absl::string_view errors = "2>&1") {
    return Shell(
        absl::StrCat(getenv("TEST_SRCDIR"), "/", getenv("TEST_WORKSPACE"),
                     "/tools/batonctl/batonctl --control=", control_, " ",
                     arguments),
        errors);
  }
  // Of all slots together.
  double Metric(absl::string_view name) {
    double sum = 0;
    for (absl::string_view line :
         absl::StrSplit(Curl("/metrics").output, '\n')) {
      if (!absl::StartsWith(line, name)) continue;
      const char next = line.size() > name.size() ? line[name.size()] : '\0';
      double value = 0;
      if ((next == '{' || next == ' ') &&
          absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &value)) {
        sum += value;
      }
    }
    return sum;
  }
  void Request() {
    EXPECT_EQ(Shell(absl::StrCat("curl --silent --max-time 20 http://",
                                 server_->address().ToString(), "/"))
                  .output,
              "Hello, World!");
  }
  void WriteFlags(absl::string_view text) { std::ofstream(file_) << text; }

  const std::string folder_;
  const std::string control_;
  const std::string file_;
  std::string admin_;
  std::optional<ServerProcess> server_;
};

TEST_F(ServerAdminTest, TellsHowThingsStand) {
  Start({"--workers=2"});
  EXPECT_EQ(Curl("/healthz").output, "ok\n");
  EXPECT_EQ(Curl("/readyz").output, "ok\n");
  EXPECT_EQ(Code("/nothing"), "404");
  for (int i = 0; i < 5; ++i) Request();
  const json status = Status();
  EXPECT_EQ(status["pid"], server_->pid());
  EXPECT_EQ(status["state"], "running");
  EXPECT_EQ(status["generation"], 1);
  EXPECT_TRUE(status["last_reload"].is_null());
  EXPECT_EQ(status["listeners"][0]["address"], server_->address().ToString());
  ASSERT_EQ(status["workers"].size(), 2u);
  int requests = 0;
  for (const json& worker : status["workers"]) {
    EXPECT_EQ(worker["state"], "ready");
    EXPECT_GT(worker["rss_bytes"], 0);
    EXPECT_EQ(worker["job_threads"], 1);
    requests += worker["requests"].get<int>();
  }
  EXPECT_EQ(requests, 5);
  EXPECT_EQ(Metric("baton_requests_total"), 5);
  EXPECT_EQ(Metric("baton_http_request_duration_seconds_count"), 5);
  EXPECT_EQ(Metric("baton_http_response_size_bytes_sum"), 5 * 13);
  EXPECT_GT(Metric("baton_loop_turn_duration_seconds_count"), 5);
  EXPECT_THAT(Curl("/metrics", "-I -X GET").output,
              HasSubstr("text/plain; version=0.0.4"));
}

TEST_F(ServerAdminTest, CountersGoOnThroughCrashesAndReloads) {
  Start({"--workers=1"});
  double before = 0;
  for (int i = 1; i <= 3; ++i) {
    Request();
    const int pid = Status()["workers"][0]["pid"];
    kill(pid, SIGKILL);
    server_->WaitFor("worker_exited", [pid](const json& fields) {
      return fields["worker_pid"] == pid;
    });
    server_->WaitFor("worker_serving");
    Request();
    server_->Signal(SIGHUP);
    server_->WaitFor("reload_finished");
    const double now = Metric("baton_requests_total");
    EXPECT_EQ(now, 2 * i);
    EXPECT_GT(now, before);
    before = now;
  }
  EXPECT_EQ(Metric("baton_worker_crashes_total"), 3);
  EXPECT_THAT(Curl("/metrics").output,
              HasSubstr("baton_worker_crashes_total{cause=\"SIGKILL\"} 3"));
  EXPECT_EQ(Metric("baton_reloads_total"), 3);
  EXPECT_EQ(Status()["last_reload"]["outcome"], "ok");
  EXPECT_EQ(Status()["generation"], 4);
}

TEST_F(ServerAdminTest, TheAdminPortChangesNothing) {
  Start({"--workers=1"});
  for (const char* path : {"/reload", "/stop", "/scale?workers=2"}) {
    EXPECT_EQ(Code(path, "-X POST"), "404") << path;
  }
  EXPECT_EQ(Code("/status", "-X POST"), "405");
}

TEST_F(ServerAdminTest, AHelperThatDiesComesBackAndNobodyNotices) {
  Start({"--workers=1"});
  const json before = Status();
  TestClient client(server_->address());
  ASSERT_TRUE(client.ok());
  std::set<int> helpers;
  for (const pid_t child : server_->Workers()) {
    if (child != before["workers"][0]["pid"]) helpers.insert(child);
  }
  ASSERT_EQ(helpers.size(), 2u);
  for (const int helper : helpers) kill(helper, SIGKILL);
  for (int i = 0; i < 2; ++i) server_->WaitFor("helper_started");
  ASSERT_TRUE(client.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_THAT(client.Receive(12), HasSubstr("200"));
  EXPECT_EQ(Status()["workers"][0]["pid"], before["workers"][0]["pid"]);
  EXPECT_EQ(Batonctl("status").code, 0);
}

TEST_F(ServerAdminTest, NotReadyWhileTheServerIsAboutToStop) {
  Start({"--workers=1", "--drain_delay=20s"});
  server_->Signal(SIGTERM);
  server_->WaitFor("stop_started");
  EXPECT_EQ(Code("/readyz"), "503");
  EXPECT_EQ(Curl("/readyz").output, "the server is stopping\n");
  EXPECT_EQ(Code("/healthz"), "200");
  EXPECT_EQ(Status()["state"], "stopping");
  server_->Signal(SIGQUIT);
  EXPECT_EQ(server_->Wait().exit_code, 0);
}

TEST_F(ServerAdminTest, CommandsAnswerWithTheOutcome) {
  WriteFlags("--workers=2\n");
  Start({absl::StrCat("--flagfile=", file_)});
  struct stat mode;
  ASSERT_EQ(stat(control_.c_str(), &mode), 0);
  EXPECT_EQ(mode.st_mode & 0777, 0600u);

  json verdict = json::parse(Control("/reload").output);
  EXPECT_EQ(verdict["outcome"], "ok");
  EXPECT_EQ(verdict["generation"], 2);
  WriteFlags("--workers=two\n");
  verdict = json::parse(Control("/reload").output);
  EXPECT_EQ(verdict["outcome"], "rejected");
  EXPECT_THAT(verdict["reason"].get<std::string>(),
              HasSubstr("flags:1: --workers"));
  verdict = json::parse(Control("/scale?workers=3").output);
  EXPECT_EQ(verdict["outcome"], "ok");
  EXPECT_EQ(verdict["workers"], 3);
  EXPECT_EQ(Status()["wanted_workers"], 3);
  EXPECT_EQ(Status()["configured_workers"], 2);
  EXPECT_THAT(Control("/scale?workers=none").output,
              HasSubstr("must be a number"));
  EXPECT_EQ(Control("/status", "").code, 0);
  verdict = json::parse(Control("/stop").output);
  EXPECT_EQ(verdict["outcome"], "ok");
  EXPECT_EQ(server_->Wait().exit_code, 0);
  EXPECT_NE(access(control_.c_str(), F_OK), 0);
}

TEST_F(ServerAdminTest, TwoReloadsAtOnceAreOneAfterTheOther) {
  Start({"--workers=2"});
  const std::string both =
      absl::StrCat("for i in 1 2 3; do curl -s -X POST --unix-socket ",
                   control_, " http://localhost/reload & done; wait");
  int generations = 0;
  for (absl::string_view line :
       absl::StrSplit(Shell(both).output, '\n', absl::SkipEmpty())) {
    const json verdict = json::parse(line.begin(), line.end());
    EXPECT_EQ(verdict["outcome"], "ok");
    generations = std::max(generations, verdict["generation"].get<int>());
  }
  EXPECT_EQ(Status()["generation"], generations);
}

TEST_F(ServerAdminTest, Batonctl) {
  WriteFlags("--workers=2\n");
  Start({absl::StrCat("--flagfile=", file_)});
  Ran ran = Batonctl("status");
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, HasSubstr("running, generation 1, 2 of 2 workers"));
  EXPECT_TRUE(json::accept(Batonctl("--json status").output));
  ran = Batonctl("reload");
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_EQ(ran.output, "reloaded: generation 2, workers 2\n");
  WriteFlags("--nonsense\n");
  ran = Batonctl("reload");
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.output, HasSubstr("rejected: "));
  EXPECT_THAT(ran.output, HasSubstr("nonsense"));
  EXPECT_EQ(Batonctl("scale 1").output, "scaled: generation 2, workers 1\n");
  EXPECT_EQ(Batonctl("scale").code, 2);
  ran = Batonctl("scale 2000");
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.output, HasSubstr("from 1 to 1024"));
  EXPECT_EQ(Batonctl("dance").code, 2);
  EXPECT_EQ(Batonctl("stop").code, 0);
  EXPECT_EQ(server_->Wait().exit_code, 0);
  ran = Batonctl("status");
  EXPECT_EQ(ran.code, 3);
  EXPECT_THAT(ran.output, HasSubstr("no server at"));
}

TEST_F(ServerAdminTest, BatonctlRefusesInJsonTooWhoeverRefuses) {
  Start({"--workers=1"});
  const auto verdict = [this](absl::string_view command, int code) {
    // On stderr it is said for people.
    const Ran ran = Batonctl(absl::StrCat(command, " --json"), "2>/dev/null");
    EXPECT_EQ(ran.code, code) << command;
    const json said = json::parse(ran.output, nullptr, false);
    EXPECT_TRUE(said.is_object()) << ran.output;
    if (!said.is_object()) return std::string();
    EXPECT_NE(said.value("reason", ""), "") << ran.output;
    return said.value("outcome", "");
  };
  EXPECT_EQ(verdict("scale 2000", 1), "rejected");
  for (const char* bad : {"scale none", "scale", "", "dance", "reload now",
                          "--nonsense reload", "reload -x"}) {
    EXPECT_EQ(verdict(bad, 2), "not_asked") << bad;
  }
  server_->Signal(SIGTERM);
  EXPECT_EQ(server_->Wait().exit_code, 0);
  for (const char* command : {"status", "reload", "stop"}) {
    EXPECT_EQ(verdict(command, 3), "not_asked");
  }
}

TEST_F(ServerAdminTest, HealthChecksForImagesWithoutAShell) {
  WriteFlags("--workers=1\n");
  const std::string flagfile = absl::StrCat("--flagfile=", file_);
  Start({flagfile, "--drain_delay=20s"});
  const std::string admin = absl::StrCat("--admin=http://", admin_);
  EXPECT_EQ(RunServer({"--healthcheck", admin, flagfile}).exit_code, 0);
  EXPECT_EQ(RunServer({"--readycheck", admin}).exit_code, 0);
  // Without a port's number, by the control socket; and a file that a reload
  // would reject says nothing about the server that runs.
  WriteFlags(absl::StrCat("--nonsense\n--control=", control_, "\n"));
  EXPECT_EQ(RunServer({"--healthcheck", "--admin=http://127.0.0.1:0",
                       absl::StrCat("--control=", control_), flagfile})
                .exit_code,
            0);
  server_->Signal(SIGTERM);
  server_->WaitFor("stop_started");
  EXPECT_EQ(RunServer({"--readycheck", admin}).exit_code, 1);
  server_->Signal(SIGQUIT);
  server_->Wait();
  EXPECT_EQ(RunServer({"--healthcheck", admin}).exit_code, 1);
}

TEST_F(ServerAdminTest, SigtermToAHelperCostsItsClientsNothing) {
  Start({"--workers=1"});
  pid_t helper = 0;
  const json worker = Status()["workers"][0]["pid"];
  for (const pid_t child : server_->Workers()) {
    if (child != worker) helper = child;
  }
  kill(helper, SIGTERM);
  server_->WaitFor("helper_exited");
  EXPECT_EQ(Code("/readyz"), "200");
  EXPECT_EQ(Batonctl("status").code, 0);
}

TEST_F(ServerAdminTest, ARejectedAdminPortLeavesNoOtherListenerBehind) {
  WriteFlags("--listen=http://127.0.0.1:0\n--workers=1\n--admin=\n--control=");
  server_.emplace(std::vector<std::string>{absl::StrCat("--flagfile=", file_)},
                  std::vector<std::string>{kOwnAdmin}, kServer);
  server_->WaitReady();
  // Somebody else's, and one that is nobody's.
  ServerProcess other({"--listen=http://127.0.0.1:0,http://127.0.0.1:0"}, {},
                      kServer);
  other.WaitReady();
  const std::string taken = other.address(0).ToString();
  const Endpoint first = other.address(1);
  other.Signal(SIGQUIT);
  other.Wait();
  ServerProcess holder({absl::StrCat("--listen=http://", taken)}, {}, kServer);
  holder.WaitReady();
  WriteFlags(absl::StrCat("--listen=http://127.0.0.1:0,http://",
                          first.ToString(), "\n--workers=3\n--admin=http://",
                          taken, "\n--control="));
  server_->Signal(SIGHUP);
  const json finished = server_->WaitFor("reload_finished");
  EXPECT_EQ(finished["outcome"], "rejected");
  EXPECT_THAT(finished["reason"].get<std::string>(), HasSubstr(taken));
  EXPECT_EQ(TestClient(first).connect_errno(), ECONNREFUSED);
  Request();
}

TEST_F(ServerAdminTest, ATakenPortIsAnError) {
  Start({"--workers=1"});
  const Finished second = RunServer(
      {"--listen=echo://127.0.0.1:0", absl::StrCat("--admin=http://", admin_)});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr(admin_));
  const Finished third = RunServer(
      {"--listen=echo://127.0.0.1:0", absl::StrCat("--control=", control_)});
  EXPECT_EQ(third.exit_code, 1);
  EXPECT_THAT(third.err, HasSubstr(control_));
}

TEST_F(ServerAdminTest, AReloadMovesTheAdminPort) {
  const auto configure = [this](absl::string_view admin) {
    WriteFlags(absl::StrCat("--workers=1\n--control=", control_,
                            "\n--admin=", admin, "\n"));
  };
  const auto moved = [this] {
    admin_ = server_->WaitFor("helper_listening", [](const json& fields) {
      return fields["helper"] == "admin";
    })["address"];
  };
  configure("http://127.0.0.1:0");
  server_.emplace(std::vector<std::string>{"--listen=http://127.0.0.1:0",
                                           absl::StrCat("--flagfile=", file_)},
                  std::vector<std::string>{kOwnAdmin}, kServer);
  moved();
  server_->WaitReady();
  EXPECT_EQ(Code("/readyz"), "200");
  configure("http://127.0.0.1:0,http://[::1]:0");
  EXPECT_EQ(json::parse(Control("/reload").output)["outcome"], "ok");
  // The first URL kept its port; the other is new.
  EXPECT_EQ(Code("/readyz"), "200");
  configure("");
  EXPECT_EQ(json::parse(Control("/reload").output)["outcome"], "ok");
  EXPECT_THAT(Code("/readyz"), HasSubstr("000"));
  // One that can't be had is a reload that is not done.
  configure(absl::StrCat("http://", server_->address().ToString()));
  const json verdict = json::parse(Control("/reload").output);
  EXPECT_EQ(verdict["outcome"], "rejected");
}

}  // namespace
}  // namespace baton
