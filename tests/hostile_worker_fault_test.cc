// The master trusts nothing that a worker can write.

#include <signal.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "nlohmann/json.hpp"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

// Has a worker do it; its answer, empty if it died of it.
std::string Ask(const ServerProcess& server, const char* order) {
  TestClient client(server.address());
  EXPECT_TRUE(client.ok());
  EXPECT_TRUE(client.Send(order));
  return client.ReceiveAll();
}

// All workers are there and each slot answers.
void ExpectServing(ServerProcess& server) {
  WaitUntil("two workers are there",
            [&] { return server.Workers().size() == 2; });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Ask(server, "?"), "?");
}

TEST(HostileWorkerFaultTest, RandomBytesInSharedMemoryHarmNobodyElse) {
  ServerProcess server({"--listen=scribble://127.0.0.1:0", "--workers=2"}, {},
                       "tests/hostile_server");
  server.WaitReady();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Ask(server, "m"), "1") << "it has a scoreboard and nothing else";
  }
  ExpectServing(server);
  // And those with a wrecked scoreboard can be replaced and stopped.
  server.Signal(SIGHUP);
  EXPECT_EQ(server.WaitFor("reload_finished").value("outcome", ""), "ok");
  ExpectServing(server);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
}

TEST(HostileWorkerFaultTest, WhatIsToldOfThemIsWellFormed) {
  ServerProcess server({"--listen=scribble://127.0.0.1:0", "--workers=2",
                        "--admin=http://127.0.0.1:0"},
                       {}, "tests/hostile_server");
  const auto admin =
      Endpoint::Parse(server.WaitFor("helper_listening").value("address", ""));
  ASSERT_TRUE(admin.ok()) << admin.status();
  server.WaitReady();
  const auto get = [&admin](absl::string_view path) {
    TestClient client(*admin);
    EXPECT_TRUE(client.Send(absl::StrCat("GET ", path, " HTTP/1.0\r\n\r\n")));
    const std::string response = client.ReceiveAll();
    const size_t end = response.find("\r\n\r\n");
    return end == std::string::npos ? "" : response.substr(end + 4);
  };
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Ask(server, "m"), "1");
    const auto status =
        nlohmann::json::parse(get("/status"), nullptr, /*exceptions=*/false);
    ASSERT_TRUE(status.is_object());
    EXPECT_EQ(status["workers"].size(), 2u);
    const std::string metrics = get("/metrics");
    int samples = 0;
    for (absl::string_view line :
         absl::StrSplit(metrics, '\n', absl::SkipEmpty())) {
      if (line[0] == '#') continue;
      double value = -1;
      EXPECT_TRUE(absl::SimpleAtod(line.substr(line.rfind(' ') + 1), &value) &&
                  std::isfinite(value))
          << line;
      ++samples;
    }
    EXPECT_GT(samples, 100);
  }
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
}

TEST(HostileWorkerFaultTest, RandomBytesInTheChannelEndThatWorkerAtMost) {
  ServerProcess server({"--listen=scribble://127.0.0.1:0", "--workers=2"}, {},
                       "tests/hostile_server");
  server.WaitReady();
  const std::vector<pid_t> before = server.Workers();
  EXPECT_EQ(Ask(server, "c"), "1") << "it has one channel";
  server.WaitFor("worker_killed");
  server.WaitFor("worker_serving");
  ExpectServing(server);
  std::vector<pid_t> stayed;
  for (pid_t worker : server.Workers()) {
    if (std::find(before.begin(), before.end(), worker) != before.end()) {
      stayed.push_back(worker);
    }
  }
  EXPECT_EQ(stayed.size(), 1u) << "the other one was left alone";
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait().exit_code, 0);
}

}  // namespace
}  // namespace baton
