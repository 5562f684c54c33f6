// Moves in the middle of a file: deadlines, state, senders that lie, handlers
// that do not know of it.

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/connection.h"
#include "net/connection_file_fixture.h"
#include "net/connection_image.h"
#include "net/testing/pair.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

// --- deadlines

TEST_F(ConnectionFileTest, AClientThatTakesNothingIsDroppedWhereverItIs) {
  const Served here = ServeFiles();
  Served there = ServeFiles();
  Say(here, "get\n");
  Say(there, "get\n");
  Settle();
  table_.Detach(*here.core);
  Moved moved = TakeAway(there);
  Advance(absl::Minutes(1));
  downloads_.log.clear();
  EXPECT_EQ(table_.Reattach(*here.core), 0);
  BringBack(there, std::move(moved));
  for (int i = 0; i < 15; ++i) Advance(absl::Seconds(1));
  EXPECT_EQ(downloads_.log, "") << "a write_timeout is 20 s";
  for (int i = 0; i < 10; ++i) Advance(absl::Seconds(1));
  EXPECT_EQ(downloads_.log, "timeout timeout ");
  EXPECT_EQ(table_.counters().write_timeouts.value(), 2u);
}

TEST_F(ConnectionFileTest, WhoIsSentAFileIsNotIdleBeforeItIsThere) {
  const StreamSettings settings = {.idle_timeout = absl::Seconds(1)};
  Served served = ServeFiles(SendFiles, settings);
  Advance(absl::Milliseconds(900));
  Say(served, "get\n");
  Settle();
  Moved moved = TakeAway(served);
  EXPECT_EQ(moved.image.idle_left, absl::InfiniteDuration());
  downloads_.log.clear();
  BringBack(served, std::move(moved), SendFiles, settings);
  Advance(absl::Seconds(10));
  EXPECT_EQ(downloads_.log, "");
  EXPECT_EQ(Hear(served, 6 + kFileBytes).size(), 6 + kFileBytes);
  Settle();
  Advance(absl::Milliseconds(900));
  EXPECT_EQ(downloads_.log, "");
  Advance(absl::Milliseconds(200));
  EXPECT_EQ(downloads_.log, "timeout ");
  EXPECT_EQ(table_.counters().reaped_idle.value(), 1u);
}

// --- handlers that do not ask for the rest

Task<> ReadAndAnswer(Connection conn, Downloads* downloads) {
  const ReadResult read = co_await conn.ReadSome({.idle = true});
  const IoError answered = co_await conn.Write("answer");
  const IoError more = co_await conn.WriteMore("answer");
  absl::StrAppend(&downloads->log,
                  read ? std::string(*read) : IoErrorName(read.error()), " ",
                  IoErrorName(answered), " ", IoErrorName(more), " ");
}

TEST_F(ConnectionFileTest, AHandlerThatDoesNotTakeTheRestWritesNothing) {
  for (const absl::string_view unread : {"", "in our memory"}) {
    Served served = ServeFiles();
    Say(served, "get\n");
    Settle();
    Moved moved = TakeAway(served);
    moved.image.unread = std::string(unread);
    const uint64_t sent = moved.image.file->offset;
    Say(served, "in the kernel");
    downloads_.log.clear();
    BringBack(served, std::move(moved), ReadAndAnswer);
    EXPECT_EQ(downloads_.log,
              absl::StrCat(unread.empty() ? "reset" : unread, " reset reset "));
    EXPECT_TRUE(Hear(served, 6 + kFileBytes) ==
                "file: " + content_.substr(0, sent));
  }
}

Task<> TakeTwice(Connection conn, Downloads* downloads) {
  const std::optional<UnsentFile> first = conn.TakeUnsentFile(),
                                  second = conn.TakeUnsentFile();
  absl::StrAppend(&downloads->log, first.has_value() ? "first " : "",
                  second.has_value() ? "second " : "");
  const ReadResult read = co_await conn.ReadSome({.idle = true});
  absl::StrAppend(&downloads->log, IoErrorName(read.error()), " ");
}

TEST_F(ConnectionFileTest, TheRestIsThereOnceAndOnlyIfThereIsOne) {
  Served served = ServeFiles();
  Say(served, "get\n");
  Settle();
  Moved moved = TakeAway(served);
  downloads_.log.clear();
  BringBack(served, std::move(moved), TakeTwice);
  EXPECT_EQ(downloads_.log, "first ");
  EXPECT_TRUE(ConnectionTable::CanDetach(*served.core)) << "it is as any other";
  served = ServeFiles(TakeTwice);
  EXPECT_EQ(downloads_.log, "first ");
}

// --- senders that lie

class UnsentFileFaultTest : public ConnectionFileTest {
 protected:
  absl::Status Import(FileRest rest, UniqueFd file) {
    const Served served = ServeFiles();
    ConnectionImage image;
    image.file = rest;
    const auto imported =
        table_.Import(UniqueFd(dup(served.core->fd)), table_.AddSettings({}),
                      image, std::move(file));
    if (imported.ok()) {
      loop_->RemoveFd((*imported)->fd);
      const Connection closed(*imported);
    } else {
      EXPECT_EQ(table_.counters().received.value(), 0u);
    }
    Say(served, "x");
    Settle();
    EXPECT_EQ(loop_->stale_events(), 0u) << "a refused copy is in epoll still";
    return imported.status();
  }
};

TEST_F(UnsentFileFaultTest, NumbersThatAreOfNoFile) {
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  const std::vector<FileRest> rests = {
      {.offset = 0, .size = 0},
      {.offset = 5, .size = 0},
      {.offset = 0, .size = kMost + 1},
      {.offset = kMost, .size = 1},
      {.offset = 1, .size = kMost},
      {.offset = kMost + 1, .size = 1},
      {.offset = ~uint64_t{0}, .size = 2},
      {.offset = ~uint64_t{0}, .size = ~uint64_t{0}},
  };
  for (const FileRest& rest : rests) {
    EXPECT_EQ(Import(rest, UniqueFd(dup(file_.get()))).code(),
              absl::StatusCode::kInvalidArgument)
        << rest.offset << ", " << rest.size;
  }
  // No file is that long; the write will say so.
  ASSERT_EQ(Import({.offset = 1, .size = kMost - 1}, UniqueFd(dup(file_.get())))
                .code(),
            absl::StatusCode::kOk);
}

TEST_F(UnsentFileFaultTest, DescriptorsThatAreNoFilesToRead) {
  const std::string name = absl::StrCat("/proc/self/fd/", file_.get());
  int pipes[2];
  PCHECK(pipe2(pipes, O_CLOEXEC) == 0);
  const UniqueFd write_end(pipes[1]);
  EXPECT_FALSE(Import({.offset = 0, .size = 1}, UniqueFd(pipes[0])).ok());
  EXPECT_FALSE(Import({.offset = 0, .size = 1},
                      UniqueFd(socket(AF_UNIX, SOCK_STREAM, 0)))
                   .ok());
  for (const int mode : {O_WRONLY, O_PATH}) {
    UniqueFd file(open(name.c_str(), mode | O_CLOEXEC));
    ASSERT_TRUE(file);
    EXPECT_FALSE(Import({.offset = 0, .size = 1}, std::move(file)).ok());
  }
  EXPECT_FALSE(
      Import({.offset = 0, .size = 1}, UniqueFd(open("/", O_RDONLY))).ok());
  EXPECT_FALSE(Import({.offset = 0, .size = 1}, UniqueFd()).ok());
}

// --- in memory, as a service's own tests have it

struct Request {
  static constexpr uint32_t kVersion = 1;
  std::string Encode() const { return name; }
  static absl::StatusOr<Request> Decode(uint32_t /*version*/,
                                        absl::string_view bytes) {
    return Request{std::string(bytes)};
  }
  std::string name;
};

Task<> SendWithTrailer(Connection conn, int file) {
  IoError error = IoError::kOk;
  std::optional<UnsentFile> rest = conn.TakeUnsentFile();
  while (error == IoError::kOk) {
    if (rest.has_value()) {
      error = co_await conn.WriteFile(rest->fd.get(), rest->offset, rest->size,
                                      {.movable = true});
      rest.reset();
    } else {
      const ReadResult line =
          co_await conn.ReadUntil("\n", 100, {.idle = true});
      error = line.error();
      if (error != IoError::kOk) break;
      conn.state<Request>().name = std::string(line.bytes());
      error = co_await conn.WriteMore(*line);
      if (error != IoError::kOk) break;
      error = co_await conn.WriteFile(file, 0, 10, {.movable = true});
    }
    if (error != IoError::kOk) break;
    error = co_await conn.Write(conn.state<Request>().name);
    conn.ForgetState();
  }
}

TEST(ConnectionFilePairTest, StateGoesAlongWhileThereIsSome) {
  SimulatedClock clock;
  const StreamSettings settings = {.state_codec =
                                       TypedStateCodec<Request>::Get()};
  const UniqueFd file(memfd_create("file", MFD_CLOEXEC));
  PCHECK(write(file.get(), "0123456789", 10) == 10);
  const auto handler = [&file](Connection conn) {
    return SendWithTrailer(std::move(conn), file.get());
  };
  testing::Pair first(handler, &clock, settings);
  first.SetWindow(8);  // what is waited for with borrowed bytes, too
  first.Send("name\nnext\n");
  EXPECT_EQ(first.Received(), "name\n012");
  const std::optional<ConnectionImage> image = first.Export();
  ASSERT_TRUE(image.has_value());
  EXPECT_EQ(image->file, (FileRest{.offset = 3, .size = 7}));
  EXPECT_EQ(image->state, "name\n");
  EXPECT_EQ(image->unread, "next\n");
  testing::Pair second(handler, &clock, settings, *image, first.ExportFile());
  EXPECT_EQ(second.Received(), "3456789name\nnext\n0123456789next\n");
  const std::optional<ConnectionImage> idle = second.Export();
  ASSERT_TRUE(idle.has_value());
  EXPECT_EQ(idle->state, std::nullopt);
  EXPECT_EQ(idle->file, std::nullopt);
  EXPECT_FALSE(second.ExportFile());
}

Task<> EchoMore(Connection conn) {
  while (true) {
    const ReadResult chunk = co_await conn.ReadSome({.idle = true});
    if (!chunk || co_await conn.WriteMore(*chunk) != IoError::kOk) break;
  }
}

TEST(ConnectionFilePairTest, BorrowedBytesBehindWhichMoreFollowsMayWait) {
  SimulatedClock clock;
  testing::Pair pair(EchoMore, &clock);
  testing::Pair other(EchoMore, &clock);
  pair.SetWindow(2);
  pair.Send("hello");
  other.Send("other");  // into the same shared buffer
  EXPECT_EQ(pair.Received(), "he");
  EXPECT_EQ(other.Received(), "other");
  pair.SetWindow(10);
  EXPECT_EQ(pair.Received(), "llo");
}

// --- segments

Task<> SayMore(Connection conn, Downloads* downloads) {
  const IoError error = co_await conn.WriteMore("head");
  absl::StrAppend(&downloads->log, IoErrorName(error), " ");
  [[maybe_unused]] const ReadResult go = co_await conn.ReadSome();
  [[maybe_unused]] const IoError sent =
      co_await conn.WriteFile(downloads->file, 0, downloads->size);
}

int NotSent(const internal::ConnectionCore& core) {
  int bytes = 0;
  PCHECK(ioctl(core.fd, SIOCOUTQNSD, &bytes) == 0);
  return bytes;
}

// The kernel waits for 200 ms, which a slow machine may take.
TEST_F(ConnectionFileTest, AHeadWaitsForTheBeginningOfItsFile) {
  downloads_.size = 100;
  bool waited = false;
  for (int attempt = 0; attempt < 20 && !waited; ++attempt) {
    const Served served = ServeFilesOverTcp(SayMore);
    waited = NotSent(*served.core) == 4;
    Say(served, "go");
    EXPECT_EQ(Hear(served, 200), "head" + content_.substr(0, 100));
  }
  EXPECT_TRUE(waited);
}

}  // namespace
}  // namespace baton
