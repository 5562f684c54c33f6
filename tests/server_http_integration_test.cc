// HTTP as clients meet it: curl, raw sockets, a stop in mid-request, clients
// that never finish.

#include <signal.h>
#include <stdio.h>

#include <list>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kServer[] = "tests/http_server";

std::string Curl(const std::string& arguments) {
  const std::string command = absl::StrCat(
      "curl --silent --show-error --max-time 20 ", arguments, " 2>&1");
  FILE* const curl = popen(command.c_str(), "r");
  std::string output;
  char bytes[4096];
  size_t size;
  while ((size = fread(bytes, 1, sizeof(bytes), curl)) > 0) {
    output.append(bytes, size);
  }
  EXPECT_EQ(pclose(curl), 0) << command << "\n" << output;
  return output;
}

class ServerHttpTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> args, absl::string_view options = "") {
    args.push_back(absl::StrCat("--listen=http://127.0.0.1:0", options));
    server_.emplace(args, std::vector<std::string>{}, kServer);
    server_->WaitReady();
  }
  std::string Url(absl::string_view path) {
    return absl::StrCat("http://", server_->address().ToString(), path);
  }
  std::string Ask(absl::string_view bytes) {
    TestClient client(server_->address());
    EXPECT_TRUE(client.Send(bytes));
    return client.ReceiveAll();
  }

  std::optional<ServerProcess> server_;
};

TEST_F(ServerHttpTest, Curl) {
  Start({"--workers=2"});
  EXPECT_EQ(Curl(Url("/")), "Hello, World!");
  EXPECT_EQ(Curl(absl::StrCat("--http1.0 ", Url("/"))), "Hello, World!");
  EXPECT_EQ(Curl(absl::StrCat("-d abc ", Url("/reverse"))), "cba");
  EXPECT_EQ(Curl(absl::StrCat("-d abc -H 'Transfer-Encoding: chunked' ",
                              Url("/reverse"))),
            "cba");
  // Of more than a kilobyte curl asks first (Expect: 100-continue).
  EXPECT_EQ(Curl(absl::StrCat("-d ", std::string(2000, 'x'), " ", Url("/"))),
            std::string(2000, 'x'));
  EXPECT_EQ(
      Curl(absl::StrCat("-o /dev/null -w '%{http_code} %{size_download}' ",
                        Url("/large"))),
      "200 1000000");
  EXPECT_EQ(
      Curl(absl::StrCat("-o /dev/null -w '%{http_code} %{size_download}' ",
                        Url("/stream"))),
      "200 1048576");
  EXPECT_THAT(Curl(absl::StrCat("-I ", Url("/large"))),
              HasSubstr("Content-Length: 1000000\r\n"));
  EXPECT_EQ(Curl(absl::StrCat("-o /dev/null -w '%{http_code}' ", Url("/x"))),
            "404");
  // One connection for all of them.
  EXPECT_EQ(Curl(absl::StrCat("-o /dev/null -o /dev/null -o /dev/null "
                              "-w '%{num_connects} ' ",
                              Url("/"), " ", Url("/stream"), " ", Url("/"))),
            "1 0 0 ");
}

TEST_F(ServerHttpTest, EventsComeAsTheyAreSent) {
  Start({"--workers=1"});
  TestClient client(server_->address());
  ASSERT_TRUE(client.Send("GET /ticks HTTP/1.1\r\nHost: h\r\n\r\n"));
  std::string bytes;
  while (!absl::StrContains(bytes, "data: 2\n\n")) {
    const std::string byte = client.Receive(1);
    ASSERT_NE(byte, "") << bytes;
    bytes += byte;
  }
  EXPECT_THAT(bytes, HasSubstr("Content-Type: text/event-stream\r\n"));
  // A stream that watches for it ends in good order.
  server_->Signal(SIGTERM);
  EXPECT_THAT(client.ReceiveAll(), EndsWith("0\r\n\r\n"));
  EXPECT_EQ(server_->Wait().exit_code, 0);
}

TEST_F(ServerHttpTest, AStopAnswersWhatHasBegun) {
  Start({"--workers=1"});
  TestClient half(server_->address()), idle(server_->address());
  ASSERT_TRUE(idle.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  ASSERT_THAT(idle.Receive(15), StartsWith("HTTP/1.1 200 OK"));
  ASSERT_TRUE(
      half.Send("POST /reverse HTTP/1.1\r\nHost: h\r\n"
                "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
  const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
  ASSERT_EQ(half.Receive(go_on.size()), go_on);
  server_->Signal(SIGTERM);
  EXPECT_THAT(idle.ReceiveAll(), EndsWith("Hello, World!"));
  ASSERT_TRUE(half.Send("abc"));
  const std::string answer = half.ReceiveAll();
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, EndsWith("cba"));
  EXPECT_EQ(server_->Wait().exit_code, 0);
}

TEST_F(ServerHttpTest, ClientsThatNeverFinishAreInNobodysWay) {
  Start({"--workers=1", "--max_connections=2000"}, "?header_timeout=1s");
  std::list<TestClient> slow, readers;
  for (int i = 0; i < 200; ++i) {
    slow.emplace_back(server_->address());
    ASSERT_TRUE(slow.back().Send("GET / HTTP/1.1\r\nX-Slow: "));
  }
  for (int i = 0; i < 50; ++i) {
    readers.emplace_back(server_->address());
    ASSERT_TRUE(readers.back().Send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n"));
  }
  EXPECT_EQ(Curl(Url("/")), "Hello, World!");
  for (TestClient& client : slow) {
    EXPECT_THAT(client.ReceiveAll(), StartsWith("HTTP/1.1 408 "));
  }
  for (TestClient& client : readers) {
    EXPECT_THAT(client.Receive(15), StartsWith("HTTP/1.1 200 OK"));
  }
}

TEST_F(ServerHttpTest, OnlyATrustedProxySaysWhereARequestComesFrom) {
  const std::string request =
      "GET /who HTTP/1.0\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8\r\n"
      "X-Request-Id: abc-1\r\n\r\n";
  Start({"--workers=1", "--forwarded_from=127.0.0.0/8,8.8.8.0/24"});
  EXPECT_THAT(Ask(request), EndsWith("\r\n\r\n9.9.9.9 abc-1\n"));
  Start({"--workers=1"});
  EXPECT_THAT(Ask(request), HasSubstr("\r\n\r\n127.0.0.1 "));
  EXPECT_THAT(Ask(request), testing::Not(HasSubstr("abc-1")));
}

TEST_F(ServerHttpTest, ABadOptionIsRefused) {
  const Finished finished =
      RunServer({"--listen=http://127.0.0.1:0?max_body=many"});
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.err, HasSubstr("max_body"));
}

}  // namespace
}  // namespace baton
