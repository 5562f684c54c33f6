// A folder that is full of traps, files that shrink while they are sent, no
// descriptors left, readers that do not read, and options that are wrong.

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/process.h"
#include "nlohmann/json.hpp"
#include "tests/chaos_sockets.h"
#include "tests/files_fixture.h"
#include "tests/http_answer.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

using testing::AnyOf;
using testing::Eq;
using testing::HasSubstr;
using testing::Not;

// More than fits in all buffers on the way.
constexpr size_t kFileBytes = size_t{16} << 20;
// More than a worker keeps in memory.
constexpr size_t kLarge = 100'000;
constexpr char kSecret[] = "what nobody may see";

class ServerFilesFaultTest : public FilesFixture {
 protected:
  void Link(absl::string_view target, absl::string_view name) const {
    std::filesystem::create_symlink(std::string(target), At(name));
  }
  pid_t TheWorker() { return WorkerOf(0); }
  void LimitDescriptors(pid_t worker, rlim_t count) {
    rlimit limit = {};
    ASSERT_EQ(prlimit(worker, RLIMIT_NOFILE, nullptr, &limit), 0);
    limit.rlim_cur = count;
    ASSERT_EQ(prlimit(worker, RLIMIT_NOFILE, &limit, nullptr), 0);
  }
};

// --- what is outside, and what is no file

TEST_F(ServerFilesFaultTest, NothingOutsideIsServed) {
  WriteInPlace(folder() + "/secret", kSecret);
  WriteInPlace(folder() + "/outside/secret", kSecret);
  WriteInPlace(folder() + "/root2/secret", kSecret);
  Write("inside/file", "text");
  Write("index/x", "");
  Link(folder() + "/secret", "absolute");
  Link("../secret", "relative");
  Link("inside/../../secret", "winding");
  Link("relative", "chained");
  Link("../outside", "folder");
  Link("folder/secret", "through");
  Link("../root2/secret", "neighbour");
  Link(At("inside/file"), "absolute_inside");
  Link("/proc/self/root" + folder() + "/secret", "magic");
  Link("loop", "loop");
  Link("../../secret", "index/index.html");
  Link("../secret", "inside/file.gz");
  Link("inside/file", "good");
  Serve("autoindex=1");
  for (const char* path :
       {"/absolute", "/relative", "/winding", "/chained", "/folder", "/folder/",
        "/folder/secret", "/through", "/neighbour", "/absolute_inside",
        "/magic", "/loop", "/secret", "/../secret", "/%2e%2e/secret",
        "/inside/../../secret", "/inside/..%2f..%2fsecret"}) {
    const HttpAnswer answer = Get(path);
    // Some are no requests at all.
    EXPECT_THAT(answer.status, AnyOf(Eq(404), Eq(400))) << path;
    EXPECT_THAT(answer.body, Not(HasSubstr(kSecret))) << path;
  }
  const HttpAnswer zipped = Get("/inside/file", "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(zipped.body, "text");
  EXPECT_FALSE(zipped.HasField("Content-Encoding"));
  EXPECT_EQ(Get("/good").body, "text");
  // An index that leads out is none.
  EXPECT_THAT(Get("/index/").body, HasSubstr("Index of"));
  const std::string listing = Get("/").body;
  EXPECT_THAT(listing, HasSubstr("./good\""));
  for (const char* name : {"absolute", "relative", "winding", "chained",
                           "folder", "through", "neighbour", "magic", "loop"}) {
    EXPECT_THAT(listing, Not(HasSubstr(absl::StrCat("./", name)))) << name;
  }
}

TEST_F(ServerFilesFaultTest, DotFilesAreNotThere) {
  Write(".env", kSecret);
  Write(".git/config", kSecret);
  Write("a/.htaccess", kSecret);
  Write("a/.well-known/b", kSecret);
  Write(".well-known/acme", "token");
  Link(".env", "link");
  Serve("autoindex=1");
  for (const char* path : {"/.env", "/.git/config", "/.git/", "/.git",
                           "/a/.htaccess", "/%2eenv", "/a/.well-known/b"}) {
    EXPECT_EQ(Get(path).status, 404) << path;
  }
  EXPECT_EQ(Get("/.well-known/acme").body, "token");
  // Who links to one means it.
  EXPECT_EQ(Get("/link").body, kSecret);
  EXPECT_THAT(Get("/").body, Not(HasSubstr(".env")));
}

TEST_F(ServerFilesFaultTest, OnlyRegularFilesAreOpened) {
  ASSERT_EQ(mkfifo(At("fifo").c_str(), 0644), 0);
  ASSERT_EQ(mkfifo(At("a.css.gz").c_str(), 0644), 0);
  Write("a.css", "plain");
  // Where root may; elsewhere there is nothing.
  (void)mknod(At("device").c_str(), S_IFCHR | 0644, makedev(1, 5));
  Link("/dev/zero", "zero");
  Serve("autoindex=1");
  for (const char* path : {"/fifo", "/fifo/", "/device", "/zero"}) {
    EXPECT_EQ(Get(path).status, 404) << path;
  }
  EXPECT_EQ(Get("/a.css", "Accept-Encoding: gzip\r\n").body, "plain");
  const std::string listing = Get("/").body;
  EXPECT_THAT(listing, Not(HasSubstr("./fifo")));
  EXPECT_THAT(listing, Not(HasSubstr("./device")));
}

TEST_F(ServerFilesFaultTest, ALinkThatIsSwappedAllTheTimeNeverLeadsOut) {
  // Each is asked for once, so that each has to be looked up.
  constexpr int kFiles = 200;
  for (int i = 0; i < kFiles; ++i) {
    WriteInPlace(absl::StrCat(folder(), "/outside/", i), kSecret);
    Write(absl::StrCat("inside/", i), "text");
  }
  Link("inside", "in");
  Link("../outside", "out");
  Link("inside", "swapped");
  Serve();
  std::atomic<bool> done = false;
  std::thread swapper([&] {
    for (int i = 0; !done; ++i) {
      std::filesystem::copy_symlink(At(i % 2 == 0 ? "out" : "in"), At("next"));
      std::filesystem::rename(At("next"), At("swapped"));
    }
  });
  TestClient client(server().address());
  int served = 0;
  for (int i = 0; i < kFiles; ++i) {
    EXPECT_TRUE(client.Send(HttpRequestTo(absl::StrCat("/swapped/", i))));
    const HttpAnswer answer = ReceiveAnswer(client);
    if (answer.status == 200) {
      EXPECT_EQ(answer.body, "text");
      ++served;
    } else {
      EXPECT_EQ(answer.status, 404);
    }
  }
  done = true;
  swapper.join();
  std::printf("%d of %d led to a file\n", served, kFiles);
}

// --- what happens while a file is sent

TEST_F(ServerFilesFaultTest, AFileThatShrinksEndsTheConnection) {
  Write("file", BytesOfFile(kFileBytes));
  Serve("access_log=" + folder() + "/log");
  for (const bool moved : {false, true}) {
    Write("file", BytesOfFile(kFileBytes));
    TestClient client(server().address());
    ASSERT_TRUE(client.Send(HttpRequestTo("/file") + HttpRequestTo("/file")));
    const HttpAnswer head = {.head = ReceiveHead(client), .body = ""};
    EXPECT_EQ(head.Field("Content-Length"), absl::StrCat(kFileBytes));
    // Another worker goes on with it.
    if (moved) MustReload();
    ASSERT_EQ(truncate(At("file").c_str(), 1 << 10), 0);
    const std::string body = client.ReceiveAll();
    // What was under way was the file's own pages: not even they are as they
    // were.
    EXPECT_LT(body.size(), kFileBytes);
    EXPECT_EQ(Get("/file").body.size(), size_t{1} << 10);
  }
  // And one that grows is sent as long as it was said to be.
  Write("file", BytesOfFile(kFileBytes));
  TestClient client(server().address());
  ASSERT_TRUE(client.Send(HttpRequestTo("/file") + HttpRequestTo("/none")));
  const std::string head = ReceiveHead(client);
  Write("file", BytesOfFile(kFileBytes) + "more");
  EXPECT_TRUE(client.Receive(kFileBytes) == BytesOfFile(kFileBytes));
  EXPECT_EQ(ReceiveAnswer(client).status, 404);
}

TEST_F(ServerFilesFaultTest, AReaderThatTakesNothingIsGivenUp) {
  Write("file", BytesOfFile(kFileBytes));
  Write("small", "small");
  Serve("", "--write_timeout=300ms");
  std::vector<TestClient> readers;
  for (int i = 0; i < 20; ++i) {
    readers.emplace_back(server().address());
    ASSERT_TRUE(readers.back().Send(HttpRequestTo("/file")));
  }
  TestClient other(server().address());
  WaitUntil("they are given up", [&] {
    EXPECT_TRUE(other.Send(HttpRequestTo("/small")));
    EXPECT_EQ(ReceiveAnswer(other).body, "small");
    return OfReady("connections") == 1;
  });
  for (TestClient& reader : readers) {
    EXPECT_LT(reader.ReceiveAll().size(), kFileBytes);
  }
}

// --- no descriptors left

TEST_F(ServerFilesFaultTest, WithoutDescriptorsItIsBusyAndRecovers) {
  for (int i = 0; i < 30; ++i) {
    Write(absl::StrCat("large", i), BytesOfFile(kLarge + i));
  }
  Write("small", "small");
  Write("other", "other");
  Serve("autoindex=1&error_page=503:/other");
  TestClient client(server().address());
  const auto get = [&](absl::string_view path) {
    EXPECT_TRUE(client.Send(HttpRequestTo(path)));
    return ReceiveAnswer(client);
  };
  EXPECT_EQ(get("/small").body, "small");
  EXPECT_EQ(get("/large0").status, 200);
  const pid_t worker = TheWorker();
  const int before = CountDescriptors(worker).all();
  LimitDescriptors(worker, 3);
  for (int i = 0; i < 50; ++i) {
    for (const char* path : {"/large1", "/other", "/"}) {
      const HttpAnswer busy = get(path);
      ASSERT_EQ(busy.status, 503) << path;
      EXPECT_EQ(busy.Field("Retry-After"), "1");
    }
  }
  EXPECT_LE(CountDescriptors(worker).all(), before);
  // So many that what is open only to be remembered has to make room.
  LimitDescriptors(worker, static_cast<rlim_t>(before) + 5);
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(get(absl::StrCat("/large", i)).body.size(), kLarge + i);
  }
  LimitDescriptors(worker, 1024);
  EXPECT_THAT(get("/").body, HasSubstr("Index of /"));
  for (int i = 0; i < 30; ++i) {
    std::filesystem::remove(At(absl::StrCat("large", i)));
    EXPECT_EQ(get(absl::StrCat("/large", i)).status, 404);
  }
  EXPECT_EQ(get("/small").body, "small");
  EXPECT_EQ(CountDescriptors(worker).all(), before - 1) << "but for large0";
}

// Each takes two: its socket, and the file. All have the first before one asks
// for the second.
TEST_F(ServerFilesFaultTest, MoreDownloadsThanDescriptorsAreBusyAndNotBroken) {
  constexpr int kDownloads = 100;
  // More than the buffers of a connection take.
  constexpr size_t kSlow = size_t{6} << 20;
  for (int i = 0; i < kDownloads; ++i) {
    Write(absl::StrCat(i), "");
    ASSERT_EQ(truncate(At(absl::StrCat(i)).c_str(), kSlow), 0);
  }
  Write("small", "small");
  Serve();
  // Of workers that come.
  const rlimit few = {180, 180};
  ASSERT_EQ(prlimit(server().pid(), RLIMIT_NOFILE, &few, nullptr), 0);
  MustReload();
  std::vector<TestClient> clients;
  for (int i = 0; i < kDownloads; ++i) clients.emplace_back(server().address());
  WaitUntil("they are there",
            [&] { return OfReady("connections") == kDownloads; });
  for (int i = 0; i < kDownloads; ++i) {
    ASSERT_TRUE(clients[i].Send(
        HttpRequestTo(absl::StrCat("/", i), "Connection: close\r\n")));
  }
  // None is through before it is read.
  WaitUntil("it is busy", [&] { return OfReady("connections") < kDownloads; });
  // Nor does that keep them from another worker.
  MustReload();
  int whole = 0, busy = 0;
  for (TestClient& client : clients) {
    const HttpAnswer answer = ReceiveAnswer(client);
    if (answer.status == 200) {
      EXPECT_EQ(answer.body.size(), kSlow);
      ++whole;
    } else {
      EXPECT_EQ(answer.status, 503);
      EXPECT_EQ(answer.Field("Retry-After"), "1");
      ++busy;
    }
    EXPECT_EQ(client.ReceiveAll(), "");
  }
  std::printf("%d whole, %d busy\n", whole, busy);
  EXPECT_GT(whole, kDownloads / 2);
  EXPECT_GT(busy, 0);
  EXPECT_EQ(Get("/small").body, "small");
}

// --- roots and options that are no good

TEST_F(ServerFilesFaultTest, ARootThatCannotBeReadIsNoReasonToStop) {
  Write("f", "text");
  Serve();
  for (const std::string& root :
       {std::string("/nowhere"), At("f"), folder() + "/none"}) {
    WriteFlags("--listen=http://127.0.0.1:0?root=" + root);
    const Json finished = Reload();
    EXPECT_EQ(finished.value("outcome", ""), "rejected");
    EXPECT_THAT(finished.value("reason", ""), HasSubstr("root=\"" + root));
    EXPECT_EQ(Get("/f").body, "text");
  }
  // It is not the server's fault: what is right is taken up.
  WriteInPlace(folder() + "/none/f", "other");
  WriteFlags(absl::StrCat("--listen=http://127.0.0.1:0?root=", folder(),
                          "/none\n--workers=1"));
  MustReload();
  EXPECT_EQ(Status()["listeners"].size(), 1u);
}

// The master may read all of it, but it is not the master that serves it.
TEST_F(ServerFilesFaultTest, WhatTheUserOfTheWorkersMayNotRead) {
  // Root of a user namespace that has no other user is not enough.
  auto dropped = Process::Fork([] { return setuid(65534); });
  ASSERT_TRUE(dropped.ok());
  if (!dropped->WaitAndReap().clean()) GTEST_SKIP() << "needs root";
  Write("f", "text");
  Write("a.css", "plain");
  Write("a.css.gz", kSecret);
  Write("file", kSecret);
  Write("folder/f", kSecret);
  WriteInPlace(folder() + "/closed/f", kSecret);
  ASSERT_EQ(chmod(folder().c_str(), 0755), 0);
  for (const std::string& path :
       {At("a.css.gz"), At("file"), At("folder"), folder() + "/closed"}) {
    ASSERT_EQ(chmod(path.c_str(), 0700), 0);
  }
  Serve("autoindex=1", "--user=nobody");
  for (const char* path : {"/file", "/folder/f", "/folder/"}) {
    EXPECT_EQ(Get(path).status, 403) << path;
  }
  EXPECT_EQ(Get("/a.css", "Accept-Encoding: gzip\r\n").body, "plain");
  const std::string flags =
      absl::StrCat("--listen=http://127.0.0.1:0?root=", folder(), "/closed");
  WriteFlags(flags + "\n--user=nobody");
  const Json finished = Reload();
  EXPECT_EQ(finished.value("outcome", ""), "rejected");
  EXPECT_THAT(finished.value("reason", ""), HasSubstr("/closed\": search"));
  EXPECT_EQ(Get("/f").body, "text");
  const Finished start = RunServer({flags, "--user=nobody"});
  EXPECT_EQ(start.exit_code, 1);
  EXPECT_THAT(start.err, HasSubstr("search directory"));
}

struct BadOption {
  std::string option;  // of a root with a file f
  std::string names;   // in the error

  friend void PrintTo(const BadOption& bad, std::ostream* out) {
    *out << bad.option;
  }
};

class ServerFilesOptionTest : public FilesFixture,
                              public testing::WithParamInterface<BadOption> {};

TEST_P(ServerFilesOptionTest, IsRefusedAndNamed) {
  Write("f", "text");
  std::filesystem::create_symlink("../outside", At("link"));
  WriteInPlace(folder() + "/outside", kSecret);
  for (const char* quick : {"", "--check"}) {
    std::vector<std::string> args = {Listen(GetParam().option)};
    if (*quick != '\0') args.emplace_back(quick);
    const Finished finished = RunServer(args);
    EXPECT_EQ(finished.exit_code, 2) << quick;
    EXPECT_THAT(finished.err, HasSubstr(GetParam().names));
    EXPECT_THAT(finished.err, HasSubstr("--listen"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Options, ServerFilesOptionTest,
    testing::Values(
        BadOption{"root=/", "option \"root\" stands there twice"},
        BadOption{"index=a/b", "index=\"a/b\""},
        BadOption{"index=a;.b", "index=\"a;.b\""},
        BadOption{"index=a;", "index=\"a;\""},
        BadOption{"autoindex=yes", "autoindex=\"yes\""},
        BadOption{"cache_control=a%0Ab", "cache_control=\"a\\nb\""},
        BadOption{"header=X", "header=\"X\""},
        BadOption{"header=:v", "header=\":v\""},
        BadOption{"header=X:a%0D%0AY:b", "header=\"X:a\\r\\nY:b\""},
        BadOption{"header=Content-Length:1", "header=\"Content-Length:1\""},
        BadOption{"fallback=f", "fallback=\"f\""},
        BadOption{"fallback=/none", "fallback=\"/none\""},
        BadOption{"fallback=/link", "leads out of the root"},
        BadOption{"fallback=/a/../f", "fallback=\"/a/../f\""},
        BadOption{"error_page=404", "must be STATUS:PATH"},
        BadOption{"error_page=200:/f", "error_page=\"200:/f\""},
        BadOption{"error_page=404:/none", "error_page=\"404:/none\""},
        BadOption{"error_page=404:/f&error_page=404:/f",
                  "another page for that status"},
        BadOption{"access_log=log", "access_log=\"log\""},
        BadOption{"access_format=xml", "access_format=\"xml\""},
        BadOption{"nonsense=1", "no option \"nonsense\""}));

TEST(ServerFilesRootTest, AServerDoesNotStartWithoutItsRoot) {
  for (const char* root : {"/nowhere", "/etc/passwd"}) {
    const Finished finished =
        RunServer({absl::StrCat("--listen=http://127.0.0.1:0?root=", root)});
    EXPECT_EQ(finished.exit_code, 2);
    EXPECT_THAT(finished.err, HasSubstr(absl::StrCat("root=\"", root)));
  }
  const Finished finished =
      RunServer({"--listen=http://127.0.0.1:0?autoindex=1"});
  EXPECT_EQ(finished.exit_code, 2);
  EXPECT_THAT(finished.err, HasSubstr("autoindex= is of no use without root="));
}

}  // namespace
}  // namespace baton
