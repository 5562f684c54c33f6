// The server of tests/chaos_test.cc. Each answer says which worker has given
// it.
//
//   tell   answers a line with "PID COUNT LINE": the how-manieth line of this
//          connection it is, whoever had the ones before
//   chaos  HTTP; X-Pid says who answers
//          GET  /text?number=N&size=K              so many bytes
//          GET  /stream?number=N&parts=P&size=K&pause_ms=M
//                                                  the same in P parts
//          POST /echo                              the body
//          POST /sum                               how long it is, and its sum
//
// and the built-in services. With --chaos_crash_after_ms a worker ends so long
// after its start, if the file "crash" in --chaos_folder is still there: it
// takes that away, and leaves a file that says which connections it had.
//
// Built twice: the second build has one metric and one flag more.

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "baton.h"
#include "gflags/gflags.h"
#include "net/clock.h"
#include "tests/chaos_sockets.h"
#include "tests/chaos_text.h"

DEFINE_string(chaos_folder, "", "where the file is that makes a worker crash");
DEFINE_int32(chaos_crash_after_ms, 0, "0: never");
#ifdef CHAOS_SECOND_BUILD
DEFINE_bool(chaos_second_build, true, "a flag that the first build lacks");
#endif

namespace baton {
namespace {

MetricCounter lines("chaos_lines_total", "Lines that were answered.");
#ifdef CHAOS_SECOND_BUILD
MetricCounter streams("chaos_streams_total", "Streams that were begun.");
#endif

// --- tell

struct Told {
  static constexpr uint32_t kVersion = 1;

  std::string Encode() const { return absl::StrCat(count); }
  static absl::StatusOr<Told> Decode(uint32_t version,
                                     absl::string_view bytes) {
    Told told;
    if (version != kVersion || !absl::SimpleAtoi(bytes, &told.count))
      return absl::InvalidArgumentError("not the state of this build");
    return told;
  }

  uint64_t count = 0;
};

Task<> Tell(Connection conn) {
  while (auto line = co_await conn.ReadUntil("\n", 300'000, {.idle = true})) {
    const uint64_t count = ++conn.state<Told>().count;
    const std::string answer = absl::StrCat(getpid(), " ", count, " ", *line);
    lines.Add();
    if (co_await conn.Write(answer) != IoError::kOk) break;
  }
}

// --- http

uint64_t Number(const HttpRequest& request, absl::string_view name) {
  uint64_t number = 0;
  const bool ok =
      absl::SimpleAtoi(request.Query(name).value_or("none"), &number);
  return ok ? number : 0;
}

HttpResponse Signed(std::string body) {
  return HttpResponse::Text(std::move(body))
      .Header("X-Pid", absl::StrCat(getpid()));
}

HttpResponse Text(const HttpRequest& request) {
  return Signed(ChaosText(Number(request, "number"), Number(request, "size")));
}

HttpResponse Echo(const HttpRequest& request) {
  return Signed(std::string(request.body()));
}

Task<> Stream(HttpCall call) {
#ifdef CHAOS_SECOND_BUILD
  streams.Add();
#endif
  const uint64_t number = Number(call.request(), "number");
  const uint64_t parts = Number(call.request(), "parts");
  const uint64_t size = Number(call.request(), "size");
  const auto pause = absl::Milliseconds(Number(call.request(), "pause_ms"));
  IoError error = co_await call.Begin(Signed(""));
  for (uint64_t i = 0; i < parts && error == IoError::kOk; ++i) {
    const std::string part = ChaosText(number + i, size);
    error = co_await call.Send(part);
    if (error == IoError::kOk) error = co_await Sleep(pause);
  }
}

Task<HttpResponse> Sum(HttpCall call) {
  uint64_t size = 0, sum = 0;
  while (auto part = co_await call.ReadSome()) {
    size += part->size();
    sum = ChaosSum(sum, part->data(), part->size());
  }
  co_return Signed(absl::StrCat(size, " ", sum, "\n"));
}

// --- crash

void Crash() {
  // Only one worker of a configuration, and only if the test still wants it.
  if (unlink(absl::StrCat(FLAGS_chaos_folder, "/crash").c_str()) != 0) return;
  // The test may just have taken its descriptors away.
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) std::abort();
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) std::abort();
  const std::string path =
      absl::StrCat(FLAGS_chaos_folder, "/", getpid(), ".held");
  const std::string unfinished = path + "~";
  {
    std::ofstream file(unfinished);
    file << MonotonicClock::Get()->NowNanos() << "\n";
    for (const ConnectionKey& key : OwnConnections())
      file << key.client << " " << key.server << "\n";
  }
  if (rename(unfinished.c_str(), path.c_str()) != 0) std::abort();
  _exit(kChaosCrashCode);
}

absl::Status PlanCrash() {
  if (FLAGS_chaos_crash_after_ms == 0) return absl::OkStatus();
  static auto& crash = *new PeriodicTask;
  crash = RunAfter(absl::Milliseconds(FLAGS_chaos_crash_after_ms), Crash);
  return absl::OkStatus();
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    baton::RegisterBuiltinServices(services);
    services.Stream("tell", baton::Tell).WithState<baton::Told>();
    services.Http("chaos")
        .Get("/text", baton::Text)
        .Get("/stream", baton::Stream)
        .Post("/echo", baton::Echo)
        .Post("/sum", baton::Sum, {.max_body = 64 << 20});
    services.OnWorkerStart(baton::PlanCrash);
  });
}
