#include "master/supervisor_state.h"

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "master/supervisor.h"
#include "nlohmann/json.hpp"

namespace baton {
namespace {

using nlohmann::json;

// The fields of each. One that is added does not compile before it is here, and
// then the tests below want it to survive.
auto Fields(const SupervisorSettings& of) {
  const auto& [a, b, c, d, e, f, g, h, i] = of;
  return std::tie(a, b, c, d, e, f, g, h, i);
}
auto Fields(const Pinned& of) {
  const auto& [a, b, c, d, e, f] = of;
  return std::tie(a, b, c, d, e, f);
}
auto Fields(const SupervisedWorker& of) {
  const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v,
               w] = of;
  return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u,
                  v, w);
}
auto Fields(const AdoptableSockets& of) {
  const auto& [a, b, c, d] = of;
  return std::tie(a, b, c, d);
}
auto Fields(const SupervisedSlot& of) {
  const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m] = of;
  return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m);
}
auto Fields(const RemovedListener& of) {
  const auto& [a, b, c] = of;
  return std::tie(a, b, c);
}
auto Fields(const SupervisedRoll& of) {
  const auto& [a, b, c, d, e, f, g, h] = of;
  return std::tie(a, b, c, d, e, f, g, h);
}
auto Fields(const SupervisedUpgrade& of) {
  const auto& [a, b, c, d, e] = of;
  return std::tie(a, b, c, d, e);
}
auto Fields(const ReloadResult& of) {
  const auto& [a, b, c, d] = of;
  return std::tie(a, b, c, d);
}
auto Fields(const SupervisorState& of) {
  const auto& [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v,
               w, x, y, z, aa, ab] = of;
  return std::tie(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u,
                  v, w, x, y, z, aa, ab);
}
auto Fields(const Backoff& of) {
  return std::make_tuple(of.faults(), of.early_kills());
}

template <typename T>
concept Parts = requires(const T& of) { Fields(of); };
template <typename T>
concept Elements =
    requires(const T& of) { of.begin(); } && !std::is_same_v<T, std::string>;

template <typename A, typename B>
bool Same(const std::pair<const A, B>& a, const std::pair<const A, B>& b);
template <typename T>
bool Same(const std::optional<T>& a, const std::optional<T>& b);

template <typename T>
bool Same(const T& a, const T& b) {
  if constexpr (Parts<T>) {
    return [&]<size_t... i>(std::index_sequence<i...>) {
      return (Same(std::get<i>(Fields(a)), std::get<i>(Fields(b))) && ...);
    }(std::make_index_sequence<std::tuple_size_v<decltype(Fields(a))>>());
  } else if constexpr (Elements<T>) {
    if (a.size() != b.size()) return false;
    for (auto i = a.begin(), j = b.begin(); i != a.end(); ++i, ++j) {
      if (!Same(*i, *j)) return false;
    }
    return true;
  } else {
    return a == b;
  }
}
template <typename A, typename B>
bool Same(const std::pair<const A, B>& a, const std::pair<const A, B>& b) {
  return a.first == b.first && Same(a.second, b.second);
}
template <typename T>
bool Same(const std::optional<T>& a, const std::optional<T>& b) {
  return a.has_value() == b.has_value() && (!a.has_value() || Same(*a, *b));
}

// For each field, whether it is the same.
template <typename T>
std::vector<bool> Compare(const T& a, const T& b) {
  return [&]<size_t... i>(std::index_sequence<i...>) {
    return std::vector<bool>{
        Same(std::get<i>(Fields(a)), std::get<i>(Fields(b)))...};
  }(std::make_index_sequence<std::tuple_size_v<decltype(Fields(a))>>());
}

template <typename T>
void ExpectAllSame(const T& a, const T& b) {
  EXPECT_THAT(Compare(a, b), testing::Each(true));
}
template <typename T>
void ExpectAllDiffer(const T& a, const T& b) {
  EXPECT_THAT(Compare(a, b), testing::Each(false));
}

Instant At(int seconds) { return absl::Seconds(1000000 + seconds); }

SupervisorSettings OtherSettings(int first) {
  return {.workers = first + 1,
          .ready_timeout = absl::Seconds(first + 2),
          .probation = absl::Seconds(first + 3),
          .drain_timeout = absl::Seconds(first + 4),
          .max_draining = first + 5,
          .drain_delay = absl::Seconds(first + 6),
          .stop_timeout = absl::Seconds(first + 9),
          .linger = absl::InfiniteDuration(),
          .crash_loop_limit = first + 8};
}

SupervisedWorker OtherWorker() {
  return {.id = 7,
          .slot = 1,
          .generation = 3,
          .pid = 4711,
          .phase = WorkerPhase::kPassing,
          .deadline = At(1),
          .dump_until = At(14),
          .serving_since = absl::Nanoseconds(1),
          .replace_wanted = true,
          .recycle_wanted = true,
          .impairments = 5,
          .room_at = At(2),
          .adopts_from = At(3),
          .release_ticket = 11,
          .accept_stopped = true,
          .heirs = {8, 9},
          .handover_round = 12,
          .hand_over_at = At(4),
          .drain_until = At(5),
          .pinned = {.connections = 1,
                     .oldest_since = At(6),
                     .service = "\xff",
                     .peer = "1.2.3.4:5",
                     .handlers = 2,
                     .jobs = 3},
          .broken_reason = "broken",
          .broken_deadline = At(7),
          .uncounted = true};
}

constexpr AdoptableSockets kOtherSockets = {
    .closing = true, .adopter = 8, .releaser = 7, .release_ticket = 13};

SupervisedSlot OtherSlot() {
  return {.generation = 4,
          .current = 8,
          .incoming = 9,
          .outgoing = {7},
          .backoff = Backoff(3, 2),
          .retry_at = At(8),
          .fork_error = "fork",
          .restarts = 14,
          .last_exit = ExitStatus::Signalled(SIGSEGV, true),
          .live = true,
          .linger_until = At(9),
          .sockets = kOtherSockets,
          .closed = true};
}

RemovedListener OtherListener() { return {At(10), At(11), kOtherSockets}; }

SupervisedRoll OtherRoll() {
  return {.target = 5,
          .settings = OtherSettings(20),
          .configured = 6,
          .back = true,
          .reason = "roll",
          .slot = 1,
          .proven = true,
          .fork_deadline = At(12)};
}

SupervisorState OtherState() {
  SupervisorState state{
      .settings = OtherSettings(40),
      .configured_workers = 3,
      .slots = {SupervisedSlot(), OtherSlot()},
      .workers = {OtherWorker(), OtherWorker(), OtherWorker()},
      .last_worker = 15,
      .last_ticket = 16,
      .generation = 4,
      .last_generation = 5,
      .own_from = 2,
      .reload_pending = true,
      .upgrade_pending = true,
      .reloads_begun = 17,
      .reloads_finished = 18,
      .upgrades_begun = 21,
      .upgrades_finished = 22,
      .scale_to = 4,
      .pending_scale = -2,
      .scaling = true,
      .scale_error = "scale",
      .steered = -1,
      .steer_at = At(13),
      .removed = {{uint32_t{1000001}, OtherListener()}},
      .roll = OtherRoll(),
      .upgrade = {UpgradeStage::kGoingBack, At(14), "upgrade", 3, 2},
      .last_reload =
          ReloadResult{ReloadResult::Outcome::kRolledBack, "reload", 4, true},
      .failures = {At(15), At(16)},
      .cut_while_leaving = 19,
      .handovers_broken = 20};
  state.workers[1].id = 8;
  state.workers[2].id = 9;
  return state;
}

// Through bytes, as the other binary gets it.
absl::StatusOr<SupervisorState> PassedOn(const SupervisorState& state) {
  return SupervisorStateFromJson(json::from_cbor(json::to_cbor(ToJson(state))));
}

TEST(SupervisorStateTest, TheExampleHasNothingThatIsThereByDefault) {
  ExpectAllDiffer(OtherSettings(40), SupervisorSettings());
  ExpectAllDiffer(OtherWorker(), SupervisedWorker());
  ExpectAllDiffer(OtherWorker().pinned, Pinned());
  ExpectAllDiffer(OtherSlot(), SupervisedSlot());
  ExpectAllDiffer(kOtherSockets, AdoptableSockets());
  ExpectAllDiffer(OtherListener(), RemovedListener());
  ExpectAllDiffer(OtherRoll(), SupervisedRoll());
  ExpectAllDiffer(OtherState().upgrade, SupervisedUpgrade());
  ExpectAllDiffer(*OtherState().last_reload, ReloadResult());
  ExpectAllDiffer(OtherState(), SupervisorState());
}

TEST(SupervisorStateTest, EveryFieldSurvives) {
  const SupervisorState before = OtherState();
  const auto after = PassedOn(before);
  ASSERT_TRUE(after.ok()) << after.status();
  ExpectAllSame(*after, before);
  // Those that say more of themselves.
  ExpectAllSame(after->settings, before.settings);
  ExpectAllSame(after->workers[0], before.workers[0]);
  ExpectAllSame(after->slots[1], before.slots[1]);
  ExpectAllSame(*after->roll, *before.roll);
}

TEST(SupervisorStateTest, SoDoesWhatIsNotThere) {
  const SupervisorState none;
  const auto after = PassedOn(none);
  ASSERT_TRUE(after.ok()) << after.status();
  ExpectAllSame(*after, none);
  SupervisorState exited = none;
  exited.slots.resize(1);
  exited.slots[0].last_exit = ExitStatus::Exited(3);
  EXPECT_EQ(PassedOn(exited)->slots[0].last_exit, ExitStatus::Exited(3));
}

// The supervisor on the way back: the other binary's configuration was bad.
SupervisorState OfASupervisor(const SupervisorState& state) {
  Supervisor supervisor(state);
  supervisor.Handle(absl::ZeroDuration(), event::TakenUp{});
  supervisor.Handle(
      absl::ZeroDuration(),
      event::ConfigRejected{state.last_generation + 1, "rejected"});
  EXPECT_EQ(supervisor.exec_wanted(), Supervisor::ExecTo::kOldBinary);
  return supervisor.State();
}

TEST(SupervisorStateTest, ASupervisorGoesOnWithEveryField) {
  SupervisorState before = OtherState();
  before.upgrade = {UpgradeStage::kExec, At(14), "", 0, 1};
  before.roll.reset();  // there is none when another binary begins
  SupervisorState after = OfASupervisor(before);
  EXPECT_EQ(after.upgrade.stage, UpgradeStage::kGoingBack);
  EXPECT_EQ(after.upgrade.reason, "rejected");
  EXPECT_EQ(after.upgrade.old_own_from, before.own_from);
  EXPECT_EQ(after.own_from, before.last_generation + 1);
  after.upgrade = before.upgrade;
  after.own_from = before.own_from;
  ExpectAllSame(after, before);
}

TEST(SupervisorStateTest, WhatIsMissingHasItsDefaultAndWhatIsUnknownIsIgnored) {
  json state = ToJson(OtherState());
  state["invented"] = {1, 2};
  state["workers"][0]["invented"] = "x";
  state["workers"][0].erase("pinned");
  state.erase("last_ticket");
  const auto after = SupervisorStateFromJson(state);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->last_ticket, 0u);
  EXPECT_TRUE(after->workers[0].pinned.empty());
  EXPECT_EQ(after->workers[0].id, 7u);
}

TEST(SupervisorStateTest, WhatNoSupervisorSaysIsRefused) {
  const std::pair<const char*, json> changes[] = {{"/workers/0/slot", 2},
                                                  {"/workers/0/slot", -1},
                                                  {"/workers/0/id", 8},
                                                  {"/workers/0/phase", 77},
                                                  {"/workers/0/phase", -1},
                                                  {"/workers/0/phase", "x"},
                                                  {"/slots/1/current", 99},
                                                  {"/slots/1/incoming", 99},
                                                  {"/slots/1/outgoing/0", 99},
                                                  {"/slots/1/outgoing/0", 9},
                                                  {"/slots/0/current", 8},
                                                  {"/settings/workers", 0},
                                                  {"/settings/max_draining", 0},
                                                  {"/roll/settings/workers", 0},
                                                  {"/upgrade/stage", 77},
                                                  {"/last_reload/outcome", 77},
                                                  {"/workers", "x"},
                                                  {"/removed", 1},
                                                  {"/steer_at", 1e300},
                                                  {"/workers/0/pid", 0.5},
                                                  {"/settings/linger", "1s"},
                                                  {"", json::array()},
                                                  {"", nullptr}};
  ASSERT_TRUE(SupervisorStateFromJson(ToJson(OtherState())).ok());
  for (const auto& [where, value] : changes) {
    json state = ToJson(OtherState());
    state[json::json_pointer(where)] = value;
    const auto read = SupervisorStateFromJson(state);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument)
        << where << " = " << value;
  }
}

}  // namespace
}  // namespace baton
