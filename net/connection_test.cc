// Connections over the memory transport: simulated time, bytes split at will.

#include "net/connection.h"

#include <sys/socket.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/scope.h"
#include "net/testing/pair.h"

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

TEST(Connection, EchoesAndEndsWithThePeer) {
  SimulatedClock clock;
  Pair pair(Echo, &clock);
  pair.Send("hello");
  EXPECT_EQ(pair.Received(), "hello");
  pair.Send("again");
  EXPECT_EQ(pair.Received(), "again");
  EXPECT_FALSE(pair.closed());
  pair.CloseWrite();
  EXPECT_TRUE(pair.closed());
}

TEST(Connection, DataAndEndInOneEventAreBothSeen) {
  SimulatedClock clock;
  Pair pair(Echo, &clock);
  pair.SetReadLimit(3);
  pair.Send("abcdefgh");
  pair.CloseWrite();
  EXPECT_EQ(pair.Received(), "abcdefgh");
  EXPECT_TRUE(pair.closed());
}

TEST(Connection, AResetEndsTheHandler) {
  SimulatedClock clock;
  Pair pair(Echo, &clock);
  pair.Reset();
  EXPECT_TRUE(pair.closed());
}

Task<> Lines(Connection conn, Log* log) {
  while (true) {
    const ReadResult line = co_await conn.ReadUntil("\r\n", 16);
    log->push_back(Describe(line));
    if (!line) break;
  }
}

TEST(Connection, ReadUntilAtEverySplit) {
  SimulatedClock clock;
  const std::string input = "one\r\n\r\n0123456789abcd\r\nx\r\n";
  for (size_t split = 0; split <= input.size(); ++split) {
    Log log;
    Pair pair([&](Connection conn) { return Lines(std::move(conn), &log); },
              &clock);
    pair.Send(input.substr(0, split));
    pair.Send(input.substr(split));
    EXPECT_EQ(log, (Log{"one\r\n", "\r\n", "0123456789abcd\r\n", "x\r\n"}))
        << split;
  }
  Log log;
  Pair pair([&](Connection conn) { return Lines(std::move(conn), &log); },
            &clock);
  pair.SendSplit(input);
  EXPECT_EQ(log, (Log{"one\r\n", "\r\n", "0123456789abcd\r\n", "x\r\n"}));
}

TEST(Connection, ReadUntilRefusesWhatIsTooLong) {
  SimulatedClock clock;
  for (bool split : {false, true}) {
    Log log;
    Pair pair([&](Connection conn) { return Lines(std::move(conn), &log); },
              &clock);
    const std::string line = "0123456789abcde\r\n";  // 17 with its end
    split ? pair.SendSplit(line) : pair.Send(line);
    EXPECT_EQ(log, (Log{"<too long>"}));
    EXPECT_TRUE(pair.closed());
  }
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

TEST(Connection, ReadExactlyAtEverySplit) {
  SimulatedClock clock;
  const std::string input = "05hello10abcdefghij01x";
  for (size_t split = 0; split <= input.size(); ++split) {
    Log log;
    Pair pair([&](Connection conn) { return Messages(std::move(conn), &log); },
              &clock);
    pair.Send(input.substr(0, split));
    pair.Send(input.substr(split));
    pair.CloseWrite();
    EXPECT_EQ(log, (Log{"hello", "abcdefghij", "x", "<eof>"})) << split;
  }
}

// What is left over stands in the shared buffer until another connection reads,
// then in a buffer of its own.
TEST(Connection, LeftOverBytesSurviveTheReadsOfOthers) {
  SimulatedClock clock;
  Log log_a, log_b;
  Pair a([&](Connection conn) { return Messages(std::move(conn), &log_a); },
         &clock);
  Pair b([&](Connection conn) { return Messages(std::move(conn), &log_b); },
         &clock);
  a.Send("05hel");
  b.Send("04wo");
  a.Send("lo02x");
  b.Send("rd");
  a.Send("y");
  EXPECT_EQ(log_a, (Log{"hello", "xy"}));
  EXPECT_EQ(log_b, (Log{"word"}));
  EXPECT_EQ(a.table().buffers().bytes_in_use(), 0u)
      << "an idle connection holds no buffer";
}

TEST(Connection, AMessageLargerThanTheSharedBuffer) {
  SimulatedClock clock;
  constexpr uint32_t kSize = 300'000;
  std::string got;
  Pair pair(
      [&](Connection conn) {
        return [](Connection conn, std::string* got) -> Task<> {
          const ReadResult result = co_await conn.ReadExactly(kSize);
          if (result) *got = std::string(*result);
        }(std::move(conn), &got);
      },
      &clock);
  std::string sent(kSize, ' ');
  for (size_t i = 0; i < sent.size(); ++i)
    sent[i] = static_cast<char>('a' + i % 23);
  for (size_t i = 0; i < sent.size(); i += 7777)
    pair.Send(absl::string_view(sent).substr(i, 7777));
  EXPECT_TRUE(got == sent);
}

TEST(Connection, PeekConsumesNothing) {
  SimulatedClock clock;
  Log log;
  Pair pair(
      [&](Connection conn) {
        return [](Connection conn, Log* log) -> Task<> {
          const ReadResult peeked = co_await conn.Peek(4);
          log->push_back(Describe(peeked));
          conn.Consume(2);
          const ReadResult rest = co_await conn.ReadSome();
          log->push_back(Describe(rest));
          const ReadResult end = co_await conn.Peek(4);
          log->push_back(Describe(end));
        }(std::move(conn), &log);
      },
      &clock);
  pair.SendSplit("abcd");
  pair.Send("xyz");
  pair.CloseWrite();
  EXPECT_EQ(log, (Log{"abcd", "cd", "<eof>"}));
}

TEST(Connection, AFullPeerSuspendsTheWriteAndLosesNothing) {
  SimulatedClock clock;
  Pair pair(Echo, &clock);
  Pair other(Echo, &clock);
  pair.SetWindow(3);
  pair.Send("abcdefgh");
  other.Send("overwrites the shared buffer");
  EXPECT_EQ(pair.Received(), "abc");
  EXPECT_GT(pair.table().buffers().bytes_in_use(), 0u);
  pair.SetWindow(2);
  EXPECT_EQ(pair.Received(), "de");
  pair.SetWindow(100);
  EXPECT_EQ(pair.Received(), "fgh");
  EXPECT_EQ(pair.table().buffers().bytes_in_use(), 0u);
}

TEST(Connection, AWriterWhosePeerTakesNothingIsDropped) {
  SimulatedClock clock;
  Pair pair(Echo, &clock, {.write_timeout = absl::Seconds(20)});
  pair.SetWindow(0);
  pair.SetUnsent(1000);
  pair.Send("x");
  pair.Advance(absl::Seconds(19));
  EXPECT_FALSE(pair.closed());
  pair.Advance(absl::Seconds(3));
  EXPECT_TRUE(pair.closed());
  EXPECT_EQ(pair.table().counters().write_timeouts.value(), 1u);
}

TEST(Connection, AWriterWhosePeerTakesALittleIsKept) {
  SimulatedClock clock;
  Pair pair(Echo, &clock, {.write_timeout = absl::Seconds(20)});
  pair.SetWindow(0);
  pair.Send("x");
  for (int64_t unsent = 1000; unsent > 990; --unsent) {
    pair.SetUnsent(unsent);
    pair.Advance(absl::Seconds(15));
  }
  EXPECT_FALSE(pair.closed());
  pair.SetWindow(10);
  EXPECT_EQ(pair.Received(), "x");
}

TEST(Connection, WritePartsInPieces) {
  SimulatedClock clock;
  Pair pair(
      [](Connection conn) -> Task<> {
        std::vector<std::string> strings;
        for (int i = 0; i < 200; ++i)
          strings.push_back(std::string(static_cast<size_t>(i % 5),
                                        static_cast<char>('a' + i % 26)));
        std::vector<absl::string_view> parts(strings.begin(), strings.end());
        const IoError error = co_await conn.WriteParts(parts);
        EXPECT_EQ(error, IoError::kOk);
      },
      &clock);
  std::string expected;
  for (int i = 0; i < 200; ++i)
    expected.append(static_cast<size_t>(i % 5),
                    static_cast<char>('a' + i % 26));
  EXPECT_EQ(pair.Received(), expected);

  Pair slow(
      [](Connection conn) -> Task<> {
        const ReadResult name = co_await conn.ReadSome();
        const absl::string_view parts[] = {"hello ", *name, "", "!"};
        const IoError error = co_await conn.WriteParts(parts);
        EXPECT_EQ(error, IoError::kOk);
      },
      &clock);
  slow.SetWindow(8);
  slow.Send("world");
  Pair(Echo, &clock).Send("overwrite");
  std::string got = slow.Received();
  for (int i = 0; i < 10; ++i) {
    slow.SetWindow(1);
    got += slow.Received();
  }
  EXPECT_EQ(got, "hello world!");
}

TEST(Connection, UrgentBytesComeOutOfBandOrNotAtAll) {
  SimulatedClock clock;
  Log log;
  auto reader = [&](bool urgent) {
    return [&log, urgent](Connection conn) {
      return [](Connection conn, Log* log, bool urgent) -> Task<> {
        while (auto chunk = co_await conn.ReadSome({.urgent = urgent}))
          log->push_back(Describe(chunk));
      }(std::move(conn), &log, urgent);
    };
  };
  {
    Pair pair(reader(true), &clock);
    pair.Send("ab");
    pair.SendUrgent('!');
    pair.Send("cd");
  }
  EXPECT_EQ(log, (Log{"ab", "urgent:!", "cd"}));
  log.clear();
  {
    Pair pair(reader(false), &clock);
    pair.Send("ab");
    pair.SendUrgent('!');
    pair.Send("cd");
  }
  EXPECT_EQ(log, (Log{"ab", "cd"}));
}

TEST(Connection, WriteUrgent) {
  SimulatedClock clock;
  Pair pair(
      [](Connection conn) -> Task<> {
        const IoError error = co_await conn.WriteUrgent('?');
        EXPECT_EQ(error, IoError::kOk);
      },
      &clock);
  EXPECT_EQ(pair.ReceivedUrgent(), "?");
}

TEST(Connection, NoBufferMemoryIsAnAnswerNotACrash) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  ConnectionTable table(*loop, {.counters = nullptr, .max_buffer_bytes = 100});
  Scope scope;
  int fds[2];
  ASSERT_EQ(
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
      0);
  UniqueFd peer(fds[1]);
  int error = 0;
  internal::ConnectionCore* core =
      table.Add(UniqueFd(fds[0]), table.AddSettings({}), &error);
  ASSERT_NE(core, nullptr);
  IoError end = IoError::kOk;
  scope.Spawn([](Connection conn, IoError* end) -> Task<> {
    const ReadResult result = co_await conn.ReadExactly(1'000'000);
    *end = result.error();
  }(Connection(core), &end));
  const std::string much(100'000, 'x');
  for (size_t sent = 0; sent < much.size() && scope.live() > 0;) {
    const ssize_t n =
        send(peer.get(), much.data() + sent, much.size() - sent, MSG_NOSIGNAL);
    if (n > 0) sent += static_cast<size_t>(n);
    loop->Turn(/*wait=*/false);
  }
  EXPECT_EQ(end, IoError::kOverload);
}

}  // namespace
}  // namespace baton
