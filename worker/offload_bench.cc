// From a loop to the job pool and back: one job at a time, and bursts. The
// argument is how many tasks offload an empty job at once; time is per job. For
// system calls: strace -f -c.

#include <memory>

#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "net/event_loop.h"
#include "net/scope.h"
#include "pool/job_pool.h"
#include "worker/offload.h"

namespace baton {
namespace {

Task<> RoundTrip() {
  const absl::Status status =
      co_await Offload({.name = "empty", .wait_for_room = true}, [] {});
  CHECK(status.ok());
}

void BM_RoundTrip(benchmark::State& state) {
  auto loop = EventLoop::Create().value();
  auto pool = JobPool::Create({.max_threads = 1}).value();
  auto desk = JobDesk::Create(*loop, *pool, {}).value();
  Scope scope;
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) scope.SpawnBare(RoundTrip());
    while (scope.live() != 0) loop->Turn(/*wait=*/true);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  pool->Stop();
  pool->Join(absl::InfiniteDuration());
}
BENCHMARK(BM_RoundTrip)->Arg(1)->Arg(8)->Arg(64)->UseRealTime();

}  // namespace
}  // namespace baton
