// What baton's own code costs without the kernel: an echo over memory, a task,
// a timer put off, a connection opened and closed.

#include <sys/epoll.h>

#include <memory>
#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "net/clock.h"
#include "net/connection.h"
#include "net/connection_core.h"
#include "net/connection_table.h"
#include "net/event_loop.h"
#include "net/scope.h"
#include "net/timer_wheel.h"
#include "net/transport.h"

namespace baton {
namespace {

// Always one request of 64 bytes to read, and room for any answer.
class EndlessRequests final : public Transport {
 public:
  explicit EndlessRequests(bool* ready) : ready_(ready) {}
  ssize_t Read(char* /*data*/, size_t size) override {
    return std::exchange(*ready_, false) ? std::min<ssize_t>(64, size)
                                         : -EAGAIN;
  }
  ssize_t Write(const iovec* parts, int /*count*/) override {
    return static_cast<ssize_t>(parts[0].iov_len);
  }
  ssize_t ReadUrgent(char* /*byte*/) override { return -EINVAL; }
  ssize_t WriteUrgent(char /*byte*/) override { return 1; }
  int64_t Unsent() override { return 0; }
  void ShutdownWrite() override {}

 private:
  bool* const ready_;
};

Task<> Echo(Connection conn) {
  while (auto chunk = co_await conn.ReadSome({.idle = true})) {
    if (co_await conn.Write(*chunk) != IoError::kOk) break;
  }
}

void BM_Echo(benchmark::State& state) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  ConnectionTable table(*loop, {});
  Scope scope;
  bool ready = false;
  internal::ConnectionCore* core = table.Add(
      std::make_unique<EndlessRequests>(&ready), table.AddSettings({}));
  scope.SpawnBare(Echo(Connection(core)));
  for (auto _ : state) {
    ready = true;
    table.OnEvents(core->index, core->generation, EPOLLIN | EPOLLOUT);
  }
  table.Abort();
  while (scope.live() > 0) loop->Turn(/*wait=*/false);
}
BENCHMARK(BM_Echo);

void BM_OpenAndClose(benchmark::State& state) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  ConnectionTable table(*loop, {});
  Scope scope;
  const uint16_t settings = table.AddSettings({});
  bool ready = false;
  for (auto _ : state) {
    internal::ConnectionCore* core =
        table.Add(std::make_unique<EndlessRequests>(&ready), settings);
    scope.SpawnBare([](Connection) -> Task<> { co_return; }(Connection(core)));
  }
}
BENCHMARK(BM_OpenAndClose);

Task<int> Value(int value) { co_return value; }

void BM_AwaitATaskThatEndsAtOnce(benchmark::State& state) {
  SimulatedClock clock;
  auto loop = EventLoop::Create(&clock).value();
  Scope scope;
  scope.SpawnBare([](benchmark::State* state) -> Task<> {
    for (auto _ : *state) {
      int value = co_await Value(1);
      benchmark::DoNotOptimize(value);
    }
  }(&state));
}
BENCHMARK(BM_AwaitATaskThatEndsAtOnce);

void BM_FileATimerAgain(benchmark::State& state) {
  struct Node : TimerNode {};
  TimerWheel wheel(0);
  auto nodes = std::make_unique<Node[]>(10'000);
  Tick tick = 1000;
  size_t i = 0;
  for (auto _ : state) {
    wheel.File(&nodes[i], tick++);
    if (++i == 10'000) i = 0;
  }
  for (size_t j = 0; j < 10'000; ++j) wheel.Remove(&nodes[j]);
}
BENCHMARK(BM_FileATimerAgain);

}  // namespace
}  // namespace baton
