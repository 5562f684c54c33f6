// When a connection is offered, and how handovers end that are not the rule.

#include <unistd.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/connection_handover_fixture.h"
#include "net/connection_image.h"
#include "net/event_loop.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

using internal::ConnectionCore;

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
