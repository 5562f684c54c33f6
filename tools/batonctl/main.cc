// batonctl: asks a running baton, and tells it what to do, by its control
// socket.

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "master/control_path.h"
#include "master/local_http.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"
#include "tools/batonctl/status_table.h"

namespace baton {
namespace {

constexpr int kOk = 0;
constexpr int kNotDone = 1;  // rejected, rolled back
constexpr int kUsage = 2;
constexpr int kNotAsked = 3;  // no server, no right, no answer

constexpr absl::Duration kPatience = absl::Seconds(5);

constexpr char kHelp[] =
    "batonctl [--control=PATH] [--json] COMMAND\n"
    "\n"
    "  status      how the server and each of its workers are\n"
    "  reload      read the configuration again; 0 when the new workers "
    "serve,\n"
    "              1 and the reason when it was rejected or rolled back\n"
    "  upgrade     become the binary that is on disk now, with the same PID "
    "and\n"
    "              connections; 0 and 1 like reload\n"
    "  scale N     N workers from now on; 0 when they serve\n"
    "  stop        stop gracefully; 0 when the server is gone\n"
    "\n"
    "  --control=PATH  the server's --control ($BATON_CONTROL)\n"
    "  --json          print what the server says, as it says it; if it is "
    "not\n"
    "                  asked, \"outcome\" (\"not_asked\") and \"reason\"\n"
    "\n"
    "Exit: 0 done, 1 not done, 2 bad usage, 3 no server or no right to ask "
    "it.\n";

struct Options {
  std::string control = DefaultControlPath();
  bool json = false;
  std::vector<std::string> words;
};

int Fail(int code, absl::string_view message) {
  fprintf(stderr, "batonctl: %.*s\n", static_cast<int>(message.size()),
          message.data());
  return code;
}

// To do what was asked for. With --json the reason is on stdout, too, as if the
// server had said it.
int Refuse(const Options& options, int code, absl::string_view reason) {
  reason = absl::StripTrailingAsciiWhitespace(reason);
  if (options.json) {
    const nlohmann::ordered_json verdict = {
        {"outcome", code == kNotDone ? "rejected" : "not_asked"},
        {"reason", std::string(reason)}};
    puts(verdict
             .dump(-1, ' ', /*ensure_ascii=*/false,
                   nlohmann::json::error_handler_t::replace)
             .c_str());
  }
  return Fail(code, reason);
}

class Client {
 public:
  explicit Client(const Options& options) : options_(options) {}

  absl::StatusOr<LocalHttpResponse> Ask(absl::string_view method,
                                        absl::string_view target,
                                        absl::Duration timeout) const {
    if (options_.control.empty()) {
      return absl::InvalidArgumentError(
          "which server? name its socket: --control=PATH");
    }
    const absl::StatusOr<Endpoint> server = Endpoint::Parse(options_.control);
    if (!server.ok()) return server.status();
    return AskLocally(*server, method, target, timeout);
  }

 private:
  const Options& options_;
};

int PrintStatus(const Options& options) {
  const absl::StatusOr<LocalHttpResponse> answer =
      Client(options).Ask("GET", "/status", kPatience);
  if (!answer.ok())
    return Refuse(options, kNotAsked, answer.status().message());
  if (answer->status != 200) return Refuse(options, kNotAsked, answer->body);
  if (options.json) {
    fputs(answer->body.c_str(), stdout);
    return kOk;
  }
  const absl::StatusOr<std::string> table = StatusTable(answer->body);
  if (!table.ok()) return Fail(kNotAsked, table.status().message());
  fputs(table->c_str(), stdout);
  return kOk;
}

// What the server answers to a command is its verdict.
int Command(const Options& options, absl::string_view target,
            absl::string_view done) {
  const absl::StatusOr<LocalHttpResponse> answer =
      Client(options).Ask("POST", target, absl::InfiniteDuration());
  if (!answer.ok())
    return Refuse(options, kNotAsked, answer.status().message());
  const nlohmann::json verdict =
      nlohmann::json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
  if (!verdict.is_object()) {
    return Refuse(
        options,
        answer->status == 403 || answer->status == 503 ? kNotAsked : kNotDone,
        answer->body);
  }
  if (options.json) fputs(answer->body.c_str(), stdout);
  if (answer->status == 200) {
    if (!options.json) {
      printf("%.*s: generation %llu, workers %d\n",
             static_cast<int>(done.size()), done.data(),
             verdict.value("generation", 0ull), verdict.value("workers", 0));
    }
    return kOk;
  }
  return Fail(kNotDone,
              absl::StrCat(verdict.value("outcome", "not done"), ": ",
                           verdict.value("reason", "no reason given")));
}

// Its process, to wait for: pidfd_open(2).
absl::StatusOr<UniqueFd> ServerProcess(const Options& options) {
  const absl::StatusOr<LocalHttpResponse> answer =
      Client(options).Ask("GET", "/status", kPatience);
  if (!answer.ok()) return answer.status();
  const nlohmann::json status =
      nlohmann::json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
  const int pid = status.is_object() ? status.value("pid", 0) : 0;
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return absl::InternalError("the server's process is not there");
  return process;
}

int Stop(const Options& options) {
  const absl::StatusOr<UniqueFd> process = ServerProcess(options);
  if (!process.ok()) {
    return Refuse(options, kNotAsked, process.status().message());
  }
  if (const int code = Command(options, "/stop", "stopping"); code != kOk) {
    return code;
  }
  pollfd gone = {.fd = process->get(), .events = POLLIN, .revents = 0};
  while (poll(&gone, 1, -1) < 0) {
  }
  if (!options.json) puts("stopped");
  return kOk;
}

int Scale(const Options& options) {
  int workers = 0;
  if (options.words.size() != 2 ||
      !absl::SimpleAtoi(options.words[1], &workers) || workers < 1) {
    return Refuse(options, kUsage, "scale N: how many workers, 1 at least");
  }
  return Command(options, absl::StrCat("/scale?workers=", workers), "scaled");
}

int Run(const Options& options) {
  const std::string command =
      options.words.empty() ? "" : options.words.front();
  if (command == "scale") return Scale(options);
  if (options.words.size() == 1) {
    if (command == "status") return PrintStatus(options);
    if (command == "reload") return Command(options, "/reload", "reloaded");
    if (command == "upgrade") return Command(options, "/upgrade", "upgraded");
    if (command == "stop") return Stop(options);
  }
  if (options.json) {
    return Refuse(options, kUsage, "no such command; see batonctl --help");
  }
  fputs(kHelp, stderr);
  return kUsage;
}

int Main(int argc, char** argv) {
  Options options;
  std::string unknown;
  if (const char* control = getenv("BATON_CONTROL")) options.control = control;
  for (int i = 1; i < argc; ++i) {
    absl::string_view word = argv[i];
    if (word == "--help") {
      fputs(kHelp, stdout);
      return kOk;
    }
    if (absl::ConsumePrefix(&word, "--control=")) {
      options.control = std::string(word);
    } else if (word == "--json") {
      options.json = true;
    } else if (absl::StartsWith(word, "-")) {
      if (unknown.empty()) unknown = std::string(word);
    } else {
      options.words.emplace_back(word);
    }
  }
  // Not before --json is known.
  if (!unknown.empty()) {
    return Refuse(
        options, kUsage,
        absl::StrCat("unknown option ", unknown, "; see batonctl --help"));
  }
  return Run(options);
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) { return baton::Main(argc, argv); }
