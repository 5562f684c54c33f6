// Random lives of a master. Each run has its seed; a failure names it, and
//   BATON_SIMULATION_SEED=n bazel-bin/master/supervisor_simulation_test
// replays that run alone. BATON_SIMULATION_STEPS sets how many steps all runs
// make together.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "absl/strings/numbers.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "master/simulated_kernel.h"

namespace baton {
namespace {

std::optional<int64_t> NumberFromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  int64_t number = 0;
  CHECK(absl::SimpleAtoi(text, &number)) << name << " is no number: " << text;
  return number;
}

uint32_t current_seed = 0;

// In place of glog's: a violated invariant is a CHECK, which ends the process.
__attribute__((noreturn)) void NameSeedAndAbort() {
  std::fprintf(stderr, "replay with BATON_SIMULATION_SEED=%u\n", current_seed);
  std::abort();
}

struct Tally {
  int64_t steps = 0;
  int runs = 0;
  int settled = 0;
  int ended_by_themselves = 0;
  int reloads_ok = 0;
  int reloads_rolled_back = 0;
  int reloads_rejected = 0;
  int upgrades_ok = 0;
  int upgrades_taken_back = 0;
};

void Live(uint32_t seed, Tally& tally) {
  current_seed = seed;
  SimulatedKernel kernel(seed);
  std::mt19937 shape(seed);
  const int acts = 1 + static_cast<int>(shape() % 4);
  for (int act = 0; act < acts && !kernel.supervisor().exited(); ++act) {
    const int steps = 20 + static_cast<int>(shape() % 800);
    for (int i = 0; i < steps && !kernel.supervisor().exited(); ++i) {
      kernel.Step();
    }
    kernel.Heal();
    if (kernel.supervisor().exited()) break;
    ++tally.settled;
    const auto& last = kernel.supervisor().last_reload();
    if (!last.has_value()) continue;
    if (last->upgrade) {
      tally.upgrades_ok += last->outcome == ReloadResult::Outcome::kOk;
      tally.upgrades_taken_back += kernel.upgrades_taken_back();
      continue;
    }
    tally.reloads_ok += last->outcome == ReloadResult::Outcome::kOk;
    tally.reloads_rolled_back +=
        last->outcome == ReloadResult::Outcome::kRolledBack;
    tally.reloads_rejected += last->outcome == ReloadResult::Outcome::kRejected;
  }
  tally.ended_by_themselves += kernel.supervisor().exited();
  kernel.Stop();
  EXPECT_TRUE(kernel.supervisor().exited());
  tally.steps += kernel.steps();
  ++tally.runs;
}

TEST(SupervisorSimulationTest, NoRandomLifeBreaksAnInvariant) {
  google::InstallFailureFunction(&NameSeedAndAbort);
  Tally tally;
  if (const auto seed = NumberFromEnvironment("BATON_SIMULATION_SEED")) {
    return Live(static_cast<uint32_t>(*seed), tally);
  }
  const int64_t steps =
      NumberFromEnvironment("BATON_SIMULATION_STEPS").value_or(1'000'000);
  for (uint32_t seed = 1; tally.steps < steps; ++seed) Live(seed, tally);
  std::cout << tally.steps << " steps in " << tally.runs << " runs, settled "
            << tally.settled << " times; last reload then ok "
            << tally.reloads_ok << ", rolled back " << tally.reloads_rolled_back
            << ", rejected " << tally.reloads_rejected << ", upgrades ok "
            << tally.upgrades_ok << ", taken back " << tally.upgrades_taken_back
            << "; ended early " << tally.ended_by_themselves << "\n";
  // A simulation that never gets far proves nothing.
  EXPECT_GT(tally.settled, tally.runs / 4);
  EXPECT_GT(tally.reloads_ok, 0);
  EXPECT_GT(tally.reloads_rolled_back, 0);
  EXPECT_GT(tally.reloads_rejected, 0);
  EXPECT_GT(tally.upgrades_ok, 0);
  EXPECT_GT(tally.upgrades_taken_back, 0);
}

}  // namespace
}  // namespace baton
