// Connections where something is against them: memory runs out, two tasks are
// in haste, a worker is aborted, an operation is misused. Simulated time.

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/connection.h"
#include "net/event_loop.h"
#include "net/scope.h"
#include "net/sleep.h"
#include "net/testing/pair.h"
#include "net/when_any.h"

namespace baton {
namespace {

using testing::Pair;

Task<> Echo(Connection conn) {
  while (auto chunk = co_await conn.ReadSome({.idle = true, .urgent = true})) {
    if (co_await conn.Write(*chunk) != IoError::kOk) break;
  }
}

std::string Describe(const ReadResult& result) {
  return std::string(result ? *result : IoErrorName(result.error()));
}

Task<> EchoOne(Connection* conn, IoError* outcome) {
  const ReadResult chunk = co_await conn->ReadSome();
  if (chunk) *outcome = co_await conn->Write(*chunk);
}

TEST(ConnectionFault, ACancelledWriteGivesItsBufferBack) {
  SimulatedClock clock;
  Pair keeper(Echo, &clock);
  IoError outcome = IoError::kOk;
  Pair pair(
      [&](Connection conn) {
        return [](Connection conn, IoError* outcome) -> Task<> {
          const ReadResult seen = co_await conn.Peek();
          if (!seen) co_return;
          Scope scope;
          scope.RequestStop();
          scope.Spawn(EchoOne(&conn, outcome));
          co_await scope.Join();
        }(std::move(conn), &outcome);
      },
      &clock);
  pair.SetWindow(0);
  pair.Send("hello");
  EXPECT_TRUE(pair.closed());
  EXPECT_EQ(outcome, IoError::kCancelled);
  EXPECT_EQ(keeper.table().buffers().bytes_in_use(), 0u);
}

// A peer that always has more to say and always takes more.
struct Endless final : Transport {
  Endless(int* reads, int* writes) : reads(reads), writes(writes) {}
  ssize_t Read(char* data, size_t size) override {
    ++*reads;
    memset(data, 'x', size);
    return static_cast<ssize_t>(size);
  }
  ssize_t Write(const iovec* parts, int /*count*/) override {
    ++*writes;
    return static_cast<ssize_t>(parts[0].iov_len);
  }
  ssize_t ReadUrgent(char* /*byte*/) override { return -EINVAL; }
  ssize_t WriteUrgent(char /*byte*/) override { return 1; }
  int64_t Unsent() override { return 0; }
  void ShutdownWrite() override {}

  int* const reads;
  int* const writes;
};

Task<> Tick(Connection* conn) {
  while (true) {
    const IoError error = co_await conn->Write("tick");
    if (error != IoError::kOk) co_return;
  }
}

Task<> Duplex(Connection conn) {
  Scope scope;
  scope.SpawnBare(Tick(&conn));
  while (true) {
    const ReadResult result =
        co_await conn.ReadExactly(ConnectionTable::kSharedBufferBytes);
    if (!result) break;
  }
  co_await scope.Join();
}

TEST(ConnectionFault, AReaderAndAWriterInHasteShareEachTurn) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  ConnectionTable table(*loop, {});
  const uint16_t settings = table.AddSettings({});
  int reads = 0;
  int writes = 0;
  internal::ConnectionCore* core =
      table.Add(std::make_unique<Endless>(&reads, &writes), settings);
  const uint32_t index = core->index;
  const uint32_t generation = core->generation;
  Scope scope;
  scope.SpawnBare(Duplex(Connection(core)));
  table.OnEvents(index, generation, EPOLLIN | EPOLLOUT);
  for (int turn = 0; turn < 20; ++turn) {
    reads = writes = 0;
    loop->Turn(/*wait=*/false);
    EXPECT_EQ(writes, ConnectionTable::kBudget) << "turn " << turn;
    EXPECT_EQ(reads, ConnectionTable::kBudget) << "turn " << turn;
  }
  table.Abort();
  while (scope.live() > 0) loop->Turn(/*wait=*/false);
}

// Two socket pairs in one table, for what one connection does to another.
class TwoConnections : public ::testing::Test {
 protected:
  TwoConnections() {
    for (int i = 0; i < 2; ++i) {
      int ends[2];
      PCHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                        ends) == 0);
      ours_[i].reset(ends[0]);
      peers_[i].reset(ends[1]);
    }
  }
  void TearDown() override {
    table_.Abort();
    while (scope_.live() > 0) loop_->Turn(/*wait=*/false);
  }

  Connection Open(int which) {
    int error = 0;
    internal::ConnectionCore* core =
        table_.Add(std::move(ours_[which]), table_.AddSettings({}), &error);
    PCHECK(core != nullptr);
    return Connection(core);
  }
  void Say(int which, absl::string_view bytes) {
    ASSERT_EQ(write(peers_[which].get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  // Runs what can be run without more input.
  void Settle() {
    do {
      loop_->Turn(/*wait=*/false);
    } while (loop_->HasReady());
  }

  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  // So little memory that no buffer can be had.
  ConnectionTable table_{*loop_, {.max_buffer_bytes = 16}};
  Scope scope_;
  UniqueFd ours_[2];
  UniqueFd peers_[2];
};

Task<> ReadInTwo(Connection conn, absl::Duration pause, std::string* log) {
  const ReadResult head = co_await conn.ReadExactly(2);
  *log = Describe(head);
  if (pause > absl::ZeroDuration() && co_await Sleep(pause) != IoError::kOk)
    co_return;
  const ReadResult rest =
      co_await conn.ReadExactly(10, {.timeout = absl::InfiniteDuration()});
  *log = Describe(rest);
}

Task<> ReadOnce(Connection conn) {
  const ReadResult read = co_await conn.ReadSome();
  EXPECT_TRUE(read || read.error() == IoError::kCancelled);
}

TEST_F(TwoConnections, LostBytesFailTheNextRead) {
  std::string log;
  scope_.SpawnBare(ReadInTwo(Open(0), absl::Seconds(1), &log));
  scope_.SpawnBare(ReadOnce(Open(1)));
  Settle();
  Say(0, "hello");
  Settle();
  Say(1, "x");  // takes the place of "llo", for which there is no other
  Settle();
  EXPECT_EQ(log, "he");
  clock_.Advance(absl::Seconds(2));
  Settle();
  EXPECT_EQ(log, "overload");
}

TEST_F(TwoConnections, LostBytesFailTheReadThatWaitsForTheRest) {
  std::string log;
  scope_.SpawnBare(ReadInTwo(Open(0), absl::ZeroDuration(), &log));
  scope_.SpawnBare(ReadOnce(Open(1)));
  Settle();
  Say(0, "hello");
  Settle();
  EXPECT_EQ(log, "he");
  Say(1, "x");
  Settle();
  EXPECT_EQ(log, "overload");
}

TEST(ConnectionFault, ATransportMayReadLessThanItHas) {
  SimulatedClock clock;
  Pair pair(Echo, &clock);
  pair.SetReadLimit(2);
  pair.Send("hello");
  EXPECT_EQ(pair.Received(), "hello");
}

TEST(ConnectionFault, AnUrgentByteThatWaitsToBeSentStaysItself) {
  SimulatedClock clock;
  Pair first(Echo, &clock);
  Pair second(Echo, &clock);
  first.SetWindow(0);
  second.SetWindow(0);
  first.SendUrgent('A');
  second.SendUrgent('B');
  first.SetWindow(100);
  EXPECT_EQ(first.Received(), "A");
}

TEST(ConnectionFault, AnImportedIdleDeadlineEndsWithTheFirstActivity) {
  SimulatedClock clock;
  ConnectionImage image;
  image.unread = "left";
  image.idle_left = absl::Seconds(1);
  Pair pair(Echo, &clock, {.idle_timeout = absl::Seconds(60)}, image);
  EXPECT_EQ(pair.Received(), "left");
  pair.Advance(absl::Seconds(59));
  EXPECT_FALSE(pair.closed());
  pair.Advance(absl::Seconds(2));
  EXPECT_TRUE(pair.closed());
}

// The first wait decides, whatever it waits for.
TEST(ConnectionFault, AnImportedIdleDeadlineIsForTheFirstWaitOnly) {
  SimulatedClock clock;
  ConnectionImage image;
  image.idle_left = absl::Seconds(1);
  Pair pair(
      [](Connection conn) -> Task<> {
        const ReadResult first =
            co_await conn.ReadSome({.timeout = absl::Minutes(1)});
        if (!first) co_return;
        const ReadResult next = co_await conn.ReadSome({.idle = true});
        if (!next) co_return;
        const IoError written = co_await conn.Write("still here");
        EXPECT_EQ(written, IoError::kOk);
      },
      &clock, {.idle_timeout = absl::Seconds(60)}, image);
  pair.Advance(absl::Seconds(10));
  pair.Send("a");
  EXPECT_FALSE(pair.closed());
  pair.Advance(absl::Seconds(50));
  pair.Send("b");
  EXPECT_EQ(pair.Received(), "still here");
}

TEST_F(TwoConnections, EmptyPartsAreNoEndOfAnything) {
  IoError outcome = IoError::kEof;
  scope_.SpawnBare([](Connection conn, IoError* outcome) -> Task<> {
    std::vector<absl::string_view> parts(100, "");
    parts.push_back("body");
    parts.push_back("");
    *outcome = co_await conn.WriteParts(parts);
  }(Open(0), &outcome));
  Settle();
  EXPECT_EQ(outcome, IoError::kOk);
  char bytes[16];
  EXPECT_EQ(read(peers_[0].get(), bytes, sizeof(bytes)), 4);
}

TEST_F(TwoConnections, AFileThatCannotBeReadIsNoReset) {
  UniqueFd folder(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  IoError outcome = IoError::kOk;
  scope_.SpawnBare([](Connection conn, int file, IoError* outcome) -> Task<> {
    *outcome = co_await conn.WriteFile(file, 0, 100);
  }(Open(0), folder.get(), &outcome));
  Settle();
  EXPECT_EQ(outcome, IoError::kFileError);
}

TEST_F(TwoConnections, AFileToAPeerThatIsGoneIsAResetAndNoSignal) {
  UniqueFd file(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  IoError outcome = IoError::kOk;
  Connection conn = Open(0);
  peers_[0].reset();
  scope_.SpawnBare([](Connection conn, int file, IoError* outcome) -> Task<> {
    *outcome = co_await conn.WriteFile(file, 0, 10);
  }(std::move(conn), file.get(), &outcome));
  Settle();
  EXPECT_EQ(outcome, IoError::kReset);
}

Task<> Nothing() { co_return; }
Task<std::string> ReadText(Connection* conn) {
  const ReadResult result = co_await conn->ReadSome();
  co_return Describe(result);
}

// Others read while the losers of a race end.
template <typename... T>
concept CanRace = requires(T... tasks) { WhenAny(std::move(tasks)...); };
static_assert(!CanRace<Task<ReadResult>, Task<>>);
static_assert(CanRace<Task<std::string>, Task<>>);

TEST(ConnectionFault, ALaterTaskOfADecidedRaceTakesNoBytes) {
  SimulatedClock clock;
  std::string rest;
  Pair pair(
      [&](Connection conn) {
        return [](Connection conn, std::string* rest) -> Task<> {
          const ReadResult seen = co_await conn.Peek();
          if (!seen) co_return;
          const auto first = co_await WhenAny(Nothing(), ReadText(&conn));
          EXPECT_EQ(first.index(), 0u);
          const ReadResult result = co_await conn.ReadSome();
          *rest = Describe(result);
        }(std::move(conn), &rest);
      },
      &clock);
  pair.Send("order");
  EXPECT_EQ(rest, "order");
}

TEST(ConnectionFault, AfterAnAbortNothingIsReadOrWritten) {
  SimulatedClock clock;
  std::string read;
  IoError written = IoError::kOk;
  Pair pair(
      [&](Connection conn) {
        return
            [](Connection conn, std::string* read, IoError* written) -> Task<> {
              const ReadResult first = co_await conn.ReadExactly(1);
              if (!first) co_return;
              ConnectionTable::Current().Abort();
              const ReadResult second = co_await conn.ReadExactly(1);
              *read = Describe(second);
              *written = co_await conn.Write("late");
            }(std::move(conn), &read, &written);
      },
      &clock);
  pair.Send("ab");
  EXPECT_EQ(read, "cancelled");
  EXPECT_EQ(written, IoError::kCancelled);
  EXPECT_EQ(pair.Received(), "");
}

// Has state whose encoding may be empty.
struct Flag {
  static constexpr uint32_t kVersion = 1;
  std::string Encode() const { return ""; }
  static absl::StatusOr<Flag> Decode(uint32_t /*version*/,
                                     absl::string_view /*bytes*/) {
    return Flag{.decoded = true};
  }
  bool decoded = false;
};

Task<> Flagged(Connection conn, bool* decoded) {
  *decoded = conn.state<Flag>().decoded;
  while (true) {
    const ReadResult result = co_await conn.ReadSome({.idle = true});
    if (!result) co_return;
  }
}

TEST(ConnectionFault, AnEmptyEncodingIsStateToo) {
  SimulatedClock clock;
  const StreamSettings settings{.state_codec = TypedStateCodec<Flag>::Get()};
  bool decoded = false;
  auto handler = [&](Connection conn) {
    return Flagged(std::move(conn), &decoded);
  };
  Pair old(handler, &clock, settings);
  EXPECT_FALSE(decoded);
  const std::optional<ConnectionImage> image = old.Export();
  ASSERT_TRUE(image.has_value());
  Pair next(handler, &clock, settings, *image);
  EXPECT_TRUE(decoded);
}

void Drive(Pair::Handler handler, bool full) {
  SimulatedClock clock;
  Pair pair(std::move(handler), &clock);
  if (full) pair.SetWindow(0);
  pair.Send("ab");
}

TEST(ConnectionFaultDeathTest, StateMustBeRegistered) {
  EXPECT_DEATH(Drive(
                   [](Connection conn) -> Task<> {
                     conn.state<Flag>().decoded = true;
                     co_return;
                   },
                   false),
               "registered without this state");
}

TEST(ConnectionFaultDeathTest, NoMoreIsConsumedThanIsUnread) {
  EXPECT_DEATH(Drive(
                   [](Connection conn) -> Task<> {
                     const ReadResult seen = co_await conn.Peek();
                     if (seen) conn.Consume(seen.size() + 1);
                   },
                   false),
               "more consumed than is unread");
}

Task<> WriteOnce(Connection* conn) {
  const IoError error = co_await conn->Write("x");
  EXPECT_EQ(error, IoError::kOk);
}

TEST(ConnectionFaultDeathTest, ThereIsOneWriterAtATime) {
  EXPECT_DEATH(Drive(
                   [](Connection conn) -> Task<> {
                     const ReadResult first = co_await conn.ReadSome();
                     if (!first) co_return;
                     Scope scope;
                     scope.SpawnBare(WriteOnce(&conn));
                     scope.SpawnBare(WriteOnce(&conn));
                     co_await scope.Join();
                   },
                   true),
               "one writer at a time");
}

Task<> ReadInto(Connection* conn) {
  const ReadResult result = co_await conn->ReadSome();
  EXPECT_TRUE(result);
}

TEST(ConnectionFaultDeathTest, ThereIsOneReaderAtATime) {
  EXPECT_DEATH(Drive(
                   [](Connection conn) -> Task<> {
                     Scope scope;
                     scope.SpawnBare(ReadInto(&conn));
                     scope.SpawnBare(ReadInto(&conn));
                     co_await scope.Join();
                   },
                   false),
               "one reader at a time");
}

}  // namespace
}  // namespace baton
