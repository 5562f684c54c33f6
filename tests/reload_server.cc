// A server for tests of reloads that fail: what its set-up does is told by
// flags.
//
//   greet  answers each line with --greeting. Its option root=DIR names a
//          folder that must be readable; who looks is in $LOOKED_BY
//   stuck  reads a line and never answers
//
// and the built-in services. It is built four times: the second build has a
// flag and metrics that the first lacks, and lacks one; the third gives a
// server that it is to take over back; the fourth takes over what an older one
// would have left.

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "baton.h"
#include "gflags/gflags.h"
#if defined(THIRD_BUILD) || defined(FOURTH_BUILD)
#include <vector>

#include "glog/logging.h"
#include "master/handoff.h"
#include "master/program.h"
#include "nlohmann/json.hpp"
#endif

DEFINE_string(greeting, "hello", "what greet answers");
DEFINE_bool(polite, true, "only with a --greeting that is");
// What happens in the set-up.
DEFINE_bool(set_up_fails, false, "it does");
DEFINE_bool(set_up_crashes, false, "it does");
DEFINE_bool(set_up_hangs, false, "it does");
// And in that of workers and a new binary's canary, but not of the probe.
DEFINE_bool(worker_fails, false, "its set-up does");
DEFINE_bool(worker_hangs, false, "its set-up does");
DEFINE_bool(worker_crashes_later, false, "100 ms after its set-up");
DEFINE_bool(worker_1_crashes, false, "that of slot 1, in its set-up");
DEFINE_string(worker_1_waits_for, "", "that of slot 1, until there is a file");
DEFINE_string(worker_hangs_at, "", "if there is this file");
DEFINE_string(valid_while, "", "a value only while there is this file");

#ifdef SECOND_BUILD
DEFINE_string(salutation, "", "a flag that the first build lacks");
#endif

namespace baton {
namespace {

// Before the one that both have: there it is somewhere else.
#ifdef SECOND_BUILD
MetricHistogram line_bytes("line_bytes", "How long lines are.", {1, 10, 100});
MetricCounter own_lines("second_build_lines_total", "Lines that were read.");
#else
MetricCounter own_lines("first_build_lines_total", "Lines that were read.");
#endif
MetricCounter greetings("greetings_total", "Lines that were answered.");

// "baton: worker 1 (generation 2)", as ps shows it.
std::string OwnTitle() {
  std::ifstream file("/proc/self/cmdline");
  return {std::istreambuf_iterator<char>(file), {}};
}

// By a signal of which no stack is printed into the log.
void Crash() { raise(SIGTRAP); }

void Hang() {
  while (true) pause();
}

bool Exists(const std::string& path) {
  return !path.empty() && access(path.c_str(), F_OK) == 0;
}

bool IsValid(const char* /*flag*/, const std::string& path) {
  return path.empty() || Exists(path);
}
DEFINE_validator(valid_while, &IsValid);

absl::Status SetUpWorker(absl::string_view title) {
  static PeriodicTask later;
  if (FLAGS_worker_fails) return absl::UnavailableError("no database any more");
  if (FLAGS_worker_hangs || Exists(FLAGS_worker_hangs_at)) Hang();
  if (FLAGS_worker_crashes_later) {
    later = RunAfter(absl::Milliseconds(100), Crash);
  }
  if (absl::StrContains(title, "worker 1")) {
    while (!FLAGS_worker_1_waits_for.empty() &&
           !Exists(FLAGS_worker_1_waits_for)) {
      poll(nullptr, 0, 1);
    }
    if (FLAGS_worker_1_crashes) Crash();
  }
  return absl::OkStatus();
}

absl::Status SetUp() {
  if (FLAGS_polite && FLAGS_greeting == "rude") {
    return absl::InvalidArgumentError("--greeting=rude contradicts --polite");
  }
  if (FLAGS_set_up_fails) return absl::UnavailableError("no database");
  if (FLAGS_set_up_crashes) Crash();
  if (FLAGS_set_up_hangs) Hang();
  const std::string title = OwnTitle();
  const bool works = absl::StartsWith(title, "baton: worker") ||
                     absl::StartsWith(title, "baton: canary");
  return works ? SetUpWorker(title) : absl::OkStatus();
}

absl::Status CheckRoot(absl::string_view folder) {
  const std::string path(folder);
  if (const char* by = getenv("LOOKED_BY"); by != nullptr) {
    std::ofstream(by, std::ios::app) << getpid() << std::endl;
  }
  if (access(path.c_str(), R_OK | X_OK) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError("not a folder that can be read");
}

Task<> Greet(Connection conn) {
  while (auto line = co_await conn.ReadUntil("\n", 4096, {.idle = true})) {
    own_lines.Add();
    greetings.Add();
#ifdef SECOND_BUILD
    line_bytes.Observe(static_cast<double>(line->size()));
#endif
    const std::string answer = absl::StrCat(FLAGS_greeting, "\n");
    if (co_await conn.Write(answer) != IoError::kOk) break;
  }
}

Task<> Stuck(Connection conn) {
  const ReadResult line = co_await conn.ReadUntil("\n", 64, {.idle = true});
  if (!line) co_return;
  IoError error = IoError::kOk;
  while (error == IoError::kOk) error = co_await Sleep(absl::Hours(1));
}

#if defined(THIRD_BUILD) || defined(FOURTH_BUILD)
// Of the process, which is to be a master; nothing otherwise.
std::optional<Handoff> TakeMasters(std::vector<std::string>& environment) {
  const char* left = getenv(kHandoffVariable);
  if (left == nullptr || !absl::StartsWith(left, "master:")) return {};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  return *TakeHandoff(environment);
}
#endif

#ifdef THIRD_BUILD
// A build that passes its check and its canary, and then can't take over.
void GiveBack(int argc, char** argv) {
  std::vector<std::string> environment;
  const std::optional<Handoff> handoff = TakeMasters(environment);
  if (!handoff.has_value()) return;
  FLAGS_minloglevel = google::GLOG_FATAL;  // the log is JSON
  Program({argv, argv + argc}, environment)
      .GiveBack(*handoff, absl::InternalError("this build gives back"));
  Crash();
}
#endif

#ifdef FOURTH_BUILD
// What has come since that one.
void MakeOlder() {
  std::vector<std::string> environment;
  std::optional<Handoff> handoff = TakeMasters(environment);
  if (!handoff.has_value()) return;
  for (nlohmann::json& link : handoff->document.at("links")) {
    for (const char* field :
         {"access_logs", "stall_timeout", "recycled_at_rss", "reserved_for"}) {
      if (link.erase(field) == 0) Crash();
    }
  }
  const std::string text =
      HandoffText(handoff->role, WriteHandoff(handoff->document)->release());
  setenv(kHandoffVariable, text.c_str(), 1);
}
#endif

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
#ifdef THIRD_BUILD
  baton::GiveBack(argc, argv);
#endif
#ifdef FOURTH_BUILD
  baton::MakeOlder();
#endif
  return baton::Main(argc, argv, [](baton::Services& services) {
    baton::RegisterBuiltinServices(services);
    services.Stream("greet", baton::Greet).WithOption("root", baton::CheckRoot);
    services.Stream("stuck", baton::Stuck);
    services.OnWorkerStart(baton::SetUp);
  });
}
