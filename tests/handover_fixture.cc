#include "tests/handover_fixture.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"

namespace baton {
namespace {

// Of this test, and of no other that runs at the same time.
std::string NewPath(absl::string_view kind) {
  static int number = 0;
  return absl::StrCat(testing::TempDir(), "/", getpid(), ".", ++number, ".",
                      kind);
}

}  // namespace

// --- clients

IdleClients::IdleClients(const Endpoint& server, int count) {
  for (int i = 0; i < count; ++i) {
    clients_.emplace_back(server);
    EXPECT_TRUE(clients_.back().Echoes("hello\n")) << i;
  }
}

void IdleClients::ExpectAllEcho() {
  const size_t before = clients_.size();
  EXPECT_EQ(CountLost(), 0) << "of " << before;
}

int IdleClients::CountLost() {
  // All at once: they reach whoever has them while he has the others, too.
  for (TestClient& client : clients_) (void)client.Send("still there?\n");
  const size_t before = clients_.size();
  std::erase_if(clients_, [](TestClient& client) {
    // One that nobody answers, nor ends, has failed the test; it was long
    // enough to wait for one.
    if (testing::Test::HasFailure()) return false;
    return client.Receive(13) != "still there?\n";
  });
  return static_cast<int>(before - clients_.size());
}

Talkers::Talkers(const Endpoint& server, int clients,
                 const Exchange& exchange) {
  for (int i = 0; i < clients; ++i) {
    threads_.emplace_back([this, server, exchange, i] {
      TestClient client(server);
      for (int number = i; !done_; number += 1000) {
        if (!exchange(client, number)) {
          ++broken_;
          return;
        }
        ++exchanges_;
      }
    });
  }
}

bool Talkers::Echo(TestClient& client, int number) {
  return client.Echoes(absl::StrCat("exchange ", number, "\n"));
}

bool Talkers::Http(TestClient& client, int /*number*/) {
  if (!client.Send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")) return false;
  std::string head;
  while (!absl::EndsWith(head, "\r\n\r\n")) {
    const std::string byte = client.Receive(1);
    if (byte.empty()) return false;
    head += byte;
  }
  return absl::StartsWith(head, "HTTP/1.1 200 ") &&
         !absl::StrContains(absl::AsciiStrToLower(head), "connection: close") &&
         client.Receive(5) == "Hello";
}

void Talkers::Stop() {
  done_ = true;
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Talkers::Await(int more) const {
  const int target = exchanges_ + more;
  WaitUntil("exchanges are made",
            [&] { return exchanges_ >= target || broken_ > 0; });
}

Gate::Gate() : path_(NewPath("gate")) {}
Gate::~Gate() { unlink(path_.c_str()); }
void Gate::Open() { std::ofstream file(path_); }

// --- the server

HandoverTest::HandoverTest(std::string binary)
    : binary_(std::move(binary)), file_(NewPath("flags")) {}

HandoverTest::~HandoverTest() {
  server_.reset();
  unlink(file_.c_str());
}

void HandoverTest::Start(absl::string_view flags,
                         const std::vector<std::string>& args) {
  Launch(flags, args);
  server_->WaitReady();
}

void HandoverTest::Launch(absl::string_view flags,
                          const std::vector<std::string>& args) {
  WriteFlags(flags);
  std::vector<std::string> all = {"--flagfile=" + file_,
                                  "--admin=http://127.0.0.1:0", "--control="};
  all.insert(all.end(), args.begin(), args.end());
  server_.emplace(all, std::vector<std::string>{kOwnAdmin}, binary_);
  const absl::StatusOr<Endpoint> admin = Endpoint::Parse(
      server_->WaitFor("helper_listening").value("address", ""));
  // A test has nothing to go on with.
  CHECK(admin.ok()) << admin.status() << "\n" << server_->log();
  admin_ = *admin;
}

void HandoverTest::WriteFlags(absl::string_view flags) {
  std::ofstream(file_) << flags << "\n";
}

nlohmann::json HandoverTest::Reload() {
  server_->Signal(SIGHUP);
  return server_->WaitFor("reload_finished");
}

void HandoverTest::AwaitReloaded() {
  Json status;
  WaitUntil("the reload is over", [&] {
    status = Status();
    return status["state"] == "running" && !status["last_reload"].is_null();
  });
  EXPECT_EQ(status["last_reload"]["outcome"], "ok");
}

nlohmann::json HandoverTest::WaitForEventOf(pid_t worker,
                                            const std::string& event) {
  return server_->WaitFor(event, [worker](const Json& fields) {
    return fields.value("worker_pid", 0) == worker;
  });
}

std::string HandoverTest::AskAdmin(const std::string& path) {
  TestClient client(admin_);
  EXPECT_TRUE(client.Send(absl::StrCat("GET ", path, " HTTP/1.0\r\n\r\n")));
  const std::string response = client.ReceiveAll();
  const size_t end = response.find("\r\n\r\n");
  return end == std::string::npos ? "" : response.substr(end + 4);
}

nlohmann::json HandoverTest::Status() {
  const std::string text = AskAdmin("/status");
  Json status = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  EXPECT_TRUE(status.is_object()) << text;
  return status;
}

std::vector<nlohmann::json> HandoverTest::WorkersIn(const std::string& state) {
  std::vector<Json> workers;
  const Json status = Status();
  for (const Json& worker : status["workers"]) {
    if (worker["state"] == state) workers.push_back(worker);
  }
  return workers;
}

pid_t HandoverTest::WorkerOf(int slot) {
  pid_t pid = 0;
  WaitUntil("the slot is served", [&] {
    for (const Json& worker : WorkersIn("ready")) {
      if (worker["slot"] == slot) pid = worker["pid"];
    }
    return pid != 0;
  });
  return pid;
}

int64_t HandoverTest::OfReady(const std::string& field) {
  int64_t sum = 0;
  for (const Json& worker : WorkersIn("ready"))
    sum += worker[field].get<int64_t>();
  return sum;
}

int64_t HandoverTest::OfAll(const std::string& field) {
  int64_t sum = 0;
  const Json status = Status();
  for (const Json& worker : status["workers"])
    sum += worker[field].get<int64_t>();
  return sum;
}

void HandoverTest::AwaitBytesIn(int64_t bytes) {
  WaitUntil("the workers have read it",
            [&] { return OfAll("bytes_in") >= bytes; });
}

}  // namespace baton
