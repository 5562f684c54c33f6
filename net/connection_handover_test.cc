// A connection on its way to another process, seen from the one that it leaves:
// real sockets, simulated time.

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/clock.h"
#include "net/connection.h"
#include "net/event_loop.h"
#include "net/scope.h"
#include "net/with_deadline.h"

namespace baton {
namespace {

using internal::ConnectionCore;

// Remembers which connections were offered.
struct Offers final : SafePointObserver {
  void OnSafePoint(ConnectionCore& core) override { cores.push_back(&core); }

  std::vector<ConnectionCore*> cores;
};

// What a handler shares with the test.
struct Shared {
  Connection* conn = nullptr;  // while the handler lives
  std::string log;             // how its reads ended
  std::optional<IoError> written;
  Scope* writers = nullptr;
};

Task<> Echo(Connection conn, Shared* shared) {
  while (true) {
    const ReadResult chunk = co_await conn.ReadSome({.idle = true});
    if (!chunk) {
      shared->log += std::string(IoErrorName(chunk.error()));
      break;
    }
    if (co_await conn.Write(*chunk) != IoError::kOk) break;
  }
}

class ConnectionHandoverTest : public ::testing::Test {
 protected:
  struct Served {
    ConnectionCore* core;
    UniqueFd peer;
  };

  void TearDown() override {
    table_.Abort();
    while (scope_.live() > 0) loop_->Turn(/*wait=*/false);
  }

  Served Serve(Task<> (*handler)(Connection, Shared*) = Echo,
               const StreamSettings& settings = {}) {
    int ends[2];
    PCHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                      ends) == 0);
    Served served{nullptr, UniqueFd(ends[1])};
    int error = 0;
    served.core =
        table_.Add(UniqueFd(ends[0]), table_.AddSettings(settings), &error);
    PCHECK(served.core != nullptr);
    scope_.SpawnBare(handler(Connection(served.core), &shared_));
    Settle();
    return served;
  }
  // Runs what can be run without more input, and a little longer than a tick.
  void Settle() {
    for (int i = 0; i < 3; ++i) {
      do {
        loop_->Turn(/*wait=*/false);
      } while (loop_->HasReady());
      clock_.Advance(absl::Milliseconds(5));
    }
  }
  void Advance(absl::Duration by) {
    clock_.Advance(by);
    Settle();
  }
  static void Say(const Served& served, absl::string_view bytes) {
    ASSERT_EQ(write(served.peer.get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  // What has come to the peer; "end" at the end of the stream.
  static std::string Heard(const Served& served) {
    char bytes[65536];
    const ssize_t size = read(served.peer.get(), bytes, sizeof(bytes));
    if (size == 0) return "end";
    return size < 0 ? "" : std::string(bytes, static_cast<size_t>(size));
  }

  SimulatedClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(&clock_).value();
  ConnectionTable table_{*loop_, {}};
  Shared shared_;
  Offers offers_;
  Scope scope_;
};

TEST_F(ConnectionHandoverTest, OneThatIsReattachedAnswersWhatCameMeanwhile) {
  const Served served = Serve();
  Say(served, "one");
  Settle();
  EXPECT_EQ(Heard(served), "one");
  ASSERT_TRUE(table_.CanDetach(*served.core));
  EXPECT_EQ(table_.Detach(*served.core), served.core->fd);
  EXPECT_FALSE(table_.CanDetach(*served.core)) << "it is gone already";
  Say(served, "two");
  Settle();
  EXPECT_EQ(Heard(served), "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(Heard(served), "two");
  Say(served, "three");
  Settle();
  EXPECT_EQ(Heard(served), "three");
  EXPECT_EQ(shared_.log, "");
  const TrafficCounters& counters = table_.counters();
  EXPECT_EQ(counters.open.value(), 1);
  EXPECT_EQ(counters.handed_over.value(), 0u);
}

TEST_F(ConnectionHandoverTest, APeerThatWentMeanwhileIsNoticedAfterReattach) {
  Served served = Serve();
  table_.Detach(*served.core);
  served.peer.reset();
  Settle();
  EXPECT_EQ(shared_.log, "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.log, "eof");
  EXPECT_EQ(table_.counters().closed.value(), 1u);
}

// Whoever reads first takes the other one out of epoll.
ConnectionCore* rivals[2];
Task<> DetachTheOther(Connection conn, Shared* shared) {
  while (true) {
    const ReadResult chunk = co_await conn.ReadSome({.idle = true});
    if (!chunk) break;
    shared->log += std::string(*chunk);
    for (ConnectionCore* core : rivals) {
      if (ConnectionTable::Current().CanDetach(*core))
        ConnectionTable::Current().Detach(*core);
    }
  }
}

TEST_F(ConnectionHandoverTest, AnEventOfTheSameBatchFindsNothingToRead) {
  const Served first = Serve(DetachTheOther);
  const Served second = Serve(DetachTheOther);
  rivals[0] = first.core;
  rivals[1] = second.core;
  Say(first, "x");
  Say(second, "x");
  Settle();
  EXPECT_EQ(shared_.log, "x");
  EXPECT_NE(first.core->IsMoving(), second.core->IsMoving());
  ConnectionCore& moving = first.core->IsMoving() ? *first.core : *second.core;
  char byte;
  EXPECT_EQ(recv(moving.fd, &byte, 1, MSG_PEEK), 1) << "it was read";
  EXPECT_EQ(moving.bytes_in, 0u);
  EXPECT_EQ(table_.Reattach(moving), 0);
  Settle();
  EXPECT_EQ(shared_.log, "xx");
}

TEST_F(ConnectionHandoverTest, AnIdleDeadlinePassesWhenItIsKnownWhoseItIs) {
  const Served served = Serve(Echo, {.idle_timeout = absl::Seconds(1)});
  table_.Detach(*served.core);
  Advance(absl::Seconds(5));
  EXPECT_EQ(shared_.log, "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.log, "timeout");
  EXPECT_EQ(table_.counters().reaped_idle.value(), 1u);
  EXPECT_EQ(Heard(served), "end");
}

// Its answer comes as an event, and behind events come timers.
struct ReattachOnEvent final : EventHandler {
  void OnEvents(uint32_t /*events*/) override {
    EXPECT_EQ(ConnectionTable::Current().Reattach(*core), 0);
  }
  ConnectionCore* core = nullptr;
};

TEST_F(ConnectionHandoverTest, OneThatHasSpokenMeanwhileIsNotReaped) {
  const Served served = Serve(Echo, {.idle_timeout = absl::Seconds(1)});
  table_.Detach(*served.core);
  ReattachOnEvent answer;
  answer.core = served.core;
  const UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const FdWatch watch =
      FdWatch::Start(*loop_, event.get(), EPOLLIN, &answer).value();
  Say(served, "alive");
  Advance(absl::Seconds(5));
  ASSERT_EQ(eventfd_write(event.get(), 1), 0);
  clock_.Advance(absl::Milliseconds(50));
  Settle();
  EXPECT_EQ(Heard(served), "alive");
  EXPECT_EQ(shared_.log, "");
}

TEST_F(ConnectionHandoverTest, WhatIsLeftOfTheIdleTimeGoesAlong) {
  const Served served = Serve(Echo, {.idle_timeout = absl::Seconds(10)});
  Advance(absl::Seconds(4));
  const ConnectionImage image = table_.Export(*served.core);
  EXPECT_GT(image.idle_left, absl::Milliseconds(5'900));
  EXPECT_LT(image.idle_left, absl::Milliseconds(6'100));
  EXPECT_GT(image.age, absl::Milliseconds(3'900));
  UniqueFd copy(dup(table_.Detach(*served.core)));
  table_.GiveAway(*served.core);
  Settle();
  shared_.log.clear();
  const auto next = table_.Import(
      std::move(copy), table_.AddSettings({.idle_timeout = absl::Seconds(10)}),
      image);
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_GT(table_.AgeOf(**next), absl::Milliseconds(3'900));
  scope_.SpawnBare(Echo(Connection(*next), &shared_));
  Advance(absl::Milliseconds(5'700));
  EXPECT_EQ(shared_.log, "");
  Advance(absl::Milliseconds(400));
  EXPECT_EQ(shared_.log, "timeout");
}

// --- operations that end, or begin, while nobody knows whose it is

Task<> IdleOnce(Connection* conn, Shared* shared) {
  const ReadResult read = co_await conn->ReadSome({.idle = true});
  shared->log += std::string(read ? *read : IoErrorName(read.error()));
}

Task<> IdleForASecond(Connection conn, Shared* shared) {
  co_await WithDeadline(absl::Seconds(1), IdleOnce(&conn, shared));
  shared->log += ", ";
  co_await IdleOnce(&conn, shared);
}

TEST_F(ConnectionHandoverTest, ACancellationIsDeliveredAfterReattach) {
  const Served served = Serve(IdleForASecond);
  table_.Detach(*served.core);
  Advance(absl::Seconds(2));
  EXPECT_EQ(shared_.log, "");
  Say(served, "x");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.log, "cancelled, x") << "nothing that came is lost";
}

TEST_F(ConnectionHandoverTest, ACancellationOfOneThatIsGoneIsItsEnd) {
  const Served served = Serve(IdleForASecond);
  table_.Detach(*served.core);
  Advance(absl::Seconds(2));
  EXPECT_EQ(shared_.log, "");
  table_.GiveAway(*served.core);
  Settle();
  EXPECT_EQ(shared_.log, "draining, draining");
}

// One task waits for the client, others may write.
Task<> Duplex(Connection conn, Shared* shared) {
  Scope writers;
  shared->conn = &conn;
  shared->writers = &writers;
  while (shared->log.empty()) co_await IdleOnce(&conn, shared);
  shared->conn = nullptr;
  co_await writers.Join();
  shared->writers = nullptr;
}

Task<> Push(Connection* conn, std::string text, std::optional<IoError>* end) {
  *end = co_await conn->Write(text);
}

TEST_F(ConnectionHandoverTest, AWriteMeanwhileGoesOutAfterReattach) {
  const Served served = Serve(Duplex);
  table_.Detach(*served.core);
  shared_.writers->Spawn(Push(shared_.conn, "late", &shared_.written));
  Advance(absl::Minutes(1));
  EXPECT_FALSE(shared_.written.has_value());
  EXPECT_EQ(Heard(served), "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.written, IoError::kOk);
  EXPECT_EQ(Heard(served), "late");
}

TEST_F(ConnectionHandoverTest, AWriteMeanwhileOnOneThatIsGoneIsNotSent) {
  const Served served = Serve(Duplex);
  const UniqueFd copy(dup(table_.Detach(*served.core)));
  shared_.writers->Spawn(Push(shared_.conn, "late", &shared_.written));
  Settle();
  EXPECT_FALSE(shared_.written.has_value());
  table_.GiveAway(*served.core);
  Settle();
  EXPECT_EQ(shared_.written, IoError::kDraining);
  EXPECT_EQ(shared_.log, "draining");
  EXPECT_EQ(Heard(served), "") << "the other process has sent nothing";
}

TEST_F(ConnectionHandoverTest, ACancelledWriteIsNotSentAfterReattach) {
  const Served served = Serve(Duplex);
  table_.Detach(*served.core);
  shared_.writers->Spawn(Push(shared_.conn, "late", &shared_.written));
  shared_.writers->RequestStop();
  Settle();
  EXPECT_FALSE(shared_.written.has_value());
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.written, IoError::kCancelled);
  EXPECT_EQ(Heard(served), "");
}

TEST_F(ConnectionHandoverTest, OneThatIsGivenAwayIsClosedHereOnly) {
  const Served served = Serve();
  const UniqueFd copy(dup(table_.Detach(*served.core)));
  table_.GiveAway(*served.core);
  Settle();
  EXPECT_EQ(shared_.log, "draining");
  const TrafficCounters& counters = table_.counters();
  EXPECT_EQ(counters.open.value(), 0);
  EXPECT_EQ(counters.closed.value(), 0u);
  EXPECT_EQ(counters.handed_over.value(), 1u);
  EXPECT_EQ(table_.open(), 0u);
  ASSERT_EQ(write(copy.get(), "on", 2), 2);
  EXPECT_EQ(Heard(served), "on") << "and the client has not noticed";
  EXPECT_EQ(Heard(served), "");
  Say(served, "x");
  Settle();
  EXPECT_EQ(loop_->stale_events(), 0u) << "it is in our epoll still";
}

// --- offers

// A first byte is a request that takes a second one to be answered.
Task<> TwoByTwo(Connection conn, Shared* /*shared*/) {
  while (true) {
    const ReadResult first = co_await conn.ReadExactly(1, {.idle = true});
    if (!first) break;
    const ReadResult second = co_await conn.ReadExactly(1);
    if (!second || co_await conn.Write(*second) != IoError::kOk) break;
  }
}

TEST_F(ConnectionHandoverTest, IdleOnesAreOfferedAtOnceAndOthersWhenTheyAre) {
  const Served idle = Serve(TwoByTwo), busy = Serve(TwoByTwo);
  Say(busy, "1");
  Settle();
  EXPECT_TRUE(offers_.cores.empty());
  table_.BeginHandover(&offers_);
  EXPECT_EQ(offers_.cores, std::vector<ConnectionCore*>{idle.core});
  Settle();
  EXPECT_EQ(offers_.cores.size(), 1u);
  Say(busy, "2");
  Settle();
  ASSERT_EQ(offers_.cores.size(), 2u);
  EXPECT_EQ(offers_.cores[1], busy.core);
  EXPECT_TRUE(table_.CanDetach(*busy.core));
}

TEST_F(ConnectionHandoverTest, OneIsOfferedOnceUntilTheOfferIsForgotten) {
  const Served served = Serve();
  table_.BeginHandover(&offers_);
  Say(served, "x");
  Settle();
  EXPECT_EQ(Heard(served), "x");
  EXPECT_EQ(offers_.cores.size(), 1u) << "it was told twice";
  table_.ForgetOffer(*served.core);
  Settle();
  EXPECT_EQ(offers_.cores.size(), 1u) << "nothing has happened to it";
  Say(served, "x");
  Settle();
  EXPECT_EQ(offers_.cores.size(), 2u);
  table_.BeginHandover(&offers_);
  EXPECT_EQ(offers_.cores.size(), 3u) << "a new beginning offers all";
}

TEST_F(ConnectionHandoverTest, OneThatCameDuringTheHandoverIsOfferedToo) {
  table_.BeginHandover(&offers_);
  const Served served = Serve();
  EXPECT_EQ(offers_.cores, std::vector<ConnectionCore*>{served.core});
}

// More than the socket takes.
constexpr size_t kMuch = 1'000'000;

std::string HearAll(EventLoop& loop, const UniqueFd& peer, size_t size) {
  std::string heard;
  char bytes[65536];
  while (heard.size() < size) {
    const ssize_t got = read(peer.get(), bytes, sizeof(bytes));
    if (got > 0) heard.append(bytes, static_cast<size_t>(got));
    loop.Turn(/*wait=*/false);
  }
  return heard;
}

TEST_F(ConnectionHandoverTest, OneWhoseWriterWasBlockedIsOfferedAfterTheWrite) {
  const Served served = Serve(Duplex);
  shared_.writers->Spawn(
      Push(shared_.conn, std::string(kMuch, 'w'), &shared_.written));
  Settle();
  ASSERT_FALSE(shared_.written.has_value());
  table_.BeginHandover(&offers_);
  EXPECT_TRUE(offers_.cores.empty());
  EXPECT_EQ(HearAll(*loop_, served.peer, kMuch).size(), kMuch);
  EXPECT_EQ(shared_.written, IoError::kOk);
  EXPECT_EQ(offers_.cores, std::vector<ConnectionCore*>{served.core});
  EXPECT_TRUE(table_.CanDetach(*served.core));
}

TEST_F(ConnectionHandoverTest, OneWhoseBlockedWriteIsGivenUpIsOfferedToo) {
  const Served served = Serve(Duplex);
  shared_.writers->Spawn(
      Push(shared_.conn, std::string(kMuch, 'w'), &shared_.written));
  table_.BeginHandover(&offers_);
  EXPECT_TRUE(offers_.cores.empty());
  shared_.writers->RequestStop();
  Settle();
  EXPECT_EQ(shared_.written, IoError::kCancelled);
  EXPECT_EQ(offers_.cores, std::vector<ConnectionCore*>{served.core});
}

// --- other ends

TEST_F(ConnectionHandoverTest, ADrainWaitsForOneThatMayComeBack) {
  const Served served = Serve();
  Say(served, "x");
  Settle();
  EXPECT_EQ(Heard(served), "x");
  table_.BeginHandover(&offers_);
  table_.Detach(*served.core);
  table_.BeginDrain();
  Advance(2 * ConnectionTable::kFirstByteGrace);
  EXPECT_EQ(shared_.log, "");
  Say(served, "y");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(Heard(served), "y") << "what has come is answered";
  EXPECT_EQ(shared_.log, "draining");
  EXPECT_EQ(Heard(served), "end");
}

TEST_F(ConnectionHandoverTest, ADrainEndsASilentOneThatComesBack) {
  const Served served = Serve();
  table_.BeginHandover(&offers_);
  table_.Detach(*served.core);
  table_.BeginDrain();
  Advance(2 * ConnectionTable::kFirstByteGrace);
  EXPECT_EQ(shared_.log, "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(shared_.log, "draining");
}

TEST_F(ConnectionHandoverTest, AnAbortEndsWhatIsMovingAndLeavesItToTheOther) {
  const Served served = Serve(Duplex);
  const UniqueFd copy(dup(table_.Detach(*served.core)));
  shared_.writers->Spawn(Push(shared_.conn, "late", &shared_.written));
  table_.Abort();
  Settle();
  EXPECT_EQ(shared_.log, "cancelled");
  EXPECT_EQ(shared_.written, IoError::kCancelled);
  EXPECT_EQ(scope_.live(), 0u);
  EXPECT_EQ(Heard(served), "") << "the other process may serve it";
}

// The answer and the order to stop come in one turn of the loop.
TEST_F(ConnectionHandoverTest, AnAnswerRightAfterAnAbortDoesNoHarm) {
  const Served back = Serve(), gone = Serve();
  table_.Detach(*back.core);
  const UniqueFd copy(dup(table_.Detach(*gone.core)));
  table_.Abort();
  EXPECT_EQ(table_.Reattach(*back.core), 0);
  table_.GiveAway(*gone.core);
  Settle();
  EXPECT_EQ(scope_.live(), 0u);
  EXPECT_EQ(Heard(back), "end");
  EXPECT_EQ(Heard(gone), "");
  EXPECT_EQ(table_.counters().closed.value(), 1u);
  EXPECT_EQ(table_.counters().handed_over.value(), 1u);
}

struct Unreadable {
  static constexpr uint32_t kVersion = 1;
  std::string Encode() const { return "x"; }
  static absl::StatusOr<Unreadable> Decode(uint32_t /*version*/,
                                           absl::string_view /*bytes*/) {
    return absl::InvalidArgumentError("a state of another world");
  }
};

TEST_F(ConnectionHandoverTest, OneThatIsNotImportedLeavesNothingBehind) {
  const Served served = Serve();
  const UniqueFd copy(dup(served.core->fd));
  ConnectionImage image;
  image.state = "x";
  const auto refused = table_.Import(
      UniqueFd(dup(copy.get())),
      table_.AddSettings({.state_codec = TypedStateCodec<Unreadable>::Get()}),
      image);
  EXPECT_EQ(refused.status().message(), "a state of another world");
  const auto stateless =
      table_.Import(UniqueFd(dup(copy.get())), table_.AddSettings({}), image);
  EXPECT_EQ(stateless.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(table_.open(), 1u);
  EXPECT_EQ(table_.counters().received.value(), 0u);
  EXPECT_EQ(table_.counters().open.value(), 1);
  Say(served, "x");
  Settle();
  EXPECT_EQ(Heard(served), "x");
  EXPECT_EQ(loop_->stale_events(), 0u) << "a refused copy is in epoll still";
}

}  // namespace
}  // namespace baton
