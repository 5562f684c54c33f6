// What an empty job costs, beside what a user could take instead: a ring under
// a mutex with condition variables, boost::asio::post and oneTBB's task_arena.
//
// The first argument is threads, the second producers. A producer submits
// without waiting for results; where there is no room it waits. Time is that of
// all jobs from the first submission to the last end, per job; allocs is how
// often operator new was called, per job.

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "glog/logging.h"
#include "oneapi/tbb/task_arena.h"
#include "pool/job_pool.h"

namespace {

std::atomic<uint64_t> allocations{0};

}  // namespace

void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* const memory = malloc(size);
  CHECK(memory != nullptr);
  return memory;
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t /*size*/) noexcept { free(memory); }

namespace baton {
namespace {

constexpr uint32_t kQueue = 1024;
constexpr int64_t kJobs = 100'000;

// On a line of its own for each producer's jobs, so that it is the queue that
// is measured.
struct alignas(64) Done {
  std::atomic<int64_t> count{0};
};

struct OurPool {
  explicit OurPool(int threads)
      : pool(JobPool::Create({.min_threads = threads,
                              .max_threads = threads,
                              .queue = kQueue})
                 .value()) {}
  void Submit(Done* done) {
    const absl::Status status =
        pool->Submit({"empty", [done] {
                        done->count.fetch_add(1, std::memory_order_release);
                      }});
    CHECK(status.ok());
  }
  std::unique_ptr<JobPool> pool;
};

struct MutexRing {
  using Function = void (*)(void*);
  struct Item {
    Function function;
    void* argument;
  };
  explicit MutexRing(int thread_count) : ring(kQueue) {
    for (int i = 0; i < thread_count; ++i) {
      threads.emplace_back([this] { Run(); });
    }
  }
  ~MutexRing() {
    {
      const std::lock_guard<std::mutex> lock(mutex);
      stopped = true;
    }
    not_empty.notify_all();
    for (std::thread& thread : threads) thread.join();
  }
  void Submit(Done* done) {
    std::unique_lock<std::mutex> lock(mutex);
    not_full.wait(lock, [this] { return tail - head < kQueue; });
    ring[tail++ % kQueue] = {[](void* argument) {
                               static_cast<Done*>(argument)->count.fetch_add(
                                   1, std::memory_order_release);
                             },
                             done};
    lock.unlock();
    not_empty.notify_one();
  }
  void Run() {
    while (true) {
      std::unique_lock<std::mutex> lock(mutex);
      not_empty.wait(lock, [this] { return tail != head || stopped; });
      if (tail == head) return;
      const Item item = ring[head++ % kQueue];
      lock.unlock();
      not_full.notify_one();
      item.function(item.argument);
    }
  }
  std::mutex mutex;
  std::condition_variable not_empty, not_full;
  std::vector<Item> ring;
  uint64_t head = 0, tail = 0;
  bool stopped = false;
  std::vector<std::thread> threads;
};

struct AsioPool {
  explicit AsioPool(int threads) : pool(threads) {}
  ~AsioPool() { pool.join(); }
  void Submit(Done* done) {
    boost::asio::post(
        pool, [done] { done->count.fetch_add(1, std::memory_order_release); });
  }
  boost::asio::thread_pool pool;
};

struct TbbArena {
  explicit TbbArena(int threads) : arena(threads, /*reserved_for_masters=*/0) {}
  void Submit(Done* done) {
    arena.enqueue(
        [done] { done->count.fetch_add(1, std::memory_order_release); });
  }
  oneapi::tbb::task_arena arena;
};

template <typename Pool>
void BM_EmptyJob(benchmark::State& state) {
  const auto threads = static_cast<int>(state.range(0));
  const auto producers = static_cast<int>(state.range(1));
  const int64_t each = kJobs / producers;
  Pool pool(threads);
  std::vector<Done> done(producers);
  uint64_t allocated = 0;
  const auto round = [&] {
    std::vector<std::thread> others;
    const auto produce = [&](Done* mine) {
      for (int64_t i = 0; i < each; ++i) pool.Submit(mine);
    };
    for (int i = 1; i < producers; ++i) {
      others.emplace_back(produce, &done[i]);
    }
    produce(&done[0]);
    for (std::thread& other : others) other.join();
    for (Done& mine : done) {
      while (mine.count.load() < each) std::this_thread::yield();
      mine.count.store(0);
    }
  };
  round();
  for (auto _ : state) {
    const uint64_t before = allocations.load();
    round();
    allocated += allocations.load() - before;
  }
  const auto jobs = static_cast<double>(state.iterations() * each * producers);
  state.counters["ns"] = benchmark::Counter(
      jobs / 1e9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["allocs"] = static_cast<double>(allocated) / jobs;
}

void Cases(benchmark::internal::Benchmark* bench) {
  for (const int threads : {1, 2, 4}) {
    for (const int producers : {1, 2}) bench->Args({threads, producers});
  }
  bench->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK(BM_EmptyJob<OurPool>)->Apply(Cases);
BENCHMARK(BM_EmptyJob<MutexRing>)->Apply(Cases);
BENCHMARK(BM_EmptyJob<AsioPool>)->Apply(Cases);
BENCHMARK(BM_EmptyJob<TbbArena>)->Apply(Cases);

}  // namespace
}  // namespace baton
