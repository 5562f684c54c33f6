// A real server under random operations and faults, and clients that check each
// byte. Whatever a client loses must have been held by a worker that the test
// has killed (chaos_ledger.h).
//
//     bazel test //tests:chaos --test_env=BATON_CHAOS_SECONDS=600
//     bazel test //tests:chaos --test_env=BATON_CHAOS_SEED=7 --test_output=all
//
// The same seed gives the same sequence of operations; what they meet differs a
// little each time.

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "master/local_http.h"
#include "nlohmann/json.hpp"
#include "tests/chaos_clients.h"
#include "tests/chaos_connection.h"
#include "tests/chaos_ledger.h"
#include "tests/chaos_log.h"
#include "tests/chaos_operations.h"
#include "tests/chaos_script.h"
#include "tests/chaos_sockets.h"
#include "tests/server_process.h"

namespace baton {
namespace {

using Json = nlohmann::json;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

std::string MakeFolder() {
  std::string folder = "/tmp/baton.XXXXXX";  // short: a unix socket is in it
  PCHECK(mkdtemp(folder.data()) != nullptr);
  return folder;
}

// What they are, a line each.
std::string DescriptorsOf(pid_t pid) {
  std::string text;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(
           absl::StrCat("/proc/", pid, "/fd"), ignored)) {
    absl::StrAppend(&text, "  ", entry.path().filename().string(), ": ",
                    std::filesystem::read_symlink(entry, ignored).string(),
                    "\n");
  }
  return text;
}

class ChaosTest : public testing::Test {
 protected:
  ChaosTest()
      : folder_(MakeFolder()),
        ledger_(folder_),
        log_(
            folder_ + "/log",
            [this](const std::string& what) { ledger_.Fail(what); },
            [this](pid_t pid) { return ledger_.Killed(pid); }),
        operations_(folder_, &ledger_, &log_) {}
  ~ChaosTest() override {
    server_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void StartServer();
  ChaosAddresses Addresses() const;
  void Act(uint64_t seed, absl::Duration length, ChaosAddresses& addresses);
  // Ticks until it holds; a failure if it does not.
  void Await(const std::string& what, const std::function<bool()>& condition);
  absl::StatusOr<LocalHttpResponse> Ask(const std::string& method,
                                        const std::string& target);
  void AskUntilDone(const std::string& target);
  void AwaitStatus(const std::string& what,
                   const std::function<bool(const Json& status)>& condition);
  void Settle();
  void Stop();
  std::string Witness(const ConnectionKey& key) const;
  void Report();
  int64_t HandedOver();

  const std::string folder_;
  ChaosLedger ledger_;
  ChaosLog log_;
  ChaosOperations operations_;
  std::optional<ServerProcess> server_;
  DescriptorCount at_the_beginning_;
  int64_t handed_over_ = 0;
};

void ChaosTest::StartServer() {
  operations_.WriteFirstFlags();
  EXPECT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  server_.emplace(
      std::vector<std::string>{
          "--flagfile=" + operations_.flag_file(), "--admin=http://127.0.0.1:0",
          "--control=" + operations_.control(), "--chaos_folder=" + folder_,
          "--log_format=json", "--log_file=" + folder_ + "/log"},
      std::vector<std::string>{kOwnAdmin, kOwnFlags}, operations_.binary());
  Await("it serves", [this] { return log_.Count("ready") == 1; });
  operations_.SetMaster(server_->pid());
  ledger_.SetWitness([this](const ConnectionKey& key) { return Witness(key); });
  at_the_beginning_ = CountDescriptors(server_->pid());
}

ChaosAddresses ChaosTest::Addresses() const {
  const auto echo = log_.AddressOf("echo://"),
             tell = log_.AddressOf("tell://127.0.0.1"),
             http = log_.AddressOf("chaos://");
  CHECK(echo.has_value() && tell.has_value() && http.has_value())
      << log_.Tail();
  return ChaosAddresses(*echo, *tell, *http);
}

// Who has it now.
std::string ChaosTest::Witness(const ConnectionKey& key) const {
  std::string text;
  for (const pid_t pid : server_->Workers()) {
    for (const ConnectionKey& held : ConnectionsOf(pid)) {
      if (held == key) absl::StrAppend(&text, "  held by ", pid, "\n");
    }
  }
  return text;
}

void ChaosTest::Act(uint64_t seed, absl::Duration length,
                    ChaosAddresses& addresses) {
  ChaosScript script(seed);
  const absl::Duration end = ledger_.now() + length;
  while (ledger_.now() < end && !ledger_.failed()) {
    const ChaosStep step = script.Next();
    operations_.Run(step);
    const absl::Duration next = ledger_.now() + step.pause;
    while (ledger_.now() < next && !ledger_.failed()) {
      operations_.Tick();
      addresses.SetExtra(log_.AddressOf("tell://127.0.0.2"));
      poll(nullptr, 0, 5);
    }
  }
}

void ChaosTest::Await(const std::string& what,
                      const std::function<bool()>& condition) {
  const absl::Duration deadline = ledger_.now() + 3 * kChaosPatience;
  while (!ledger_.failed() && !condition()) {
    if (ledger_.now() > deadline) {
      return ledger_.Fail("waited in vain until " + what);
    }
    operations_.Tick();
    poll(nullptr, 0, 5);
  }
}

void ChaosTest::AskUntilDone(const std::string& target) {
  Await(target + " is done", [&] {
    const auto answer = Ask("POST", target);
    return answer.ok() && answer->status == 200;
  });
}

absl::StatusOr<LocalHttpResponse> ChaosTest::Ask(const std::string& method,
                                                 const std::string& target) {
  return AskLocally(*Endpoint::Parse(operations_.control()), method, target,
                    3 * kChaosPatience);
}

void ChaosTest::AwaitStatus(
    const std::string& what,
    const std::function<bool(const Json& status)>& condition) {
  std::string last;
  Await(what, [&] {
    const auto answer = Ask("GET", "/status");
    if (!answer.ok() || answer->status != 200) return false;
    last = answer->body;
    const Json status = Json::parse(last, nullptr, /*allow_exceptions=*/false);
    return status.is_object() && condition(status);
  });
  if (ledger_.failed()) std::cerr << last << "\n";
}

// When nobody does anything to it any more, everything is soon as it was.
void ChaosTest::Settle() {
  AskUntilDone("/reload");
  AskUntilDone(absl::StrCat("/scale?workers=", ChaosOperations::kWorkers));
  AwaitStatus("as many workers serve as should, and no others live",
              [](const Json& status) {
                const Json& workers = status["workers"];
                return status["state"] == "running" && status["ready"] &&
                       workers.size() == ChaosOperations::kWorkers &&
                       std::all_of(workers.begin(), workers.end(),
                                   [](const Json& worker) {
                                     return worker["state"] == "ready";
                                   });
              });
  if (ledger_.failed()) return;
  DescriptorCount now;
  Await("the master has as many descriptors as at the beginning", [&] {
    now = CountDescriptors(server_->pid());
    return now.others == at_the_beginning_.others;
  });
  if (ledger_.failed()) std::cerr << DescriptorsOf(server_->pid());
  std::cerr << "descriptors of the master: " << now.others << " and "
            << now.listening << " that listen; at the beginning "
            << at_the_beginning_.others << " and "
            << at_the_beginning_.listening << "\n";
  handed_over_ = HandedOver();
}

int64_t ChaosTest::HandedOver() {
  const auto answer = Ask("GET", "/metrics");
  int64_t sum = 0;
  if (!answer.ok()) return sum;
  for (const absl::string_view line : absl::StrSplit(answer->body, '\n')) {
    if (!absl::StartsWith(line, "baton_connections_handed_over_total"))
      continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    int64_t value = 0;
    if (absl::SimpleAtoi(words.back(), &value)) sum += value;
  }
  return sum;
}

void ChaosTest::Stop() {
  server_->Signal(SIGTERM);
  const Finished finished = server_->Wait();
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_EQ(finished.signal, 0);
  EXPECT_EQ(finished.err, "");
  log_.Poll();
  // Whoever the server leaves behind is ours; by their PIDs they could not be
  // told from others: it has had thousands.
  WaitUntil("nobody is left", [] {
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
    return errno == ECHILD;
  });
  for (const pid_t pid : ledger_.answered_by()) {
    EXPECT_EQ(log_.all_workers().count(pid), 1) << pid << " is no worker";
  }
}

void ChaosTest::Report() {
  const int faults = operations_.Count(ChaosOperation::kKillWorker) +
                     operations_.Count(ChaosOperation::kKillInHandover) +
                     operations_.Count(ChaosOperation::kKillHelper) +
                     operations_.Count(ChaosOperation::kStopWorker) +
                     operations_.Count(ChaosOperation::kStopMaster) +
                     operations_.Count(ChaosOperation::kCrashOnProbation) +
                     operations_.Count(ChaosOperation::kCrashLater) +
                     operations_.Count(ChaosOperation::kWorkerDescriptors) +
                     operations_.Count(ChaosOperation::kMasterDescriptors);
  std::cerr << log_.Reasons() << "operations: " << operations_.Counts()
            << "; faults: " << faults
            << "; reloads: " << log_.Count("reload_finished", "ok") << " ok, "
            << log_.Count("reload_finished", "rejected") << " rejected, "
            << log_.Count("reload_finished", "rolled_back")
            << " rolled back; upgrades: "
            << log_.Count("upgrade_finished", "ok") << " ok, "
            << log_.Count("upgrade_finished", "rejected") << " rejected, "
            << log_.Count("upgrade_finished", "rolled_back")
            << " rolled back; forks failed: " << log_.Count("fork_failed")
            << "; killed by the master: " << log_.Count("worker_killed")
            << "; workers: " << log_.all_workers().size()
            << "; requests: " << ledger_.requests
            << "; connections: " << ledger_.connections
            << "; losses explained: " << ledger_.explained()
            << "; losses unexplained: " << ledger_.unexplained()
            << "; handed over: " << handed_over_ << " (" << ledger_.moves
            << " seen by clients)\n";
  for (const std::string& failure : ledger_.failures())
    ADD_FAILURE() << failure;
  if (!ledger_.failed()) return;
  std::cerr << "the end of the log:\n" << log_.Tail() << "\n";
  if (const char* kept = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR")) {
    std::error_code ignored;  // of sockets, for instance
    for (const auto& entry :
         std::filesystem::directory_iterator(folder_, ignored)) {
      std::filesystem::copy(entry.path(), kept,
                            std::filesystem::copy_options::skip_symlinks,
                            ignored);
    }
  }
}

TEST_F(ChaosTest, OnlyWhatAKilledWorkerHeldIsLost) {
  const uint64_t seed =
      FromEnvironment("BATON_CHAOS_SEED", std::random_device()());
  const auto length = absl::Seconds(FromEnvironment("BATON_CHAOS_SECONDS", 60));
  std::cerr << "BATON_CHAOS_SEED=" << seed << "\n";
  StartServer();
  if (!ledger_.failed()) {
    ChaosAddresses addresses = Addresses();
    ChaosClients clients(seed, &ledger_, &addresses);
    Act(seed, length, addresses);
    operations_.HealAll();
    clients.Rest();
    Settle();
    clients.Leave();
    AwaitStatus("nobody is connected any more", [](const Json& status) {
      const Json& workers = status["workers"];
      return std::all_of(
          workers.begin(), workers.end(),
          [](const Json& worker) { return worker["connections"] == 0; });
    });
  }
  if (!ledger_.failed()) Stop();
  Report();
}

}  // namespace
}  // namespace baton
