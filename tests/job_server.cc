// A server for tests of jobs: echo, and services whose jobs take time.
//
//   burn   reads a line, computes for 10 ms on the pool, answers "done" or why
//          there is no result
//   sleep  reads a line, sleeps on the pool for the milliseconds that it says,
//          answers likewise

#include <poll.h>
#include <time.h>

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "baton.h"

namespace {

int64_t CpuNanos() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

void Burn() {
  const int64_t end = CpuNanos() + 10'000'000;
  while (CpuNanos() < end) {
  }
}

// What the pool is for: a call that waits for somebody else, here for nobody.
void Block(int milliseconds) { poll(nullptr, 0, milliseconds); }

std::string Reply(const absl::Status& status) {
  return status.ok() ? "done\n" : absl::StrCat(status.message(), "\n");
}

baton::Task<> BurnService(baton::Connection conn) {
  while (auto line = co_await conn.ReadUntil("\n", 64, {.idle = true})) {
    const absl::Status status = co_await baton::Offload({.name = "burn"}, Burn);
    const std::string reply = Reply(status);
    if (co_await conn.Write(reply) != baton::IoError::kOk) break;
  }
}

baton::Task<> SleepService(baton::Connection conn) {
  while (auto line = co_await conn.ReadUntil("\n", 64, {.idle = true})) {
    int milliseconds = 0;
    if (!absl::SimpleAtoi(line->substr(0, line->size() - 1), &milliseconds)) {
      break;
    }
    const absl::Status status = co_await baton::Offload(
        {.name = "sleep", .wait_for_room = true}, Block, milliseconds);
    const std::string reply = Reply(status);
    if (co_await conn.Write(reply) != baton::IoError::kOk) break;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    baton::RegisterBuiltinServices(services);
    services.Stream("burn", BurnService);
    services.Stream("sleep", SleepService);
  });
}
