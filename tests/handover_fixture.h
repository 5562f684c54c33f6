#ifndef BATON_TESTS_HANDOVER_FIXTURE_H_
#define BATON_TESTS_HANDOVER_FIXTURE_H_

// What tests of the handover have in common: tests/login_server.cc, of which
// /status tells who has which connections, and clients that count what they
// lose.

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "nlohmann/json.hpp"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {

// Many that are connected and idle.
class IdleClients {
 public:
  // Each of them has been answered once.
  IdleClients(const Endpoint& server, int count);

  void ExpectAllEcho();
  // Those that do not echo any more; they are not asked again.
  int CountLost();
  // Ends all but the first so many.
  void Keep(size_t count) {
    while (clients_.size() > count) clients_.pop_back();
  }
  std::vector<TestClient>& all() { return clients_; }

 private:
  std::vector<TestClient> clients_;
};

// Many that never stop talking, each in a thread of its own, on the connection
// that it had at the beginning.
class Talkers {
 public:
  // Sends one request and receives all of its answer; false if it is not what
  // it should be. `number` is another one for each call.
  using Exchange = std::function<bool(TestClient&, int number)>;

  Talkers(const Endpoint& server, int clients, const Exchange& exchange = Echo);
  ~Talkers() { Stop(); }
  Talkers(const Talkers&) = delete;
  Talkers& operator=(const Talkers&) = delete;

  static bool Echo(TestClient& client, int number);
  // Over a connection that must not be closed.
  static bool Http(TestClient& client, int number);

  // Each has finished the exchange that it was in.
  void Stop();
  // Waits until so many more exchanges have been made by all together.
  void Await(int more) const;
  int broken() const { return broken_; }
  int exchanges() const { return exchanges_; }

 private:
  std::atomic<bool> done_{false};
  std::atomic<int> exchanges_{0}, broken_{0};
  std::vector<std::thread> threads_;
};

// A file that is not there until it is opened: what the slow service waits for.
class Gate {
 public:
  Gate();
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  void Open();
  // What a client of that service sends.
  std::string request() const { return path_ + "\n"; }

 private:
  const std::string path_;
};

class HandoverTest : public testing::Test {
 public:
  explicit HandoverTest(std::string binary = "tests/login_server");
  ~HandoverTest() override;

 protected:
  using Json = nlohmann::json;

  // With a flag file of these lines; `args` are on the command line.
  void Start(absl::string_view flags,
             const std::vector<std::string>& args = {});
  // The same, and does not wait until it serves.
  void Launch(absl::string_view flags, const std::vector<std::string>& args);
  void WriteFlags(absl::string_view flags);
  const std::string& flag_file() const { return file_; }
  ServerProcess& server() { return *server_; }

  // SIGHUP; returns the fields of reload_finished.
  Json Reload();
  // The same, of one that has to succeed.
  void MustReload() { EXPECT_EQ(Reload().value("outcome", ""), "ok"); }
  // By /status: the event may be one that a wait for another has skipped.
  void AwaitReloaded();
  // Of this worker.
  Json WaitForEventOf(pid_t worker, const std::string& event);

  Json Status();
  std::string Metrics() { return AskAdmin("/metrics"); }
  // Workers in this state.
  std::vector<Json> WorkersIn(const std::string& state);
  // The one that is ready in a slot; waits for it.
  pid_t WorkerOf(int slot);
  // A number of /status, of all workers that are ready, or of all.
  int64_t OfReady(const std::string& field);
  int64_t OfAll(const std::string& field);
  // Waits until the workers have read so many bytes in all.
  void AwaitBytesIn(int64_t bytes);

 private:
  std::string AskAdmin(const std::string& path);

  const std::string binary_;
  const std::string file_;
  Endpoint admin_;
  std::optional<ServerProcess> server_;
};

}  // namespace baton

#endif  // BATON_TESTS_HANDOVER_FIXTURE_H_
