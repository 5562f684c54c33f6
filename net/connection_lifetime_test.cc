// How long connections live: time-outs, drain, cancelling, and going on in
// another worker. Over the memory transport, in simulated time.

#include <sys/socket.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/connection.h"
#include "net/scope.h"
#include "net/sleep.h"
#include "net/testing/pair.h"
#include "net/with_deadline.h"

namespace baton {
namespace {

using testing::Pair;

Task<> Echo(Connection conn) {
  while (auto chunk = co_await conn.ReadSome({.idle = true})) {
    if (co_await conn.Write(*chunk) != IoError::kOk) break;
  }
}

// Notes how each read ends, in `log`.
using Log = std::vector<std::string>;

std::string Describe(const ReadResult& result) {
  return result ? absl::StrCat(result.urgent() ? "urgent:" : "", *result)
                : absl::StrCat("<", IoErrorName(result.error()), ">");
}

// A length of two digits, then that many bytes.
Task<> Messages(Connection conn, Log* log) {
  while (true) {
    const ReadResult head = co_await conn.ReadExactly(2, {.idle = true});
    if (!head) {
      log->push_back(Describe(head));
      co_return;
    }
    uint32_t size = 0;
    if (!absl::SimpleAtoi(*head, &size)) co_return;
    const ReadResult body = co_await conn.ReadExactly(size);
    log->push_back(Describe(body));
    if (!body) co_return;
  }
}

TEST(Connection, AnIdleReadIsReapedAndTheDeadlineMovesWithActivity) {
  SimulatedClock clock;
  Pair pair(Echo, &clock, {.idle_timeout = absl::Seconds(10)});
  for (int i = 0; i < 5; ++i) {
    pair.Advance(absl::Seconds(9));
    pair.Send("x");
    EXPECT_EQ(pair.Received(), "x");
  }
  pair.Advance(absl::Milliseconds(9990));
  EXPECT_FALSE(pair.closed());
  pair.Advance(absl::Milliseconds(20));
  EXPECT_TRUE(pair.closed());
  EXPECT_EQ(pair.table().counters().reaped_idle.value(), 1u);
}

TEST(Connection, AMessageThatStopsHalfwayIsNoIdleConnection) {
  SimulatedClock clock;
  Pair pair(
      [](Connection conn) -> Task<> {
        const ReadResult five = co_await conn.ReadExactly(5);
        EXPECT_EQ(five.error(), IoError::kTimeout);
      },
      &clock, {.idle_timeout = absl::Seconds(10)});
  pair.Send("ab");
  pair.Advance(absl::Seconds(11));
  EXPECT_TRUE(pair.closed());
  EXPECT_EQ(pair.table().counters().read_timeouts.value(), 1u);
  EXPECT_EQ(pair.table().counters().reaped_idle.value(), 0u);
}

TEST(Connection, TimeoutZeroMeansNever) {
  SimulatedClock clock;
  Pair pair(Echo, &clock, {.idle_timeout = absl::ZeroDuration()});
  pair.Advance(absl::Hours(1));
  EXPECT_FALSE(pair.closed());
}

TEST(Connection, ANegativeTimeoutHasRunOut) {
  SimulatedClock clock;
  Log log;
  Pair pair(
      [&](Connection conn) {
        return [](Connection conn, Log* log) -> Task<> {
          const ReadResult result =
              co_await conn.ReadSome({.timeout = absl::Seconds(-1)});
          log->push_back(Describe(result));
        }(std::move(conn), &log);
      },
      &clock);
  pair.Advance(absl::Milliseconds(20));
  EXPECT_EQ(log, (Log{"<timeout>"}));
}

TEST(Connection, AReadHasATimeoutOfItsOwn) {
  SimulatedClock clock;
  Log log;
  Pair pair(
      [&](Connection conn) {
        return [](Connection conn, Log* log) -> Task<> {
          const ReadResult first =
              co_await conn.ReadExactly(3, {.timeout = absl::Seconds(1)});
          log->push_back(Describe(first));
          const ReadResult second = co_await conn.ReadExactly(
              3, {.timeout = absl::InfiniteDuration()});
          log->push_back(Describe(second));
        }(std::move(conn), &log);
      },
      &clock);
  pair.Send("ab");
  pair.Advance(absl::Milliseconds(1100));
  EXPECT_EQ(log, (Log{"<timeout>"}));
  pair.Advance(absl::Hours(2));
  pair.Send("c");
  EXPECT_EQ(log, (Log{"<timeout>", "abc"}));
}

TEST(Connection, TimeInAHandlerIsNotIdle) {
  SimulatedClock clock;
  Pair pair(
      [](Connection conn) -> Task<> {
        while (auto chunk = co_await conn.ReadSome({.idle = true})) {
          std::string reply(*chunk);
          if (co_await Sleep(absl::Minutes(10)) != IoError::kOk) break;
          if (co_await conn.Write(reply) != IoError::kOk) break;
        }
      },
      &clock, {.idle_timeout = absl::Seconds(10)});
  pair.Send("x");
  pair.Advance(absl::Minutes(11));
  EXPECT_EQ(pair.Received(), "x");
  EXPECT_TRUE(pair.closed());  // reaped ten seconds after the reply
}

TEST(Connection, DrainEndsIdleReadsOnly) {
  SimulatedClock clock;
  Log log;
  Pair idle([&](Connection conn) { return Messages(std::move(conn), &log); },
            &clock);
  Log busy_log;
  Pair busy(
      [&](Connection conn) { return Messages(std::move(conn), &busy_log); },
      &clock);
  busy.Send("05he");
  idle.Send("01x");
  idle.Drain();
  EXPECT_EQ(log, (Log{"x", "<draining>"}));
  EXPECT_TRUE(busy_log.empty()) << "half a message is no safe point";
  busy.Send("llo");
  EXPECT_EQ(busy_log, (Log{"hello", "<draining>"}));
  EXPECT_TRUE(busy.closed());
}

// Accepted, and then the drain began before its first bytes were here.
TEST(Connection, AFreshConnectionIsHeardBeforeItIsDrained) {
  SimulatedClock clock;
  Log log, silent_log;
  Pair fresh([&](Connection conn) { return Messages(std::move(conn), &log); },
             &clock);
  Pair silent(
      [&](Connection conn) { return Messages(std::move(conn), &silent_log); },
      &clock);
  fresh.Drain();
  EXPECT_TRUE(log.empty());
  fresh.Advance(absl::Milliseconds(500));
  fresh.Send("05hello");
  EXPECT_EQ(log, (Log{"hello", "<draining>"}));
  EXPECT_TRUE(silent_log.empty());
  fresh.Advance(ConnectionTable::kFirstByteGrace);
  EXPECT_EQ(silent_log, (Log{"<draining>"}));
}

TEST(Connection, CancelWakesAReadAndAWrite) {
  SimulatedClock clock;
  Log log;
  Pair reader([&](Connection conn) { return Messages(std::move(conn), &log); },
              &clock);
  reader.Cancel();
  EXPECT_EQ(log, (Log{"<cancelled>"}));
  Pair writer(Echo, &clock);
  writer.SetWindow(0);
  writer.Send("x");
  writer.Cancel();
  EXPECT_TRUE(writer.closed());
  EXPECT_EQ(writer.table().buffers().bytes_in_use(), 0u);
}

TEST(Connection, ADeadlineOverSeveralReads) {
  SimulatedClock clock;
  Log log;
  Pair pair(
      [&](Connection conn) {
        return [](Connection conn, Log* log) -> Task<> {
          const bool in_time = co_await WithDeadline(
              absl::Seconds(5), Messages(std::move(conn), log));
          log->push_back(in_time ? "in time" : "late");
        }(std::move(conn), &log);
      },
      &clock);
  for (int i = 0; i < 4; ++i) {
    pair.Advance(absl::Milliseconds(1200));
    pair.Send("01x");
  }
  pair.Advance(absl::Seconds(1));
  EXPECT_EQ(log, (Log{"x", "x", "x", "x", "<cancelled>", "late"}));
}

Task<> Ticker(Connection* conn) {
  IoError error = co_await Sleep(absl::Seconds(1));
  while (error == IoError::kOk) {
    error = co_await conn->Write("tick ");
    if (error == IoError::kOk) error = co_await Sleep(absl::Seconds(1));
  }
}

TEST(Connection, OneReaderAndOneWriterTask) {
  SimulatedClock clock;
  Pair pair(
      [](Connection conn) -> Task<> {
        Scope scope;
        scope.Spawn(Ticker(&conn));
        while (auto chunk = co_await conn.ReadSome({.idle = true})) {
          if (*chunk == "stop") break;
        }
        scope.RequestStop();
        co_await scope.Join();
      },
      &clock);
  pair.Advance(absl::Milliseconds(3100));
  EXPECT_EQ(pair.Received(), "tick tick tick ");
  pair.Send("stop");
  EXPECT_TRUE(pair.closed());
}

struct Login {
  static constexpr uint32_t kVersion = 2;
  std::string Encode() const { return user; }
  static absl::StatusOr<Login> Decode(uint32_t version,
                                      absl::string_view bytes) {
    if (version != kVersion)
      return absl::InvalidArgumentError(
          absl::StrCat("login state of version ", version));
    return Login{std::string(bytes)};
  }
  std::string user;
};

Task<> LoginService(Connection conn) {
  if (!conn.resumed() && co_await conn.Write("login: ") != IoError::kOk)
    co_return;
  while (true) {
    const ReadResult line = co_await conn.ReadUntil("\n", 100, {.idle = true});
    if (!line) co_return;
    std::string reply;
    auto& user = conn.state<Login>().user;
    if (user.empty()) {
      user = std::string(line.bytes().substr(0, line.size() - 1));
      reply = "welcome\n";
    } else {
      reply = absl::StrCat(user, ": ", *line);
    }
    if (co_await conn.Write(reply) != IoError::kOk) co_return;
  }
}

TEST(Connection, AnImageGoesOnElsewhere) {
  SimulatedClock clock;
  const StreamSettings settings{.state_codec = TypedStateCodec<Login>::Get()};
  Pair old(LoginService, &clock, settings);
  old.Send("ada\n");
  EXPECT_EQ(old.Received(), "login: welcome\n");
  old.Advance(absl::Seconds(30));
  old.Send("half a li");
  const std::optional<ConnectionImage> image = old.Export();
  ASSERT_TRUE(image.has_value());
  EXPECT_EQ(image->unread, "half a li");
  EXPECT_EQ(image->state, "ada");
  EXPECT_EQ(image->state_version, 2u);
  EXPECT_NEAR(absl::ToDoubleSeconds(image->age), 30, 0.1);

  Pair next(LoginService, &clock, settings, *image);
  EXPECT_EQ(next.Received(), "") << "no second greeting";
  next.Send("ne\n");
  EXPECT_EQ(next.Received(), "ada: half a line\n");
}

TEST(Connection, TheIdleDeadlineGoesAlong) {
  SimulatedClock clock;
  const StreamSettings settings{.idle_timeout = absl::Seconds(60)};
  Pair old(Echo, &clock, settings);
  old.Advance(absl::Seconds(50));
  const std::optional<ConnectionImage> image = old.Export();
  ASSERT_TRUE(image.has_value());
  Pair next(Echo, &clock, settings, *image);
  next.Advance(absl::Seconds(9));
  EXPECT_FALSE(next.closed());
  next.Advance(absl::Seconds(2));
  EXPECT_TRUE(next.closed());
}

TEST(Connection, AnUnreadableStateIsRefused) {
  SimulatedClock clock;
  Pair pair(Echo, &clock);
  ConnectionTable& table = pair.table();
  ConnectionImage image;
  image.state = "ada";
  image.state_version = 3;
  const uint16_t stateless = table.AddSettings({});
  const uint16_t login =
      table.AddSettings({.state_codec = TypedStateCodec<Login>::Get()});
  for (uint16_t settings : {stateless, login}) {
    int fds[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    UniqueFd peer(fds[1]);
    EXPECT_FALSE(table.Import(UniqueFd(fds[0]), settings, image).ok());
  }
  EXPECT_EQ(table.open(), 1u);
  EXPECT_EQ(table.counters().open.value(), 1);
  EXPECT_EQ(table.counters().closed.value(), 0u) << "it has never been one";
}

}  // namespace
}  // namespace baton
