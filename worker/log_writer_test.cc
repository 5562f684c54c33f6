#include "worker/log_writer.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace baton {
namespace {

void Ignore(int signal) {
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(sigaction(signal, &ignore, nullptr), 0);
}

class LogWriterTest : public testing::Test {
 protected:
  void SetUp() override {
    Ignore(SIGPIPE);
    dir_ = absl::StrCat(testing::TempDir(), "/log_writer_XXXXXX");
    ASSERT_NE(mkdtemp(dir_.data()), nullptr);
  }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(dir_, "/", name);
  }

  static std::string Contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string dir_;
};

std::pair<UniqueFd, UniqueFd> Pipe() {
  std::array<int, 2> fds = {-1, -1};
  EXPECT_EQ(pipe2(fds.data(), O_CLOEXEC), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::string ReadAll(int fd) {
  EXPECT_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  std::string all;
  std::array<char, 65536> chunk;
  for (ssize_t n; (n = read(fd, chunk.data(), chunk.size())) > 0;) {
    all.append(chunk.data(), static_cast<size_t>(n));
  }
  return all;
}

// Writes lines until one is dropped; how many went out.
int FillUp(LogWriter& writer, absl::string_view line) {
  int written = 0;
  while (written < 1000000 && writer.Write(line)) ++written;
  return written;
}

TEST_F(LogWriterTest, AFileIsAppendedTo) {
  std::ofstream(Path("log")) << "old\n";
  LogWriter writer(OpenLog(Path("log")).value());
  EXPECT_TRUE(writer.Write("one\n"));
  EXPECT_TRUE(writer.Write("two\n"));
  EXPECT_EQ(Contents(Path("log")), "old\none\ntwo\n");
  EXPECT_NE(fcntl(writer.fd(), F_GETFL) & O_APPEND, 0);
  EXPECT_NE(fcntl(writer.fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(LogWriterTest, ANewFileIsNotForEverybody) {
  const mode_t old_mask = umask(0);
  ASSERT_TRUE(OpenLog(Path("log")).ok());
  umask(old_mask);
  struct stat status = {};
  ASSERT_EQ(stat(Path("log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST_F(LogWriterTest, ASymbolicLinkIsRefused) {
  ASSERT_EQ(symlink("elsewhere", Path("log").c_str()), 0);
  const absl::Status status = OpenLog(Path("log")).status();
  EXPECT_TRUE(absl::StrContains(status.message(), Path("log"))) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "is a symbolic link"))
      << status;
  EXPECT_NE(access(Path("elsewhere").c_str(), F_OK), 0);
}

TEST_F(LogWriterTest, OpenErrorsNameThePath) {
  const absl::Status status = OpenLog(Path("no/such/log")).status();
  EXPECT_EQ(status.message(),
            absl::StrCat("open log ", Path("no/such/log"),
                         ": No such file or directory (ENOENT)"));
  EXPECT_TRUE(absl::StrContains(OpenLog(dir_).status().message(), "EISDIR"));
}

TEST_F(LogWriterTest, AFifoWithoutAReaderIsAnErrorNotAWait) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(
      absl::StrContains(OpenLog(Path("fifo")).status().message(), "ENXIO"));
}

TEST_F(LogWriterTest, NoPathIsACopyOfStderr) {
  UniqueFd log = OpenLog("").value();
  struct stat ours = {};
  struct stat theirs = {};
  ASSERT_EQ(fstat(log.get(), &ours), 0);
  ASSERT_EQ(fstat(STDERR_FILENO, &theirs), 0);
  EXPECT_EQ(ours.st_ino, theirs.st_ino);
  EXPECT_GT(log.get(), STDERR_FILENO);
}

TEST_F(LogWriterTest, AFullPipeDropsAndDoesNotWait) {
  auto [out, in] = Pipe();
  LogWriter writer(std::move(in));
  const std::string line = std::string(1000, 'x') + "\n";
  const int written = FillUp(writer, line);
  EXPECT_GT(written, 10);
  EXPECT_FALSE(writer.Write(line));
  // Whole lines only, and it goes on once there is room.
  const std::string all = ReadAll(out.get());
  EXPECT_EQ(all.size(), written * line.size());
  EXPECT_TRUE(writer.Write("again\n"));
  EXPECT_EQ(ReadAll(out.get()), "again\n");
}

TEST_F(LogWriterTest, APipeThatCannotBeOpenedAgainDropsAndDoesNotWait) {
  auto [out, in] = Pipe();
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  LogWriter writer(std::move(in));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_EQ(fcntl(writer.fd(), F_GETFL) & O_NONBLOCK, 0);

  const std::string line = std::string(writer.max_line_bytes() - 1, 'x') + "\n";
  const int written = FillUp(writer, line);
  EXPECT_GT(written, 10);
  EXPECT_EQ(ReadAll(out.get()).size(), written * line.size());
  EXPECT_TRUE(writer.Write("again\n"));
  EXPECT_EQ(ReadAll(out.get()), "again\n");
  out.reset();
  EXPECT_FALSE(writer.Write("line\n"));
}

TEST_F(LogWriterTest, TheDescriptionThatOthersShareStaysBlocking) {
  auto [out, in] = Pipe();
  UniqueFd copy(dup(in.get()));
  LogWriter writer(std::move(in));
  EXPECT_NE(fcntl(writer.fd(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_EQ(fcntl(copy.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(LogWriterTest, APipeGetsLinesThatAreAtomic) {
  auto [out, in] = Pipe();
  LogWriter writer(std::move(in));
  EXPECT_LT(writer.max_line_bytes(), size_t{PIPE_BUF});
  LogWriter file(OpenLog(Path("log")).value());
  EXPECT_GT(file.max_line_bytes(), size_t{PIPE_BUF});
}

TEST_F(LogWriterTest, AReaderThatIsGoneDrops) {
  auto [out, in] = Pipe();
  LogWriter writer(std::move(in));
  out.reset();
  EXPECT_FALSE(writer.Write("line\n"));
}

TEST_F(LogWriterTest, ASocketThatIsFullDropsAndDoesNotWait) {
  std::array<int, 2> fds = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  const UniqueFd out(fds[0]);
  LogWriter writer((UniqueFd(fds[1])));
  const int written = FillUp(writer, std::string(1000, 'x') + "\n");
  EXPECT_GT(written, 10);
  EXPECT_LT(written, 1000000);
  EXPECT_EQ(fcntl(writer.fd(), F_GETFL) & O_NONBLOCK, 0);
  ReadAll(out.get());
  EXPECT_TRUE(writer.Write("again\n"));
  EXPECT_TRUE(absl::EndsWith(ReadAll(out.get()), "again\n"));
}

TEST_F(LogWriterTest, AFullDiskDrops) {
  UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  LogWriter writer(std::move(full));
  EXPECT_FALSE(writer.Write("line\n"));
}

TEST_F(LogWriterTest, ManyLinesGoIntoAFileAtOnce) {
  LogWriter writer(OpenLog(Path("log")).value());
  std::string lines;
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&lines, "line ", i, "\n");
  EXPECT_EQ(writer.WriteLines(lines), lines.size());
  EXPECT_EQ(writer.WriteLines(""), 0u);
  EXPECT_EQ(Contents(Path("log")), lines);
}

// So that those of other processes can come between, but not into them.
TEST_F(LogWriterTest, APipeTakesWholeLines) {
  auto [reader, log] = Pipe();
  LogWriter writer(std::move(log));
  const std::string line = std::string(999, 'x') + "\n";
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += line;
  const size_t taken = writer.WriteLines(lines);
  EXPECT_GT(taken, 0u);
  EXPECT_LT(taken, lines.size());
  EXPECT_EQ(taken % line.size(), 0u);
  EXPECT_EQ(ReadAll(reader.get()), lines.substr(0, taken));
  const size_t rest = writer.WriteLines(lines.substr(taken));
  EXPECT_EQ(ReadAll(reader.get()), lines.substr(taken, rest));
}

// While it lives, a write beyond that size stops in the middle, as with a full
// disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t size) {
    Ignore(SIGXFSZ);
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    const rlimit tight = {.rlim_cur = size, .rlim_max = before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  }
  ~FileSizeLimit() { EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before_), 0); }

 private:
  rlimit before_ = {};
};

TEST_F(LogWriterTest, ALineThatWasTornIsTakenBack) {
  const std::string whole = absl::StrCat(std::string(20'000, 'w'), "\n");
  LogWriter one(OpenLog(Path("log")).value());
  LogWriter other(OpenLog(Path("log")).value());
  {
    const FileSizeLimit limit(10'000);
    EXPECT_TRUE(one.Write("1234\n"));
    EXPECT_FALSE(one.Write(whole));
    EXPECT_FALSE(other.Write(whole));
    EXPECT_EQ(one.WriteLines(absl::StrCat("567\n", whole)), 4u);
  }
  EXPECT_EQ(Contents(Path("log")), "1234\n567\n");
  EXPECT_TRUE(other.Write("whole\n"));
  EXPECT_TRUE(one.Write("again\n"));
  EXPECT_EQ(Contents(Path("log")), "1234\n567\nwhole\nagain\n");
}

TEST_F(LogWriterTest, ALineThatCannotBeTakenBackIsEndedBeforeTheNext) {
  // As a shell's "2>log" is: cut, it would be written to behind its end.
  LogWriter writer(UniqueFd(
      open(Path("log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
  {
    const FileSizeLimit limit(8);
    EXPECT_TRUE(writer.Write("1234\n"));
    EXPECT_FALSE(writer.Write("567890\n"));
    EXPECT_FALSE(writer.Write("nothing of this\n"));
  }
  EXPECT_TRUE(writer.Write("whole\n"));
  EXPECT_TRUE(writer.Write("again\n"));
  EXPECT_EQ(Contents(Path("log")), "1234\n567\nwhole\nagain\n");
}

}  // namespace
}  // namespace baton
