// What builds that do not know each other's fields keep of each other's counts.
// Another build is a file here whose table of fields this test has written.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "net/unique_fd.h"
#include "worker/application_metrics.h"
#include "worker/scoreboard.h"

namespace baton {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint32_t kCounter = 1, kLevel = 2, kReal = 3;

MetricCounter orders("test_orders_total", "Orders.");
MetricHistogram waits("test_wait_seconds", "Waits.", {1, 10});

uint64_t Bits(double value) { return std::bit_cast<uint64_t>(value); }
double Real(uint64_t cell) { return std::bit_cast<double>(cell); }

// As the file has them.
struct Header {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t field_count;
};
struct Entry {
  char name[52];
  uint32_t offset;
  uint32_t cells;
  uint32_t kind;
};
static_assert(sizeof(Header) == 16 && sizeof(Entry) == 64);

// The scoreboard of a worker of another build.
class OtherBoard {
 public:
  // A field with these cells; or one that says where they are.
  OtherBoard& Add(const std::string& name, uint32_t kind,
                  const std::vector<uint64_t>& cells) {
    AddAt(name, kind, kData + 8 * static_cast<uint32_t>(cells_.size()),
          static_cast<uint32_t>(cells.size()));
    cells_.insert(cells_.end(), cells.begin(), cells.end());
    return *this;
  }
  OtherBoard& AddAt(const std::string& name, uint32_t kind, uint32_t offset,
                    uint32_t cells) {
    Entry entry{};
    name.copy(entry.name, sizeof(entry.name));
    entry.offset = offset;
    entry.cells = cells;
    entry.kind = kind;
    entries_.push_back(entry);
    return *this;
  }

  // The file.
  UniqueFd Seal() const {
    std::vector<char> bytes(kBytes);
    Header header = RealHeader();
    header.field_count = static_cast<uint32_t>(entries_.size());
    std::memcpy(bytes.data(), &header, sizeof(header));
    std::memcpy(bytes.data() + sizeof(header), entries_.data(),
                entries_.size() * sizeof(Entry));
    std::memcpy(bytes.data() + kData, cells_.data(), cells_.size() * 8);
    UniqueFd fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(write(fd.get(), bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
    EXPECT_EQ(
        fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
        0);
    return fd;
  }
  absl::StatusOr<ScoreboardView> Open() const {
    return ScoreboardView::Open(Seal().get());
  }

  static constexpr uint32_t kBytes = 16384;
  static constexpr uint32_t kData = 8192;

 private:
  static Header RealHeader() {
    const auto file = CreateScoreboardFile();
    Header header;
    EXPECT_EQ(pread(file->get(), &header, sizeof(header), 0), 16);
    return header;
  }

  std::vector<Entry> entries_;
  std::vector<uint64_t> cells_;
};

CountsByName UnknownOf(const OtherBoard& board) {
  const absl::StatusOr<ScoreboardView> view = board.Open();
  EXPECT_TRUE(view.ok()) << view.status();
  return view.ok() ? view->ReadUnknown() : CountsByName();
}

// Whatever its key is.
Counts Only(const CountsByName& counts) {
  EXPECT_EQ(counts.size(), 1u);
  return counts.empty() ? Counts() : counts.begin()->second;
}

TEST(ScoreboardCountsTest, WhatAnotherBuildCountsIsKept) {
  CountsByName counts = UnknownOf(OtherBoard()
                                      .Add("invented", kCounter, {5})
                                      .Add("times", kCounter, {1, 0, 2})
                                      .Add("times.sum", kReal, {Bits(2.5)}));
  ASSERT_EQ(counts.size(), 3u);
  EXPECT_THAT(counts.at("invented 1").cells, ElementsAre(5));
  EXPECT_FALSE(counts.at("invented 1").real);
  EXPECT_THAT(counts.at("times 3").cells, ElementsAre(1, 0, 2));
  EXPECT_THAT(counts.at("times.sum real 1").cells, ElementsAre(Bits(2.5)));
  EXPECT_TRUE(counts.at("times.sum real 1").real);
}

TEST(ScoreboardCountsTest, HowThingsStandIsNoCount) {
  const OtherBoard board = OtherBoard()
                               .Add("app carts", kReal, {Bits(1)})
                               .Add("open", kLevel, {7})
                               .Add("odd", 77, {7})
                               .Add("connections", kLevel, {3});
  EXPECT_THAT(UnknownOf(board), IsEmpty());
  EXPECT_EQ(board.Open()->Read().connections, 3u);
}

TEST(ScoreboardCountsTest, WhatIsKnownIsNotUnknown) {
  const OtherBoard board = OtherBoard()
                               .Add("requests", kCounter, {5})
                               .Add("app test_orders_total", kCounter, {6});
  EXPECT_THAT(UnknownOf(board), IsEmpty());
  EXPECT_EQ(board.Open()->Read().requests, 5u);
  EXPECT_EQ(board.Open()->Read().application[0], 6u);
}

TEST(ScoreboardCountsTest, AKnownNameInAnotherShapeIsAnother) {
  const OtherBoard board = OtherBoard()
                               .Add("requests", kCounter, {5, 6})
                               .Add("app test_wait_seconds", kCounter, {1, 2})
                               .Add("accepted", kReal, {Bits(1)});
  CountsByName counts = UnknownOf(board);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_EQ(board.Open()->Read().requests, 0u);
  EXPECT_EQ(board.Open()->Read().accepted, 0u);
  EXPECT_EQ(WorkerSnapshot::TakeCounts(counts).requests, 0u);
  EXPECT_THAT(counts.at("requests 2").cells, ElementsAre(5, 6));
}

TEST(ScoreboardCountsTest, FieldsThatPointOutsideAreRefused) {
  const OtherBoard good = OtherBoard().Add("invented", kCounter, {5});
  constexpr uint32_t kEnd = OtherBoard::kBytes;
  const std::pair<uint32_t, uint32_t> wild[] = {{kEnd, 1},
                                                {kEnd - 8, 2},
                                                {kEnd - 4, 1},
                                                {0xfffffff8u, 1},
                                                {0, 0xffffffffu},
                                                {8, kEnd / 8},
                                                {OtherBoard::kData + 1, 1},
                                                {0xfffffff8u, 0xffffffffu}};
  for (const auto& [offset, cells] : wild) {
    OtherBoard board = good;
    EXPECT_FALSE(board.AddAt("wild", kCounter, offset, cells).Open().ok())
        << offset << ", " << cells;
  }
  OtherBoard edge = good;
  EXPECT_TRUE(edge.AddAt("edge", kCounter, kEnd - 8, 1).Open().ok());
}

TEST(ScoreboardCountsTest, FieldsThatOverlapAreHarmlessAndNotMoreThanTheFile) {
  OtherBoard board = OtherBoard().Add("a", kCounter, {5, 6});
  board.AddAt("b", kCounter, OtherBoard::kData + 8, 1)
      .AddAt("header", kCounter, 0, 2)
      .AddAt("empty", kCounter, OtherBoard::kData, 0);
  const CountsByName counts = UnknownOf(board);
  EXPECT_THAT(counts.at("a 2").cells, ElementsAre(5, 6));
  EXPECT_THAT(counts.at("b 1").cells, ElementsAre(6));
  EXPECT_THAT(counts.at("empty 0").cells, IsEmpty());
  // A table of a few entries that each are all of the file.
  board.AddAt("c", kCounter, 0, OtherBoard::kBytes / 8 - 5);
  EXPECT_TRUE(board.Open().ok());
  board.AddAt("d", kCounter, 0, 1);
  EXPECT_FALSE(board.Open().ok());
}

TEST(ScoreboardCountsTest, AFieldThatIsThereTwiceCountsOnce) {
  const Counts counts = Only(
      UnknownOf(OtherBoard().Add("a", kCounter, {5}).Add("a", kCounter, {6})));
  EXPECT_THAT(counts.cells, ElementsAre(5));
}

TEST(ScoreboardCountsTest, AWildWorkersNumbersAreClamped) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const CountsByName counts = UnknownOf(
      OtherBoard()
          .Add("a", kCounter, {~uint64_t{0}, kCounterLimit + 1, 3})
          .Add("b.sum", kReal, {Bits(kInfinity)})
          .Add("c.sum", kReal, {Bits(std::numeric_limits<double>::quiet_NaN())})
          .Add("d.sum", kReal, {Bits(std::numeric_limits<double>::max())}));
  EXPECT_THAT(counts.at("a 3").cells,
              ElementsAre(kCounterLimit, kCounterLimit, 3));
  EXPECT_EQ(Real(counts.at("b.sum real 1").cells[0]), 0);
  EXPECT_EQ(Real(counts.at("c.sum real 1").cells[0]), 0);
  CountsByName sum;
  for (int i = 0; i < 1000; ++i) AddCounts(sum, counts);
  EXPECT_LT(Real(sum.at("d.sum real 1").cells[0]), kInfinity);
}

TEST(ScoreboardCountsTest, ANameMayBeOfAnyBytesAndAsLongAsItsPlace) {
  const std::string name(60, '\xff');
  const CountsByName counts =
      UnknownOf(OtherBoard().Add(name, kCounter, {1}).Add("", kCounter, {2}));
  EXPECT_EQ(counts.at(name.substr(0, 52) + " 1").cells[0], 1u);
  EXPECT_EQ(counts.at(" 1").cells[0], 2u);
}

TEST(ScoreboardCountsTest, CountsAddUpCellByCell) {
  CountsByName sum;
  AddCounts(sum, {{"a", {false, {1, 2}}}, {"r", {true, {Bits(0.5)}}}});
  AddCounts(sum, {{"a", {false, {10, 20}}}, {"b", {false, {7}}}});
  AddCounts(sum, {{"r", {true, {Bits(0.25)}}}, {"b", {false, {1, 1}}}});
  EXPECT_THAT(sum.at("a").cells, ElementsAre(11, 22));
  EXPECT_THAT(sum.at("b").cells, ElementsAre(8, 1));
  EXPECT_EQ(Real(sum.at("r").cells[0]), 0.75);
  AddCounts(sum, {});
  EXPECT_EQ(sum.size(), 3u);
}

TEST(ScoreboardCountsTest, ASumStopsAtTheLimit) {
  constexpr uint64_t kMost = ~uint64_t{0};
  CountsByName sum = {{"a", {false, {kCounterLimit - 1, kMost, kMost, 1}}}};
  AddCounts(sum, {{"a", {false, {2, 1, kMost, kMost}}}});
  EXPECT_THAT(sum.at("a").cells, testing::Each(kCounterLimit));
}

// Two workers' numbers, of this build.
WorkerSnapshot Ended() {
  UniqueFd file = *CreateScoreboardFile();
  auto board = Scoreboard::Open(file.get());
  auto view = ScoreboardView::Open(file.get());
  EXPECT_TRUE(board.ok() && view.ok());
  board->counters().traffic.requests.Add(5);
  board->counters().traffic.open.Set(3);
  board->counters().turn_nanos.Add(1'000'000);
  SetApplicationCells(board->application_cells());
  orders.Add(2);
  waits.Observe(5);
  SetApplicationCells(nullptr);
  WorkerSnapshot sum;
  sum.AddEnded(view->Read());
  sum.AddEnded(view->Read());
  return sum;
}

TEST(ScoreboardCountsTest, CountsGoThereAndBack) {
  const WorkerSnapshot before = Ended();
  CountsByName counts = before.CountsOf();
  EXPECT_EQ(counts.count("connections 1"), 0u) << "it has none any more";
  counts["invented 1"] = {false, {9}};
  const WorkerSnapshot after = WorkerSnapshot::TakeCounts(counts);
  EXPECT_EQ(after.Cells(), before.Cells());
  EXPECT_EQ(after.requests, 10u);
  EXPECT_EQ(after.application[0], 4u);
  ASSERT_EQ(counts.size(), 1u) << "what it knows has been taken out";
  EXPECT_THAT(Only(counts).cells, ElementsAre(9));
}

TEST(ScoreboardCountsTest, CountsInTheWrongNumberDoNoHarm) {
  CountsByName counts = {{"requests 1", {false, {5, 6, 7}}},
                         {"accepted 1", {false, {}}}};
  const WorkerSnapshot taken = WorkerSnapshot::TakeCounts(counts);
  EXPECT_EQ(taken.requests, 5u);
  EXPECT_EQ(taken.bytes_in, 0u);
  EXPECT_EQ(taken.accepted, 0u);
  EXPECT_THAT(counts, IsEmpty());
}

// A master of build A leaves its slot's totals to one of build B, which adds
// its own workers', and goes back.
TEST(ScoreboardCountsTest, NothingRunsBackwardsFromOneBuildToAnotherAndBack) {
  // This build is B. A counts requests too, and what B has never heard of.
  const OtherBoard of_a =
      OtherBoard().Add("requests", kCounter, {100}).Add("old", kCounter, {40});
  CountsByName left = {{"requests 1", {false, {1000}}},
                       {"old 1", {false, {400}}}};
  CountsByName unknown = left;
  WorkerSnapshot known = WorkerSnapshot::TakeCounts(unknown);
  EXPECT_EQ(known.requests, 1000u);
  // A worker of A ends here, and one of B.
  auto view = of_a.Open();
  ASSERT_TRUE(view.ok()) << view.status();
  known.AddEnded(view->Read());
  AddCounts(unknown, view->ReadUnknown());
  known.AddEnded(Ended());
  // Back to A, which finds its own, and B's for the next time.
  CountsByName back = unknown;
  AddCounts(back, known.CountsOf());
  EXPECT_THAT(back.at("requests 1").cells, ElementsAre(1110));
  EXPECT_THAT(back.at("old 1").cells, ElementsAre(440));
  EXPECT_THAT(back.at("app test_orders_total 1").cells, ElementsAre(4));
  // And once more to B.
  known = WorkerSnapshot::TakeCounts(back);
  EXPECT_EQ(known.requests, 1110u);
  EXPECT_EQ(known.application[0], 4u);
  EXPECT_THAT(Only(back).cells, ElementsAre(440));
}

}  // namespace
}  // namespace baton
