#include "worker/http/access_log.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/event_loop.h"

namespace baton {
namespace {

class AccessLogTest : public testing::Test {
 protected:
  AccessLogTest() : loop_(EventLoop::Create(&clock_).value()) {
    // As a server does (worker/log_writer.h).
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, nullptr);
    sigaction(SIGXFSZ, &ignore, nullptr);
    dir_ = absl::StrCat(testing::TempDir(), "/access_log_XXXXXX");
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
  }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(dir_, "/", name);
  }
  static std::string Contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void OpenFile(const std::string& name) {
    log().Open(OpenLog(Path(name)).value());
  }
  // The end to read from.
  UniqueFd OpenPipe() {
    std::array<int, 2> fds = {-1, -1};
    EXPECT_EQ(pipe2(fds.data(), O_CLOEXEC | O_NONBLOCK), 0);
    log().Open(UniqueFd(fds[1]));
    return UniqueFd(fds[0]);
  }
  static std::string ReadSome(const UniqueFd& fd) {
    std::array<char, 65536> chunk;
    const ssize_t count = read(fd.get(), chunk.data(), chunk.size());
    return {chunk.data(), static_cast<size_t>(std::max<ssize_t>(count, 0))};
  }

  AccessLog& log() { return logs_.Get("log"); }
  static std::string Target(int number) {
    return absl::StrCat("/", absl::Dec(number, absl::kZeroPad6));
  }
  // A line of some 80 bytes, all alike, that tells its number.
  void Add(int number) {
    AccessRecord record;
    const std::string target = Target(number);
    record.client = "192.0.2.7";
    record.method = "GET";
    record.target = target;
    record.minor_version = 1;
    record.status = 200;
    log().Add(AccessFormat::kCombined, record, {.tv_sec = 1, .tv_nsec = 0});
  }
  void AddMany(int count) {
    for (int i = 0; i < count; ++i) Add(next_++);
  }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    loop_->Turn(/*wait=*/false);
  }
  static int64_t Lines(absl::string_view text) {
    return std::count(text.begin(), text.end(), '\n');
  }
  uint64_t written() const { return counters_.access_log_lines.value(); }
  uint64_t dropped() const { return counters_.access_log_dropped.value(); }

  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_;
  HttpCounters counters_;
  AccessLogs logs_{*loop_, counters_};
  std::string dir_;
  int next_ = 0;
};

TEST_F(AccessLogTest, LinesWaitForASecond) {
  OpenFile("log");
  AddMany(3);
  Advance(absl::Milliseconds(800));
  AddMany(1);
  EXPECT_EQ(Contents(Path("log")), "");
  EXPECT_EQ(written(), 0u);
  Advance(absl::Milliseconds(200));
  EXPECT_EQ(Lines(Contents(Path("log"))), 4);
  EXPECT_EQ(written(), 4u);
  // And then the next one does.
  AddMany(1);
  Advance(absl::Milliseconds(800));
  EXPECT_EQ(written(), 4u);
  Advance(absl::Milliseconds(200));
  EXPECT_EQ(written(), 5u);
}

TEST_F(AccessLogTest, NothingIsScheduledWithoutALine) {
  OpenFile("log");
  EXPECT_TRUE(loop_->wheel().empty());
  AddMany(1);
  EXPECT_FALSE(loop_->wheel().empty());
  log().Flush();
  EXPECT_TRUE(loop_->wheel().empty());
}

TEST_F(AccessLogTest, HalfABufferIsWrittenAtOnce) {
  OpenFile("log");
  while (written() == 0) AddMany(1);
  const std::string text = Contents(Path("log"));
  EXPECT_EQ(Lines(text), next_);
  EXPECT_GE(text.size(), AccessLog::kBufferBytes / 2);
  EXPECT_LT(text.size(), AccessLog::kBufferBytes / 2 + 200);
}

TEST_F(AccessLogTest, EndWritesTheRest) {
  OpenFile("log");
  AddMany(7);
  logs_.End();
  EXPECT_EQ(Lines(Contents(Path("log"))), 7);
  EXPECT_EQ(written(), 7u);
  EXPECT_EQ(dropped(), 0u);
}

TEST_F(AccessLogTest, ReopenedItGoesOnElsewhere) {
  OpenFile("log");
  AddMany(2);
  logs_.Reopen("log", OpenLog(Path("new")).value());
  AddMany(3);
  logs_.Flush();
  EXPECT_EQ(Lines(Contents(Path("log"))), 2);
  EXPECT_EQ(Lines(Contents(Path("new"))), 3);
  logs_.Reopen("no such", OpenLog(Path("unused")).value());
  logs_.Flush();
  EXPECT_EQ(Contents(Path("unused")), "");
}

TEST_F(AccessLogTest, ALogThatIsNotOpenDrops) {
  AddMany(5);
  EXPECT_EQ(dropped(), 5u);
  OpenFile("log");
  AddMany(1);
  logs_.End();
  EXPECT_EQ(written(), 1u);
}

TEST_F(AccessLogTest, AFullPipeDropsTheNewestAndRecovers) {
  const UniqueFd reader = OpenPipe();
  while (dropped() == 0) AddMany(1);
  AddMany(99);
  EXPECT_EQ(dropped(), 100u);
  std::string text;
  while (written() + dropped() < static_cast<uint64_t>(next_)) {
    text += ReadSome(reader);
    Advance(AccessLog::kLastRetry);
  }
  AddMany(1);
  logs_.End();
  text += ReadSome(reader);
  text += ReadSome(reader);
  EXPECT_EQ(dropped(), 100u);
  EXPECT_EQ(Lines(text), next_ - 100);
  EXPECT_EQ(written(), static_cast<uint64_t>(next_ - 100));
  // Each of them whole.
  EXPECT_EQ(text.size(), (text.find('\n') + 1) * (next_ - 100));
  EXPECT_TRUE(absl::StrContains(text, Target(next_ - 1)));
}

// A log that takes nothing is not asked for each line.
TEST_F(AccessLogTest, AFullPipeIsTriedLessAndLessOften) {
  const UniqueFd reader = OpenPipe();
  while (dropped() == 0) AddMany(1);
  absl::Duration waited;
  ReadSome(reader);
  const uint64_t before = written();
  AddMany(10);
  EXPECT_EQ(written(), before);
  while (written() == before) {
    Advance(absl::Milliseconds(5));
    waited += absl::Milliseconds(5);
  }
  EXPECT_LE(waited, AccessLog::kFirstRetry + absl::Milliseconds(10));
}

TEST_F(AccessLogTest, WithoutAReaderAllIsDropped) {
  {
    const UniqueFd reader = OpenPipe();
  }
  AddMany(2000);
  logs_.End();
  EXPECT_EQ(written(), 0u);
  EXPECT_EQ(dropped(), 2000u);
}

TEST_F(AccessLogTest, AFullDiskTearsNoLine) {
  constexpr rlim_t kLimit = 10'010;
  OpenFile("log");
  rlimit old = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit low = {.rlim_cur = kLimit, .rlim_max = old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  AddMany(300);
  log().Flush();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_GT(written(), 50u);
  const std::string full = Contents(Path("log"));
  EXPECT_GT(full.size(), kLimit - 200);
  EXPECT_EQ(full.back(), '\n');
  AddMany(1);
  logs_.End();
  EXPECT_EQ(dropped(), 0u);
  EXPECT_EQ(written(), 301u);
  // The one that was begun was taken back, and comes again as a whole.
  const std::string text = Contents(Path("log"));
  EXPECT_EQ(Lines(text), 301);
  for (int i = 0; i < 301; ++i) {
    EXPECT_TRUE(absl::StrContains(
        text, absl::StrCat(Target(i), " HTTP/1.1\" 200 0 \"-\" \"-\"\n")))
        << i;
  }
}

}  // namespace
}  // namespace baton
