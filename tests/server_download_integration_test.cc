// Downloads that take longer than the workers that send them: on one
// connection, through reloads, upgrades, and workers that go, to the last byte.
// No worker stays for the sake of one.

#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <list>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/endpoint.h"
#include "nlohmann/json.hpp"
#include "tests/binary_link.h"
#include "tests/files_fixture.h"
#include "tests/handover_fixture.h"
#include "tests/http_answer.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::HasSubstr;

constexpr char kFirst[] = "tests/reload_server";
constexpr char kSecond[] = "tests/reload_server_second";
constexpr char kGivesBack[] = "tests/reload_server_third";

// More than fits in all buffers on the way.
constexpr size_t kFileBytes = size_t{16} << 20;
// So much is taken between two events.
constexpr size_t kSome = size_t{256} << 10;

// A client that takes what it is told to, and no more.
class Download {
 public:
  Download(const Endpoint& server, absl::string_view request)
      : client_(server) {
    const int small = 64 << 10;
    EXPECT_EQ(
        setsockopt(client_.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)),
        0);
    EXPECT_TRUE(client_.Send(request));
    head_.head = ReceiveHead(client_);
    EXPECT_TRUE(absl::SimpleAtoi(head_.Field("Content-Length"), &size_))
        << head_.head;
  }

  void TakeSome() { body_ += client_.Receive(kSome); }
  void TakeRest() { body_ += client_.Receive(size_ - body_.size()); }

  const HttpAnswer& head() const { return head_; }
  const std::string& body() const { return body_; }
  size_t size() const { return size_; }
  TestClient& client() { return client_; }

 private:
  TestClient client_;
  HttpAnswer head_;
  size_t size_ = 0;
  std::string body_;
};

class ServerDownloadTest : public FilesFixture {
 protected:
  ServerDownloadTest() : FilesFixture(BinaryLink::Path()) {
    Write("file", all_);
    Write("small", "small");
  }

  std::string LogPath() const { return folder() + "/log"; }
  void StartServer(const std::string& listen,
                   const std::vector<std::string>& more = {}) {
    // A client may be slow.
    std::vector<std::string> args = {"--workers=2", "--write_timeout=1h"};
    args.insert(args.end(), more.begin(), more.end());
    Start(listen, args);
  }

  std::vector<pid_t> Pids() {
    std::vector<pid_t> pids;
    const Json status = Status();
    for (const Json& worker : status["workers"]) {
      if (worker["pid"] != 0) pids.push_back(worker["pid"]);
    }
    return pids;
  }
  // The downloads are held by others.
  void AwaitGone(const std::vector<pid_t>& old) {
    WaitUntil("the old workers are gone", [&] {
      const std::vector<pid_t> now = Pids();
      return std::none_of(old.begin(), old.end(), [&](pid_t pid) {
        return std::count(now.begin(), now.end(), pid) != 0;
      });
    });
  }

  void ReloadAll() {
    const std::vector<pid_t> old = Pids();
    MustReload();
    AwaitGone(old);
  }
  void UpgradeTo(const std::string& build, const std::string& outcome = "ok") {
    const std::vector<pid_t> old = Pids();
    link_.PointTo(build);
    server().Signal(SIGUSR2);
    const Json finished = server().WaitFor("upgrade_finished");
    EXPECT_EQ(finished.value("outcome", ""), outcome) << finished;
    if (outcome == "ok") AwaitGone(old);
  }
  // Whoever has connections is replaced.
  void RecycleHolders() {
    std::vector<pid_t> old;
    for (const Json& worker : WorkersIn("ready")) {
      if (worker["connections"] != 0) old.push_back(worker["pid"]);
    }
    EXPECT_FALSE(old.empty());
    for (const pid_t pid : old) EXPECT_EQ(kill(pid, SIGTERM), 0);
    AwaitGone(old);
  }

  const std::string all_ = BytesOfFile(kFileBytes);
  BinaryLink link_{kFirst};
};

// --- of each kind

struct Kind {
  std::string name;
  std::string fields = {};
  std::string version = "1.1";
  bool has_log = true;
  bool on_unix = false;
  // Of the file, in the order in which they are sent.
  std::vector<std::pair<size_t, size_t>> parts = {{0, kFileBytes}};

  bool closes() const { return version == "1.0" || !fields.empty(); }
  bool whole() const { return parts.front().second == kFileBytes; }

  friend void PrintTo(const Kind& kind, std::ostream* out) {
    *out << kind.name;
  }
};

class ServerDownloadKindTest : public ServerDownloadTest,
                               public testing::WithParamInterface<Kind> {
 protected:
  std::string ListenOf(const Kind& kind) const {
    return absl::StrCat(
        "--listen=",
        kind.on_unix ? "http+unix://" + socket_.get() : "http://127.0.0.1:0",
        "?root=", folder(), "/root",
        kind.has_log ? "&access_log=" + LogPath() : "");
  }
  static std::string RequestOf(const Kind& kind) {
    std::string request =
        absl::StrCat("GET /file HTTP/", kind.version, "\r\nHost: h\r\n");
    if (!kind.whole()) {
      std::vector<std::string> ranges;
      for (const auto& [begin, size] : kind.parts) {
        ranges.push_back(absl::StrCat(begin, "-", begin + size - 1));
      }
      absl::StrAppend(&request, "Range: bytes=", absl::StrJoin(ranges, ","),
                      "\r\n");
    }
    return absl::StrCat(request, kind.fields, "\r\n");
  }
  std::string ExpectedBody(const Kind& kind, const HttpAnswer& head) const {
    if (kind.parts.size() == 1) {
      return all_.substr(kind.parts[0].first, kind.parts[0].second);
    }
    const std::vector<std::string> type =
        absl::StrSplit(head.Field("Content-Type"), "boundary=");
    EXPECT_EQ(type.size(), 2u) << head.head;
    std::string body;
    for (const auto& [begin, size] : kind.parts) {
      absl::StrAppend(&body, body.empty() ? "" : "\r\n", "--", type.back(),
                      "\r\nContent-Type: application/octet-stream\r\n"
                      "Content-Range: bytes ",
                      begin, "-", begin + size - 1, "/", kFileBytes, "\r\n\r\n",
                      absl::string_view(all_).substr(begin, size));
    }
    return absl::StrCat(body, "\r\n--", type.back(), "--\r\n");
  }

 private:
  const SocketPath socket_;
};

TEST_P(ServerDownloadKindTest, OutlivesWhoeverSendsIt) {
  const Kind& kind = GetParam();
  StartServer(ListenOf(kind));
  Download download(server().address(), RequestOf(kind));
  download.TakeSome();
  ReloadAll();
  download.TakeSome();
  UpgradeTo(kSecond);
  download.TakeSome();
  RecycleHolders();
  EXPECT_EQ(OfAll("connections"), 1);
  UpgradeTo(kFirst);
  download.TakeRest();
  EXPECT_TRUE(download.body() == ExpectedBody(kind, download.head()));
  if (kind.closes()) {
    EXPECT_EQ(download.client().ReceiveAll(), "");
  } else {
    EXPECT_TRUE(download.client().Send(HttpRequestTo("/small")));
    EXPECT_EQ(ReceiveAnswer(download.client()).body, "small");
  }
  if (!kind.has_log) return;
  const std::string line =
      absl::StrCat("\"GET /file HTTP/", kind.version, "\" ",
                   kind.whole() ? 200 : 206, " ", download.size(), " ");
  server().Signal(SIGTERM);
  EXPECT_EQ(server().Wait().exit_code, 0);
  const std::vector<std::string> lines =
      absl::StrSplit(ReadFile(LogPath()), '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), kind.closes() ? 1u : 2u) << ReadFile(LogPath());
  EXPECT_THAT(lines[0], HasSubstr(line));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, ServerDownloadKindTest,
    testing::Values(Kind{.name = "Whole"},
                    Kind{.name = "WithoutALog", .has_log = false},
                    Kind{.name = "ThenClose",
                         .fields = "Connection: close\r\n"},
                    Kind{.name = "Http10", .version = "1.0"},
                    Kind{.name = "OnAUnixSocket", .on_unix = true},
                    Kind{.name = "OneRange", .parts = {{1, kFileBytes - 1}}},
                    // The first one ends before the first event, the last one
                    // begins behind the last.
                    Kind{.name = "SeveralRanges",
                         .parts = {{kFileBytes - 1000, 1000},
                                   {0, kFileBytes / 2},
                                   {kFileBytes / 2 + 1, kFileBytes / 2 - 2000},
                                   {kFileBytes - 1500, 10}}}),
    [](const auto& info) { return info.param.name; });

// --- whatever else happens

TEST_F(ServerDownloadTest, WhatIsAskedBehindItIsAnsweredByWhoeverHasItThen) {
  StartServer(Listen());
  // One comes with it, one when another worker has it.
  Download download(
      server().address(),
      absl::StrCat(HttpRequestTo("/file"), HttpRequestTo("/small"),
                   HttpRequestTo("/file", "Range: bytes=5-9\r\n")));
  download.TakeSome();
  ReloadAll();
  EXPECT_TRUE(download.client().Send(HttpRequestTo("/none")));
  download.TakeSome();
  UpgradeTo(kSecond);
  EXPECT_TRUE(download.client().Send(HttpRequestTo("/file")));
  download.TakeRest();
  EXPECT_TRUE(download.body() == all_);
  EXPECT_EQ(ReceiveAnswer(download.client()).body, "small");
  EXPECT_EQ(ReceiveAnswer(download.client()).body, all_.substr(5, 5));
  EXPECT_EQ(ReceiveAnswer(download.client()).status, 404);
  EXPECT_TRUE(ReceiveAnswer(download.client()).body == all_);
}

TEST_F(ServerDownloadTest, WhatItsRequestBringsAlongNeverBecomesARequest) {
  StartServer(Listen());
  const std::string body = HttpRequestTo("/small");
  Download download(
      server().address(),
      absl::StrCat(HttpRequestTo("/file", absl::StrCat("Content-Length: ",
                                                       body.size(), "\r\n")),
                   body));
  download.TakeSome();
  MustReload();
  download.TakeRest();
  EXPECT_TRUE(download.body() == all_);
  EXPECT_TRUE(download.client().Send(HttpRequestTo("/none")));
  EXPECT_EQ(ReceiveAnswer(download.client()).status, 404);
}

TEST_F(ServerDownloadTest,
       WhatIsSentBehindALastRequestCostsNothingOfItsAnswer) {
  StartServer(Listen());
  std::string requests = HttpRequestTo("/file", "Connection: close\r\n");
  for (int i = 0; i < 1000; ++i) requests += HttpRequestTo("/small");
  Download download(server().address(), requests);
  download.TakeSome();
  ReloadAll();
  EXPECT_TRUE(download.client().Send(HttpRequestTo("/small")));
  download.TakeRest();
  EXPECT_TRUE(download.body() == all_);
  EXPECT_EQ(download.client().ReceiveAll(), "");
}

TEST_F(ServerDownloadTest, ManyAreLeftToOneWorkerInTheEnd) {
  StartServer(Listen(), {"--workers=4"});
  std::list<Download> downloads;
  for (int i = 0; i < 8; ++i) {
    downloads.emplace_back(server().address(), HttpRequestTo("/file"))
        .TakeSome();
  }
  for (int i = 0; i < 3; ++i) {
    server().Signal(SIGTTOU);
    server().WaitFor("scale_finished");
  }
  WaitUntil("one worker is left", [&] { return Pids().size() == 1; });
  EXPECT_EQ(OfReady("connections"), 8);
  for (Download& download : downloads) {
    download.TakeRest();
    EXPECT_TRUE(download.body() == all_);
  }
}

TEST_F(ServerDownloadTest, ABinaryThatGivesBackIsNoticedByNobody) {
  StartServer(Listen());
  Download download(server().address(), HttpRequestTo("/file"));
  download.TakeSome();
  UpgradeTo(kGivesBack, "rolled_back");
  download.TakeSome();
  UpgradeTo(kSecond);
  download.TakeRest();
  EXPECT_TRUE(download.body() == all_);
}

TEST_F(ServerDownloadTest, ThoseWhoTakeAllTheyCanGetLoseNothing) {
  const std::string body = all_.substr(0, 1 << 20);
  Write("some", body);
  StartServer(Listen("access_log=" + LogPath()));
  Talkers talkers(server().address(), 3, [&body](TestClient& client, int) {
    return client.Send(HttpRequestTo("/some")) &&
           ReceiveAnswer(client).body == body;
  });
  for (int i = 0; i < 4; ++i) {
    talkers.Await(5);
    ReloadAll();
  }
  talkers.Await(5);
  UpgradeTo(kSecond);
  talkers.Await(5);
  talkers.Stop();
  EXPECT_EQ(talkers.broken(), 0);
  server().Signal(SIGTERM);
  EXPECT_EQ(server().Wait().exit_code, 0);
  const std::vector<std::string> lines =
      absl::StrSplit(ReadFile(LogPath()), '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), static_cast<size_t>(talkers.exchanges()));
  for (const std::string& line : lines) {
    ASSERT_THAT(line, HasSubstr(absl::StrCat("\" 200 ", body.size(), " ")));
  }
}

// What is being sent is the file that was asked for, whatever has its name.
TEST_F(ServerDownloadTest, AFileThatIsReplacedOrRemovedComesToItsEnd) {
  StartServer(Listen());
  Download download(server().address(), HttpRequestTo("/file"));
  download.TakeSome();
  ReplaceFile(At("file"), "another");
  ReloadAll();
  EXPECT_EQ(Get("/file").body, "another");
  EXPECT_EQ(remove(At("file").c_str()), 0);
  UpgradeTo(kSecond);
  EXPECT_EQ(Get("/file").status, 404);
  download.TakeRest();
  EXPECT_TRUE(download.body() == all_);
}

// --- a stop

TEST_F(ServerDownloadTest, AStopWaitsForIt) {
  StartServer(Listen(), {"--stop_timeout=1h"});
  Download download(server().address(), HttpRequestTo("/file"));
  download.TakeSome();
  server().Signal(SIGTERM);
  server().WaitFor("stop_started");
  download.TakeRest();
  EXPECT_TRUE(download.body() == all_);
  EXPECT_EQ(server().Wait().exit_code, 0);
}

TEST_F(ServerDownloadTest, AStopThatCutsItSaysSo) {
  StartServer(Listen("access_log=" + LogPath()), {"--stop_timeout=200ms"});
  Download download(server().address(), HttpRequestTo("/file"));
  download.TakeSome();
  ReloadAll();
  server().Signal(SIGTERM);
  EXPECT_EQ(server().Wait().exit_code, 3);
  const std::string rest = download.client().ReceiveAll();
  EXPECT_LT(download.body().size() + rest.size(), kFileBytes);
  EXPECT_TRUE(all_.substr(kSome, rest.size()) == rest);
}

}  // namespace
}  // namespace baton
