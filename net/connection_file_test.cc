// A connection that moves in the middle of a file: what its client sees, and
// when it may.

#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "net/connection.h"
#include "net/connection_file_fixture.h"
#include "net/connection_image.h"
#include "net/scope.h"

namespace baton {
namespace {

using internal::ConnectionCore;

// --- the stream

class ConnectionFileHopsTest : public ConnectionFileTest,
                               public ::testing::WithParamInterface<bool> {};

TEST_P(ConnectionFileHopsTest, TheClientNoticesNothing) {
  Served served = GetParam() ? ServeFilesOverTcp() : ServeFiles();
  Say(served, "get\nget\n");  // the second one is unread, in our memory
  std::string heard;
  for (size_t hop = 0; hop < 5; ++hop) {
    heard += Hear(served, 100'000 + 1'111 * hop);
    Settle();
    if (hop == 2) Say(served, "get\n");  // unread, in the kernel
    ASSERT_TRUE(ConnectionTable::CanDetach(*served.core)) << hop;
    Move(served);
  }
  EXPECT_EQ(downloads_.log, "draining draining draining draining draining ");
  const std::string whole = "file: " + content_;
  heard += Hear(served, 3 * whole.size() - heard.size());
  EXPECT_TRUE(heard == whole + whole + whole);
  Settle();
  EXPECT_EQ(served.core->bytes_out, 3 * whole.size());
  EXPECT_EQ(served.core->bytes_in, 12u);
  const TrafficCounters& counters = table_.counters();
  EXPECT_EQ(counters.received.value(), 5u);
  EXPECT_EQ(counters.handed_over.value(), 5u);
  EXPECT_EQ(counters.closed.value(), 0u);
  EXPECT_EQ(counters.open.value(), 1);
}

INSTANTIATE_TEST_SUITE_P(All, ConnectionFileHopsTest, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& info) {
                           return info.param ? "Tcp" : "Unix";
                         });

TEST_F(ConnectionFileTest, NothingIsWrittenWhileItMoves) {
  const Served served = ServeFiles();
  Say(served, "get\n");
  Settle();
  const uint64_t sent = served.core->bytes_out;
  ASSERT_LT(sent, kFileBytes);
  table_.Detach(*served.core);
  std::string heard = Hear(served, sent);
  Advance(absl::Minutes(1));
  EXPECT_EQ(Heard(served), "");
  EXPECT_EQ(served.core->bytes_out, sent);
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  heard += Hear(served, 6 + kFileBytes - sent);
  EXPECT_TRUE(heard == "file: " + content_);
  EXPECT_EQ(downloads_.log, "");
}

TEST_F(ConnectionFileTest, AClientThatHasGoneMeanwhileIsNoticed) {
  Served served = ServeFiles(), kept = ServeFiles();
  Say(served, "get\n");
  Say(kept, "get\n");
  Settle();
  table_.Detach(*kept.core);
  Moved moved = TakeAway(served);
  served.peer.reset();
  kept.peer.reset();
  downloads_.log.clear();
  BringBack(served, std::move(moved));
  EXPECT_EQ(downloads_.log, "reset ");
  EXPECT_EQ(table_.Reattach(*kept.core), 0);
  Settle();
  EXPECT_EQ(downloads_.log, "reset reset ");
  EXPECT_EQ(table_.open(), 0u);
}

TEST_F(ConnectionFileTest, AFileThatGotShorterMeanwhileEndsTheConnection) {
  Served served = ServeFiles();
  Say(served, "get\n");
  Settle();
  Moved moved = TakeAway(served);
  const uint64_t sent = moved.image.file->offset;
  PCHECK(ftruncate(file_.get(), static_cast<off_t>(sent + 1000)) == 0);
  BringBack(served, std::move(moved));
  EXPECT_TRUE(Hear(served, kFileBytes) ==
              "file: " + content_.substr(0, sent + 1000))
      << "nothing is made up";
  EXPECT_EQ(downloads_.log, "draining eof ");
  EXPECT_EQ(Heard(served), "end");
}

// --- when it may move

TEST_F(ConnectionFileTest, AWriteThatWaitsIsOfferedAndOneThatBeginsToIsToo) {
  const Served early = ServeFiles(), late = ServeFiles();
  Say(early, "get\n");
  Settle();
  table_.BeginHandover(&offers_);
  EXPECT_EQ(offers_.cores.size(), 2u);
  table_.ForgetOffer(*late.core);
  offers_.cores.clear();
  Say(late, "get\n");
  Settle();
  EXPECT_EQ(offers_.cores, std::vector<ConnectionCore*>{late.core});
  EXPECT_TRUE(ConnectionTable::CanDetach(*late.core));
  Hear(late, 1'000'000);
  EXPECT_EQ(offers_.cores.size(), 1u) << "told twice";
  table_.ForgetOffer(*late.core);
  Hear(late, 1'000'000);
  EXPECT_EQ(offers_.cores.size(), 2u) << "it waits still, and was forgotten";
}

// Its peer never lets it wait.
Task<> SendInPieces(Connection conn, Downloads* downloads) {
  const ReadResult request = co_await conn.ReadSome();
  IoError error = request.error();
  for (int i = 0; i < 3 * ConnectionTable::kBudget && error == IoError::kOk;
       ++i) {
    error = co_await conn.WriteFile(downloads->file, i, 1, {.movable = true});
  }
  absl::StrAppend(&downloads->log, IoErrorName(error), " ");
}

TEST_F(ConnectionFileTest, OneInHasteIsOfferedWhenItsTurnEnds) {
  Served served = ServeFiles(SendInPieces);
  table_.BeginHandover(&offers_);
  EXPECT_TRUE(offers_.cores.empty());
  Say(served, "x");
  while (offers_.cores.empty()) loop_->Turn(/*wait=*/false);
  ASSERT_TRUE(ConnectionTable::CanDetach(*served.core));
  const ConnectionImage image = table_.Export(*served.core);
  ASSERT_TRUE(image.file.has_value());
  EXPECT_EQ(Heard(served), content_.substr(0, image.file->offset));
  EXPECT_EQ(image.file->size, 1u);
  table_.Detach(*served.core);
  Settle();
  EXPECT_EQ(Heard(served), "");
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  Settle();
  EXPECT_EQ(Heard(served).size() + image.file->offset,
            size_t{3 * ConnectionTable::kBudget});
  EXPECT_EQ(downloads_.log, "ok ");
}

Task<> SendOneThatStays(Connection conn, Downloads* downloads) {
  const IoError error =
      co_await conn.WriteFile(downloads->file, 0, downloads->size);
  absl::StrAppend(&downloads->log, IoErrorName(error), " ");
}

Task<> ReadOne(Connection* conn) {
  [[maybe_unused]] const ReadResult read = co_await conn->ReadSome();
}

Task<> SendWhileReading(Connection conn, Downloads* downloads) {
  Scope reader;
  reader.Spawn(ReadOne(&conn));
  const IoError error = co_await conn.WriteFile(
      downloads->file, 0, downloads->size, {.movable = true});
  absl::StrAppend(&downloads->log, IoErrorName(error), " ");
  co_await reader.Join();
}

TEST_F(ConnectionFileTest, WhatMayNotMoveIsNotOffered) {
  const Served stays = ServeFiles(SendOneThatStays);
  const Served reads = ServeFiles(SendWhileReading);
  table_.BeginHandover(&offers_);
  Settle();
  EXPECT_TRUE(offers_.cores.empty());
  EXPECT_FALSE(ConnectionTable::CanDetach(*stays.core));
  EXPECT_FALSE(ConnectionTable::CanDetach(*reads.core));
  Say(reads, "x");
  Settle();
  Hear(reads, 1'000'000);
  EXPECT_EQ(offers_.cores, std::vector<ConnectionCore*>{reads.core})
      << "nothing is half done any more";
}

TEST_F(ConnectionFileTest, OneThatIsRefusedComesAgainWhenTheFileIsSent) {
  const Served served = ServeFiles();
  Say(served, "get\n");
  Settle();
  table_.BeginHandover(&offers_);
  ASSERT_EQ(offers_.cores.size(), 1u);
  table_.Detach(*served.core);
  table_.NoteRefusal(*served.core);
  EXPECT_EQ(table_.Reattach(*served.core), 0);
  std::string heard = Hear(served, 1'000'000);
  EXPECT_EQ(offers_.cores.size(), 1u);
  EXPECT_FALSE(ConnectionTable::CanDetach(*served.core));
  table_.BeginHandover(&offers_);
  EXPECT_EQ(offers_.cores.size(), 2u) << "this is somebody else";
  table_.NoteRefusal(*served.core);
  heard += Hear(served, 6 + kFileBytes - heard.size());
  Settle();
  EXPECT_TRUE(heard == "file: " + content_);
  EXPECT_EQ(offers_.cores.size(), 3u) << "as an idle one";
  EXPECT_TRUE(ConnectionTable::CanDetach(*served.core));
  table_.NoteRefusal(*served.core);
  Say(served, "\n");
  Hear(served, 6 + kFileBytes);
  Settle();
  EXPECT_EQ(offers_.cores.size(), 3u) << "as before";
}

// --- a stop

TEST_F(ConnectionFileTest, AStopLetsItEnd) {
  const Served served = ServeFiles(), moving = ServeFiles();
  Say(served, "get\n");
  Say(moving, "get\n");
  Settle();
  table_.BeginHandover(&offers_);
  table_.Detach(*moving.core);
  table_.BeginDrain();
  Advance(2 * ConnectionTable::kFirstByteGrace);
  EXPECT_EQ(table_.Reattach(*moving.core), 0);
  EXPECT_EQ(Hear(served, 6 + kFileBytes).size(), 6 + kFileBytes);
  EXPECT_TRUE(Hear(moving, 6 + kFileBytes) == "file: " + content_);
  Settle();
  EXPECT_EQ(downloads_.log, "draining draining ");
  EXPECT_EQ(Heard(moving), "end");
}

TEST_F(ConnectionFileTest, AnAbortLeavesWhatIsMovingToTheOther) {
  const Served served = ServeFiles(), back = ServeFiles();
  Say(served, "get\n");
  Say(back, "get\n");
  Settle();
  const UniqueFd copy(dup(table_.Detach(*served.core)));
  const uint64_t sent = table_.Export(*served.core).file->offset;
  table_.Detach(*back.core);
  table_.Abort();
  EXPECT_EQ(table_.Reattach(*back.core), 0) << "the answer to it comes later";
  Settle();
  EXPECT_EQ(downloads_.log, "cancelled cancelled ");
  EXPECT_EQ(Hear(served, 6 + sent).size(), 6 + sent);
  Settle();
  EXPECT_EQ(Heard(served), "");
  EXPECT_EQ(ConnectionTable::Current().open(), 0u);
}

}  // namespace
}  // namespace baton
