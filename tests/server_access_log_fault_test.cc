// The access log of a server whose disk is full, whose log pipe nobody empties,
// and whose clients would like to write in it: no request is lost, no line
// torn, and what is not written is counted.

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"
#include "tests/access_log_fixture.h"
#include "tests/server_process.h"
#include "tests/test_client.h"

namespace baton {
namespace {

class ServerAccessLogFaultTest : public AccessLogFixture {
 protected:
  static constexpr int kMany = 10'000;

  // Each of those that were answered is in the log or counted.
  void ExpectAllAccounted(int requests) {
    WaitUntil("what waited is written or dropped",
              [&] { return Written() + Dropped() == requests; });
  }
  // A FIFO at `name`, with a reader that does not read.
  UniqueFd MakeFifo(absl::string_view name) {
    EXPECT_EQ(mkfifo(Path(name).c_str(), 0600), 0);
    return OpenFifo(name);
  }
  UniqueFd OpenFifo(absl::string_view name) {
    return UniqueFd(
        open(Path(name).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  }
  static std::string ReadSome(const UniqueFd& fd) {
    std::string bytes(1 << 20, '\0');
    const ssize_t count = read(fd.get(), bytes.data(), bytes.size());
    bytes.resize(count > 0 ? static_cast<size_t>(count) : 0);
    return bytes;
  }
};

TEST_F(ServerAccessLogFaultTest, AFileThatMayNotGrow) {
  Start(ListenTo("log"));
  constexpr rlim_t kMost = 200'000;
  for (const Json& worker : WorkersIn("ready")) {
    const rlimit limit = {kMost, RLIM_INFINITY};
    ASSERT_EQ(prlimit(worker["pid"], RLIMIT_FSIZE, &limit, nullptr), 0);
  }
  Get(kMany);
  EXPECT_GT(Dropped(), kMany / 4);
  struct stat status = {};
  ASSERT_EQ(stat(Path("log").c_str(), &status), 0);
  EXPECT_LE(status.st_size, off_t{kMost});
  // There is room again: what waited is written, and what comes.
  for (const Json& worker : WorkersIn("ready")) {
    const rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    ASSERT_EQ(prlimit(worker["pid"], RLIMIT_FSIZE, &limit, nullptr), 0);
  }
  ExpectAllAccounted(kMany);
  const int64_t lost = Dropped();
  Get(100);
  ExpectAllAccounted(kMany + 100);
  EXPECT_EQ(Dropped(), lost);
}

TEST_F(ServerAccessLogFaultTest, ADiskThatIsFull) {
  // Seen by this process and the server, and gone with them.
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mkdir(Path("disk").c_str(), 0700) != 0 ||
      mount("tmpfs", Path("disk").c_str(), "tmpfs", 0, "size=128k") != 0) {
    rmdir(Path("disk").c_str());
    GTEST_SKIP() << "no file system may be mounted here";
  }
  Start(ListenTo("disk/log"));
  Get(kMany);
  EXPECT_GT(Dropped(), kMany / 4);
  // Rotated away, as an operator would.
  ASSERT_EQ(unlink(Path("disk/log").c_str()), 0);
  server().Signal(SIGUSR1);
  server().WaitFor("access_log_reopened");
  ExpectAllAccounted(kMany);
  const int64_t lost = Dropped();
  Get(100);
  ExpectAllAccounted(kMany + 100);
  EXPECT_EQ(Dropped(), lost);
  ExpectWhole(Lines("disk/log"));
  server().Signal(SIGTERM);
  EXPECT_EQ(server().Wait().exit_code, 0);
  EXPECT_EQ(umount2(Path("disk").c_str(), MNT_DETACH), 0);
}

TEST_F(ServerAccessLogFaultTest, APipeThatNobodyEmpties) {
  const UniqueFd reader = MakeFifo("pipe");
  Start(ListenTo("pipe"));
  Get(kMany);
  EXPECT_GT(Dropped(), kMany / 4);
  // What is in the pipe is whole, and so is what comes behind it.
  std::string text;
  WaitUntil("the rest is written", [&] {
    text += ReadSome(reader);
    return Written() + Dropped() == kMany;
  });
  const int64_t lost = Dropped();
  Get(100);
  // What was read last may have been before the pipe was filled once more.
  WaitUntil("what came then is written", [&] {
    text += ReadSome(reader);
    return Written() + Dropped() == kMany + 100;
  });
  text += ReadSome(reader);
  EXPECT_EQ(Dropped(), lost);
  const std::vector<std::string> lines = LinesOf(text);
  EXPECT_EQ(static_cast<int64_t>(lines.size()), Written());
  ExpectWhole(lines);
  // A stop does not wait for it.
  Get(kMany);
  server().Signal(SIGTERM);
  EXPECT_EQ(server().Wait().exit_code, 0);
}

TEST_F(ServerAccessLogFaultTest, AReaderThatIsGone) {
  UniqueFd reader = MakeFifo("pipe");
  Start(ListenTo("pipe"));
  reader.reset();
  Get(kMany);
  EXPECT_GT(Dropped(), kMany / 4);
  // Nobody is there: the old one stays.
  server().Signal(SIGUSR1);
  Get(10);
  reader = OpenFifo("pipe");
  server().Signal(SIGUSR1);
  server().WaitFor("access_log_reopened");
  std::string text;
  WaitUntil("the rest is written", [&] {
    text += ReadSome(reader);
    return Written() + Dropped() == kMany + 10;
  });
  EXPECT_GT(Written(), 0);
  ExpectWhole(LinesOf(text));
}

TEST_F(ServerAccessLogFaultTest, NoClientWritesALine) {
  const std::vector<std::string> texts = {
      R"(" 200 1 "-" "-")",
      "a\\\" 200 1 \"-\" \"x",
      "\xff\xfe\xc0\xaf",
      "\xe2\x80\xa8new line\xc2\x85",
      "\x1b[2J\x1b]0;title\x07",
      "%0d%0a127.0.0.1 - - [22/Nov/2026:03:35:17 +0000] \"GET /\"",
      R"(","status":500,"x":")",
      std::string(20'000, '"')};
  const std::vector<std::string> starts = {
      "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: ",
      "GET / HTTP/1.1\r\nHost: h\r\nReferer: ",
      "GET / HTTP/1.1\r\nX-Request-Id: x\r\nHost: ", "GET /", "X"};
  for (const std::string format : {"combined", "json"}) {
    Start(ListenTo(format, format));
    size_t sent = 0;
    for (const std::string& start : starts) {
      for (const std::string& text : texts) {
        TestClient client(server().address());
        EXPECT_TRUE(client.Send(absl::StrCat(
            start, text, " HTTP/1.1\r\nConnection: close\r\n\r\n")));
        // An answer, whichever.
        EXPECT_TRUE(absl::StartsWith(client.ReceiveAll(), "HTTP/1.1 "));
        ++sent;
      }
    }
    server().Signal(SIGTERM);
    EXPECT_EQ(server().Wait().exit_code, 0);
    const std::vector<std::string> lines = Lines(format);
    EXPECT_EQ(lines.size(), sent);
    ExpectWhole(lines, format);
    for (const std::string& line : lines) {
      EXPECT_LT(line.size(), 4096u);
      for (const char c : line) {
        ASSERT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) << line;
      }
      if (format != "json") continue;
      EXPECT_TRUE(nlohmann::json::parse(line)["status"].is_number());
      EXPECT_FALSE(nlohmann::json::parse(line).contains("x"));
    }
  }
}

// Those that the workers had written are whole, and go on being written.
TEST_F(ServerAccessLogFaultTest, AWorkerThatIsKilledTearsNoLine) {
  Start(ListenTo("log"));
  for (int i = 0; i < 5; ++i) {
    Get(1000);
    const pid_t worker = WorkerOf(0);
    ASSERT_EQ(kill(worker, SIGKILL), 0);
    WaitForEventOf(worker, "worker_exited");
  }
  Get(1000);
  server().Signal(SIGTERM);
  EXPECT_EQ(server().Wait().exit_code, 0);
  ExpectWhole(Lines("log"));
  EXPECT_GT(Lines("log").size(), 1000u);
}

}  // namespace
}  // namespace baton
