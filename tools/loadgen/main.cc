// The command line of loadgen: flags in, report out. What it does is in
// engine.h and interactive.h.

#include <gflags/gflags.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/signal_fd.h"
#include "net/units.h"
#include "tools/loadgen/client_socket.h"
#include "tools/loadgen/engine.h"
#include "tools/loadgen/interactive.h"
#include "tools/loadgen/load_options.h"
#include "tools/loadgen/load_target.h"
#include "tools/loadgen/report.h"

DEFINE_int32(connections, 1, "connections at once");
DEFINE_string(duration, "", "how long to run; 10s unless --count is given");
DEFINE_int64(count, 0, "exchanges to run, failed ones included; 0 = no limit");
DEFINE_double(rate, 0,
              "exchanges per second, all connections together; latency then "
              "counts from the time an exchange was due. 0 = closed loop");
DEFINE_string(size, "64", "bytes of a message");
DEFINE_int64(churn, 0, "a new connection every so many exchanges; 0 = keep");
DEFINE_string(think, "0s", "closed loop: pause before the next exchange");
DEFINE_string(timeout, "5s", "for connecting, and for an exchange");
DEFINE_bool(idle, false,
            "one exchange on each connection, hold them for --duration, one "
            "more on each");
DEFINE_bool(
    urgent, false,
    "an urgent byte in the middle of each message, to come back urgent");
DEFINE_int32(connecting, 256, "connections being established at once");
DEFINE_int32(sources, 0,
             "127.x.x.x addresses to connect from, to a target there; 0 = as "
             "needed");
DEFINE_bool(spin, false, "--rate: poll for the next time instead of sleeping");
DEFINE_bool(interactive, false,
            "send what is typed, print what arrives; Ctrl-D half-closes");
DEFINE_bool(progress, false, "a line each second, also when not a terminal");
DEFINE_bool(json, false, "report as one JSON object");

DECLARE_bool(help);
DECLARE_bool(helpshort);

namespace GFLAGS_NAMESPACE {
// What gflags calls on a bad flag, with 1; it is in no header.
extern void (*gflags_exitfunc)(int);
}  // namespace GFLAGS_NAMESPACE

namespace baton::loadgen {
namespace {

constexpr int kExitErrors = 1;
constexpr int kExitUsage = 2;

constexpr char kHelp[] =
    R"(loadgen [flags] URL: load for a server, every answer checked

URL   echo://HOST:PORT      echo+unix:///PATH      echo+udp://HOST:PORT
      discard://HOST:PORT   discard+unix, +udp     http://HOST[:PORT][/PATH]

How much
  --connections=1     connections at once
  --rate=0            exchanges per second in all, each measured from the time
                      it was due; 0 = closed loop, as fast as answers come
  --duration=10s      how long; with --count: no limit
  --count=0           how many exchanges, failed ones included; 0 = no limit
What
  --size=64           bytes of a message (64KiB, 1MiB)
  --churn=0           a new connection every so many exchanges; 0 = keep
  --think=0s          closed loop: pause before the next exchange
  --timeout=5s        for connecting, and for an exchange
  --idle              one exchange each, hold for --duration, one more each
  --urgent            an urgent byte in each message, to come back urgent
  --connecting=256    connections being established at once
  --sources=0         127.x.x.x addresses to connect from; 0 = as needed
  --spin              --rate: poll for the next time instead of sleeping
Report
  --json              one JSON object       --progress  a line each second
By hand
  --interactive       send what is typed, print what arrives; Ctrl-D ends the
                      sending; --urgent: a '!' out of band in each line

  loadgen --connections=100 echo://127.0.0.1:7007
  loadgen --connections=50 --rate=20000 --duration=30s --json http://[::1]:8080/
  loadgen --connections=16 --churn=1 --duration=1m http://127.0.0.1:8080/
  loadgen --connections=10000 --idle --duration=1m echo://127.0.0.1:7007

Exit code: 0 no error happened, 1 some did, 2 bad usage. Ctrl-C ends a run.
)";

int Complain(const absl::Status& status, int exit_code) {
  absl::FPrintF(stderr, "loadgen: %s\n", std::string(status.message()));
  return exit_code;
}

absl::Status ParseDurationFlag(absl::string_view name, absl::string_view text,
                               absl::Duration* result) {
  auto duration = ParseDuration(text);
  if (!duration.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, ": ", duration.status().message()));
  }
  *result = *duration;
  return absl::OkStatus();
}

absl::StatusOr<LoadOptions> OptionsFromFlags(absl::string_view url) {
  LoadOptions options;
  auto target = LoadTarget::Parse(url);
  if (!target.ok()) return target.status();
  options.target = *std::move(target);
  auto size = ParseSize(FLAGS_size);
  if (!size.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--size: ", size.status().message()));
  }
  options.size = *size;
  if (FLAGS_duration.empty()) {
    if (FLAGS_count == 0) options.duration = absl::Seconds(10);
  } else if (absl::Status status = ParseDurationFlag("duration", FLAGS_duration,
                                                     &options.duration);
             !status.ok()) {
    return status;
  }
  absl::Status status = ParseDurationFlag("think", FLAGS_think, &options.think);
  status.Update(ParseDurationFlag("timeout", FLAGS_timeout, &options.timeout));
  if (!status.ok()) return status;
  options.connections = FLAGS_connections;
  options.rate = FLAGS_rate;
  options.churn = FLAGS_churn;
  options.count = FLAGS_count;
  options.idle = FLAGS_idle;
  options.urgent = FLAGS_urgent;
  options.spin = FLAGS_spin;
  options.connecting = FLAGS_connecting;
  options.sources = FLAGS_sources;
  status = CheckLoadOptions(options);
  if (!status.ok()) return status;
  return options;
}

// On a terminal one line that is written over; else a line each.
void PrintProgress(const Progress& progress, bool terminal) {
  const double seconds = absl::ToDoubleSeconds(progress.interval);
  absl::FPrintF(
      stderr,
      "%s%4.0f s  %8.0f/s  p50 %.0f us  p99 %.0f us  %d open  %d errors%s",
      terminal ? "\r" : "", absl::ToDoubleSeconds(progress.elapsed),
      static_cast<double>(progress.latency->count()) / seconds,
      static_cast<double>(progress.latency->ValueAt(0.5)) / 1e3,
      static_cast<double>(progress.latency->ValueAt(0.99)) / 1e3,
      progress.open_connections, progress.errors, terminal ? "\033[K" : "\n");
}

int RunInteractive(const LoadOptions& options) {
  auto socket = ConnectWithin(options.target, options.timeout);
  if (!socket.ok()) return Complain(socket.status(), kExitErrors);
  InteractiveOptions interactive;
  interactive.urgent = options.urgent;
  interactive.datagrams =
      options.target.transport == LoadTarget::Transport::kUdp;
  interactive.answers = options.target.scheme != LoadTarget::Scheme::kDiscard;
  interactive.patience = options.timeout;
  const absl::Status status = Interact(*std::move(socket), interactive);
  return status.ok() ? 0 : Complain(status, kExitErrors);
}

int RunAndReport(LoadOptions options) {
  auto signals = SignalFd::Create({SIGINT, SIGTERM});
  if (!signals.ok()) return Complain(signals.status(), kExitErrors);
  options.stop_fd = signals->fd();
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  bool line_open = false;
  if (terminal || FLAGS_progress) {
    options.progress = [terminal, &line_open](const Progress& progress) {
      PrintProgress(progress, terminal);
      line_open = terminal;
    };
  }
  const auto report = RunLoad(std::move(options));
  if (!report.ok()) {
    const bool usage = absl::IsInvalidArgument(report.status()) ||
                       absl::IsResourceExhausted(report.status());
    return Complain(report.status(), usage ? kExitUsage : kExitErrors);
  }
  if (line_open) std::fputc('\n', stderr);
  const std::string text =
      FLAGS_json ? ReportJson(*report) + "\n" : ReportText(*report);
  std::fputs(text.c_str(), stdout);
  return std::fflush(stdout) == 0 ? report->exit_code() : kExitErrors;
}

int Main(int argc, char** argv) {
  GFLAGS_NAMESPACE::gflags_exitfunc = [](int) { std::exit(kExitUsage); };
  GFLAGS_NAMESPACE::ParseCommandLineNonHelpFlags(&argc, &argv, true);
  if (FLAGS_help || FLAGS_helpshort) {
    std::fputs(kHelp, stdout);
    return 0;
  }
  GFLAGS_NAMESPACE::HandleCommandLineHelpFlags();
  if (argc != 2) {
    return Complain(
        absl::InvalidArgumentError("one URL is wanted; see loadgen --help"),
        kExitUsage);
  }
  auto options = OptionsFromFlags(argv[1]);
  if (!options.ok()) return Complain(options.status(), kExitUsage);
  return FLAGS_interactive ? RunInteractive(*options)
                           : RunAndReport(*std::move(options));
}

}  // namespace
}  // namespace baton::loadgen

int main(int argc, char** argv) { return baton::loadgen::Main(argc, argv); }
