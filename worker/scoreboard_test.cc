#include "worker/scoreboard.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "worker/application_metrics.h"

namespace baton {
namespace {

constexpr size_t kFileBytes = 24576;  // with a page of the application's
constexpr size_t kHeaderBytes = 16;

UniqueFd NewFile() {
  absl::StatusOr<UniqueFd> fd = CreateScoreboardFile();
  EXPECT_TRUE(fd.ok()) << fd.status();
  return *std::move(fd);
}

// A sealed file of `bytes`, as another build or a wild worker could leave it.
UniqueFd SealedFile(const std::vector<char>& bytes) {
  UniqueFd fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(write(fd.get(), bytes.data(), bytes.size()),
            static_cast<ssize_t>(bytes.size()));
  EXPECT_EQ(
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
      0);
  return fd;
}

std::vector<char> BytesOf(const UniqueFd& fd) {
  std::vector<char> bytes(kFileBytes);
  EXPECT_EQ(pread(fd.get(), bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
  return bytes;
}

TEST(ScoreboardTest, WhatTheWorkerCountsTheViewReads) {
  UniqueFd fd = NewFile();
  auto board = Scoreboard::Open(fd.get());
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(board.ok()) << board.status();
  ASSERT_TRUE(view.ok()) << view.status();

  TrafficCounters& traffic = board->counters().traffic;
  traffic.accepted.Add(1);
  traffic.closed.Add(2);
  traffic.open.Add(3);
  traffic.requests.Add(4);
  traffic.bytes_in.Add(5);
  traffic.bytes_out.Add(6);
  traffic.datagrams_in.Add(7);
  traffic.datagrams_out.Add(8);
  traffic.datagrams_dropped.Add(9);
  traffic.handed_over.Add(10);
  traffic.received.Add(11);
  traffic.handover_refused.Add(31);
  traffic.handover_later.Add(32);
  traffic.reaped_idle.Add(12);
  traffic.write_timeouts.Add(13);
  traffic.refused_per_ip.Add(14);
  traffic.accept_pauses.Add(15);
  traffic.accept_errors.Add(16);
  traffic.read_timeouts.Add(19);
  traffic.buffers_refused.Add(20);
  traffic.outbound.Add(21);
  traffic.outbound_open.Add(22);
  board->counters().stale_events.Add(17);
  board->counters().state.Set(static_cast<int64_t>(WorkerState::kServing));
  board->counters().heartbeat.turns.store(18);
  board->counters().heartbeat.waiting.store(1);

  const WorkerSnapshot snapshot = view->Read();
  EXPECT_EQ(snapshot.accepted, 1u);
  EXPECT_EQ(snapshot.closed, 2u);
  EXPECT_EQ(snapshot.connections, 3u);
  EXPECT_EQ(snapshot.requests, 4u);
  EXPECT_EQ(snapshot.bytes_in, 5u);
  EXPECT_EQ(snapshot.bytes_out, 6u);
  EXPECT_EQ(snapshot.datagrams_in, 7u);
  EXPECT_EQ(snapshot.datagrams_out, 8u);
  EXPECT_EQ(snapshot.datagrams_dropped, 9u);
  EXPECT_EQ(snapshot.handed_over, 10u);
  EXPECT_EQ(snapshot.received, 11u);
  EXPECT_EQ(snapshot.handover_refused, 31u);
  EXPECT_EQ(snapshot.handover_later, 32u);
  EXPECT_EQ(snapshot.reaped_idle, 12u);
  EXPECT_EQ(snapshot.write_timeouts, 13u);
  EXPECT_EQ(snapshot.refused_per_ip, 14u);
  EXPECT_EQ(snapshot.accept_pauses, 15u);
  EXPECT_EQ(snapshot.accept_errors, 16u);
  EXPECT_EQ(snapshot.read_timeouts, 19u);
  EXPECT_EQ(snapshot.buffers_refused, 20u);
  EXPECT_EQ(snapshot.outbound, 21u);
  EXPECT_EQ(snapshot.outbound_open, 22u);
  EXPECT_EQ(snapshot.stale_events, 17u);
  EXPECT_EQ(snapshot.state, static_cast<uint64_t>(WorkerState::kServing));
  EXPECT_EQ(snapshot.turns, 18u);
  EXPECT_EQ(snapshot.waiting, 1u);
}

MetricCounter orders("test_orders_total", "Orders.");
MetricGauge carts("test_carts", "Carts.");
MetricHistogram waits("test_wait_seconds", "Waits.", {1, 10});

double Real(uint64_t cell) { return std::bit_cast<double>(cell); }

TEST(ScoreboardTest, HistogramsAndTheApplicationsOwn) {
  UniqueFd fd = NewFile();
  auto board = Scoreboard::Open(fd.get());
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(board.ok() && view.ok());
  board->counters().turn_nanos.Add(1000);
  board->counters().turn_nanos.Add(2'000'000, 3);
  SetApplicationCells(board->application_cells());
  orders.Add(7);
  carts.Set(-2.5);
  waits.Observe(0.5);
  waits.Observe(100);
  SetApplicationCells(nullptr);
  const WorkerSnapshot snapshot = view->Read();
  EXPECT_EQ(snapshot.turn_nanos[0], 1u);
  EXPECT_EQ(snapshot.turn_nanos[NanosHistogram::BucketOf(2'000'000)], 3u);
  EXPECT_EQ(Real(snapshot.turn_nanos.back()), 6'001'000);
  ASSERT_EQ(snapshot.application.size(), ApplicationCells());
  EXPECT_EQ(snapshot.application[0], 7u);
  EXPECT_EQ(Real(snapshot.application[1]), -2.5);
  EXPECT_EQ(snapshot.application[2], 1u);
  EXPECT_EQ(snapshot.application[3], 0u);
  EXPECT_EQ(snapshot.application[4], 1u);
  EXPECT_EQ(Real(snapshot.application[5]), 100.5);
}

TEST(ScoreboardTest, OfAWorkerThatHasEndedWhatItCountedStays) {
  UniqueFd fd = NewFile();
  auto board = Scoreboard::Open(fd.get());
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(board.ok() && view.ok());
  board->counters().traffic.requests.Add(5);
  board->counters().traffic.open.Set(3);
  board->counters().turn_nanos.Add(1'000'000);
  SetApplicationCells(board->application_cells());
  orders.Add(2);
  carts.Set(4);
  waits.Observe(5);
  SetApplicationCells(nullptr);
  WorkerSnapshot sum;
  sum.AddEnded(view->Read());
  sum.AddEnded(view->Read());
  EXPECT_EQ(sum.requests, 10u);
  EXPECT_EQ(sum.connections, 0u) << "it has none any more";
  EXPECT_EQ(Real(sum.turn_nanos.back()), 2'000'000);
  EXPECT_EQ(sum.application[0], 4u);
  EXPECT_EQ(Real(sum.application[1]), 0) << "a gauge is of those that live";
  EXPECT_EQ(sum.application[3], 2u);
  EXPECT_EQ(Real(sum.application[5]), 10);
  sum.AddLive(view->Read());
  EXPECT_EQ(sum.requests, 15u);
  EXPECT_EQ(sum.connections, 3u);
  EXPECT_EQ(Real(sum.application[1]), 4);
}

TEST(ScoreboardTest, ARealThatIsNoNumberReadsAsNone) {
  UniqueFd fd = NewFile();
  auto board = Scoreboard::Open(fd.get());
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(board.ok() && view.ok());
  SetApplicationCells(board->application_cells());
  carts.Set(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(Real(view->Read().application[1]), 0);
  carts.Set(std::numeric_limits<double>::infinity());
  EXPECT_EQ(Real(view->Read().application[1]), 0);
  SetApplicationCells(nullptr);
}

TEST(ScoreboardTest, TheNumbersOutliveTheWorker) {
  UniqueFd fd = NewFile();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto board = Scoreboard::Open(fd.get());
    if (!board.ok()) _exit(1);
    board->counters().traffic.requests.Add(42);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->Read().requests, 42u);
}

TEST(ScoreboardTest, HotCountersShareNoCacheLineWithOthers) {
  auto board = Scoreboard::Create();
  ASSERT_TRUE(board.ok()) << board.status();
  const auto line = [](const void* at) {
    return reinterpret_cast<uintptr_t>(at) / 64;
  };
  const WorkerCounters& counters = board->counters();
  EXPECT_NE(line(&counters.heartbeat), line(&counters.traffic.bytes_in));
  EXPECT_NE(line(&counters.heartbeat), line(&counters.state));
  EXPECT_EQ(line(&counters.traffic.bytes_in), line(&counters.traffic.requests));
}

TEST(ScoreboardTest, TheFileCanBeNeitherCutNorGrown) {
  UniqueFd fd = NewFile();
  EXPECT_EQ(ftruncate(fd.get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(ftruncate(fd.get(), 1 << 20), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

TEST(ScoreboardTest, AFileThatCouldBeCutIsRefused) {
  UniqueFd fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(fd.get(), kFileBytes), 0);
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_FALSE(view.ok());
  EXPECT_NE(view.status().message().find("not sealed"),
            absl::string_view::npos);
}

TEST(ScoreboardTest, ACounterNeverRunsBackwards) {
  UniqueFd fd = NewFile();
  auto board = Scoreboard::Open(fd.get());
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(board.ok() && view.ok());
  board->counters().traffic.requests.Add(1000);
  EXPECT_EQ(view->Read().requests, 1000u);
  board->counters().traffic.requests.Add(-uint64_t{999});
  EXPECT_EQ(view->Read().requests, 1000u);
  board->counters().traffic.requests.Add(kCounterLimit * 4);
  EXPECT_EQ(view->Read().requests, kCounterLimit);
}

TEST(ScoreboardTest, ANegativeLevelReadsAsNone) {
  UniqueFd fd = NewFile();
  auto board = Scoreboard::Open(fd.get());
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(board.ok() && view.ok());
  board->counters().traffic.open.Set(-5);
  EXPECT_EQ(view->Read().connections, 0u);
}

TEST(ScoreboardTest, AForkedChildDoesNotInheritTheView) {
  UniqueFd fd = NewFile();
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(view.ok());
  view->Read();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    view->Read();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(ScoreboardTest, AFieldOfAnotherBuildIsSkippedAndAMissingOneReadsZero) {
  std::vector<char> bytes = BytesOf(NewFile());
  char* name = bytes.data() + kHeaderBytes;
  ASSERT_STREQ(name, "connections");
  std::memcpy(name, "invented", sizeof("invented"));
  UniqueFd fd = SealedFile(bytes);
  auto board = Scoreboard::Open(fd.get());
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(board.ok() && view.ok());
  board->counters().traffic.open.Set(5);
  board->counters().traffic.accepted.Add(6);
  EXPECT_EQ(view->Read().connections, 0u);
  EXPECT_EQ(view->Read().accepted, 6u);
}

TEST(ScoreboardTest, AnOffsetOutsideTheFileIsRefused) {
  const std::vector<char> good = BytesOf(NewFile());
  for (uint32_t offset : {uint32_t{kFileBytes}, uint32_t{kFileBytes - 7},
                          uint32_t{0xfffffff8}, uint32_t{16385}}) {
    std::vector<char> bytes = good;
    std::memcpy(bytes.data() + kHeaderBytes + 52, &offset, sizeof(offset));
    EXPECT_FALSE(ScoreboardView::Open(SealedFile(bytes).get()).ok()) << offset;
  }
}

TEST(ScoreboardTest, AViewSurvivesRandomBytesInAllSharedMemory) {
  constexpr uint32_t kSeed = 7;
  std::mt19937 random(kSeed);
  UniqueFd fd = NewFile();
  auto view = ScoreboardView::Open(fd.get());
  ASSERT_TRUE(view.ok());
  WorkerSnapshot before;
  for (int round = 0; round < 1000; ++round) {
    std::vector<char> noise(kFileBytes);
    for (char& byte : noise) byte = static_cast<char>(random());
    ASSERT_EQ(pwrite(fd.get(), noise.data(), noise.size(), 0),
              static_cast<ssize_t>(noise.size()));
    const WorkerSnapshot snapshot = view->Read();
    EXPECT_GE(snapshot.bytes_in, before.bytes_in) << "seed " << kSeed;
    EXPECT_LE(snapshot.bytes_in, kCounterLimit) << "seed " << kSeed;
    EXPECT_LE(snapshot.connections, kCounterLimit) << "seed " << kSeed;
    before = snapshot;
  }
}

TEST(ScoreboardTest, OpeningRandomHeadersNeverDoesHarm) {
  constexpr uint32_t kSeed = 8;
  std::mt19937 random(kSeed);
  const std::vector<char> good = BytesOf(NewFile());
  int opened = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<char> bytes = good;
    for (int flips = 1 + random() % 4; flips > 0; --flips) {
      bytes[random() % 4096] = static_cast<char>(random());
    }
    auto view = ScoreboardView::Open(SealedFile(bytes).get());
    if (!view.ok()) continue;
    ++opened;
    view->Read();
  }
  EXPECT_GT(opened, 100) << "seed " << kSeed;
}

}  // namespace
}  // namespace baton
