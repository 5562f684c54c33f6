#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "glog/logging.h"
#include "master/access_log_files.h"
#include "master/baton.h"
#include "master/canary.h"
#include "master/config_loader.h"
#include "master/config_probe.h"
#include "master/handoff.h"
#include "master/help.h"
#include "master/inherited_fd.h"
#include "master/known_names.h"
#include "master/local_http.h"
#include "master/master.h"
#include "master/process_title.h"
#include "master/program.h"
#include "master/version.h"
#include "net/in_context.h"
#include "net/quote.h"
#include "nlohmann/json.hpp"
#include "worker/crash_trace.h"
#include "worker/log_line.h"
#include "worker/log_sink.h"
#include "worker/log_writer.h"

namespace baton {
namespace {

constexpr int kCouldNotStart = 1;
constexpr int kBadConfiguration = 2;

constexpr size_t kMaxMessageBytes = 64 * 1024;

// Before there is a log, and as safe: a value of a flag or a line of a file
// that it quotes may hold anything, and stderr may be a terminal.
void PrintError(absl::string_view prefix, absl::string_view message) {
  std::string line = absl::StrCat("baton: ", prefix);
  AppendTextEscaped(message, kMaxMessageBytes, &line);
  line.push_back('\n');
  fwrite(line.data(), 1, line.size(), stderr);
}

int Fail(int code, const absl::Status& status) {
  PrintError("", status.message());
  return code;
}

int Print(const std::string& text) {
  fputs(text.c_str(), stdout);
  if (text.empty() || text.back() != '\n') fputc('\n', stdout);
  return fflush(stdout) == 0 ? 0 : kCouldNotStart;
}

// A process that was started without them would get a socket as descriptor 2,
// and somebody's message in it.
void OpenStandardFds() {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) close(fd);
}

void SetDisposition(int number, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  PCHECK(sigaction(number, &action, nullptr) == 0);
}

std::vector<std::string> WarningsAtStart(const Config& config) {
  std::vector<std::string> warnings = config.warnings;
  const bool named =
      config.run_as.has_value() && config.run_as->uid.has_value();
  if (geteuid() == 0 && !named) {
    warnings.emplace_back(
        "workers run as root: --user=NAME lets them run as another user "
        "(--user=root, if that is meant)");
  }
  return warnings;
}

// The configuration is good; are the services, with it, and as that user?
// `names` are printed too, before code of that user could: for a binary that
// waits for nobody.
int Check(const Config& config, const Services& services,
          const std::string& names) {
  if (!names.empty()) Print(names);
  std::vector<std::string> warnings = WarningsAtStart(config);
  // With the rights that it is opened with.
  for (const std::string& path : services.AccessLogs(config.listen)) {
    if (!IsFifo(path)) continue;
    warnings.push_back(
        absl::StrCat("--listen: access_log=", Quote(path),
                     " is a FIFO: the server starts only while somebody reads "
                     "it"));
  }
  if (absl::Status status = CheckServices(config, services); !status.ok()) {
    return Fail(kBadConfiguration, status);
  }
  for (const std::string& warning : warnings) PrintError("warning: ", warning);
  return Print("configuration ok");
}

// The server that was started with this configuration: exit code 0 if it
// answers that all is well.
int AskServer(const ConfigLoader& loader, absl::string_view path) {
  constexpr absl::Duration kPatience = absl::Seconds(3);
  const absl::StatusOr<std::string> file = loader.ReadFile();
  const absl::StatusOr<Endpoint> server =
      loader.WhereToAsk(file.ok() ? *file : "");
  if (!server.ok()) return Fail(kCouldNotStart, server.status());
  // To connect to a wildcard is to connect to this machine, on Linux.
  const absl::StatusOr<LocalHttpResponse> answer =
      AskLocally(*server, "GET", path, kPatience);
  if (!answer.ok()) return Fail(kCouldNotStart, answer.status());
  const int printed = Print(answer->body);
  return answer->status == 200 ? printed : kCouldNotStart;
}

void SetCommandName(const std::string& path) {
  prctl(PR_SET_NAME, path.substr(path.rfind('/') + 1).c_str());
}

// What of a master's, and of its children's, is the process's.
void PrepareProcess(const char* name) {
  // A peer that is gone is an error of the write that meets it.
  SetDisposition(SIGPIPE, SIG_IGN);
  // And a file that may not grow, the log above all, one of the write:
  // setrlimit(2), RLIMIT_FSIZE. Workers inherit both.
  SetDisposition(SIGXFSZ, SIG_IGN);
  // Ignored by whoever started us, it would take the workers' exits away -
  // waitpid(2).
  SetDisposition(SIGCHLD, SIG_DFL);
  google::InitGoogleLogging(name);
}

// What all of these have.
struct Start {
  const char* name;
  Program program;
  Services services;
  std::optional<ConfigLoader> loader;

  Master::Host HostWith(LineLogSink& log) const {
    return {program, *loader, services, log};
  }
};

int Serve(const Start& start, std::shared_ptr<const Config> config) {
  absl::StatusOr<UniqueFd> log_fd = OpenLog(config->log_file);
  if (!log_fd.ok()) {
    return Fail(kCouldNotStart, InContext("--log_file", log_fd.status()));
  }
  PrepareProcess(start.name);
  LineLogSink log(*std::move(log_fd), config->log_format, "master");
  const CrashTrace crash_trace(start.name, log);
  for (const std::string& warning : WarningsAtStart(*config)) {
    LOG(WARNING) << warning;
  }
  Master master(start.HostWith(log), std::move(config));
  return master.Run();
}

// In place of the binary before. `loader` is why there is none, if there is
// none.
int TakeOver(Start& start, const absl::Status& loader, Handoff handoff) {
  int inherited = -1;
  LogFormat format = LogFormat::kText;
  try {
    const nlohmann::json& log = handoff.document.at("log");
    inherited = log.at("fd").get<int>();
    format = log.at("format").get<LogFormat>();
    start.program.GoOnAt(handoff.document.at("path").get<std::string>());
  } catch (const std::exception& error) {  // the library's only way
    PrintError("", error.what());
  }
  absl::StatusOr<UniqueFd> log_fd =
      inherited < 0 ? OpenLog("") : TakeInheritedFd(inherited);
  if (!log_fd.ok()) return Fail(kCouldNotStart, log_fd.status());
  PrepareProcess(start.name);
  LineLogSink log(*std::move(log_fd), format, "master");
  const CrashTrace crash_trace(start.name, log);
  if (!loader.ok()) {
    start.program.GiveBack(handoff, loader);
    return kCouldNotStart;
  }
  Master master(start.HostWith(log), std::move(handoff));
  return master.Run();
}

int BeCanary(const Start& start, const Config& config, const Handoff& handoff) {
  absl::StatusOr<UniqueFd> log_fd =
      TakeInheritedFd(handoff.document.value("log", -1));
  if (!log_fd.ok()) return Fail(kCouldNotStart, log_fd.status());
  PrepareProcess(start.name);
  LineLogSink log(*std::move(log_fd),
                  handoff.document.value("log_format", LogFormat::kText),
                  "canary");
  const CrashTrace crash_trace(start.name, log);
  return RunCanary(handoff, config, start.services, log);
}

// Instead of a server.
std::optional<int> DoAction(const Start& start,
                            const std::vector<std::string>& schemes) {
  switch (start.loader->action()) {
    case StartAction::kHelp:
      return Print(HelpText(start.name, schemes));
    case StartAction::kHelpFull:
      return Print(HelpFullText(start.name, schemes));
    case StartAction::kVersion:
      return Print(VersionText());
    case StartAction::kHealthCheck:
      return AskServer(*start.loader, "/healthz");
    case StartAction::kReadyCheck:
      return AskServer(*start.loader, "/readyz");
    case StartAction::kCheck:
    case StartAction::kServe:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

int Main(int argc, char** argv,
         absl::FunctionRef<void(Services&)> register_services) {
  OpenStandardFds();
  ProcessTitle::Init(argc, argv);
  std::vector<std::string> args(argv, argv + argc);
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  absl::StatusOr<std::optional<Handoff>> handoff = TakeHandoff(environment);
  if (!handoff.ok()) return Fail(kBadConfiguration, handoff.status());
  Start start{argc > 0 ? argv[0] : "baton", Program(args, environment),
              Services(), std::nullopt};
  // An exec by descriptor names the process by its number - execveat(2).
  if (handoff->has_value()) SetCommandName(start.program.path());
  register_services(start.services);
  const std::vector<std::string> schemes = start.services.Schemes();
  if (argc > 0) args.erase(args.begin());
  absl::StatusOr<ConfigLoader> loader = ConfigLoader::Create(
      args, environment,
      {schemes,
       [&start](const ListenUrl& url) { return start.services.Check(url); },
       [&start](absl::Span<const ListenUrl> urls) {
         return start.services.CheckTogether(urls);
       }});
  const absl::Status status = loader.status();
  if (loader.ok()) start.loader.emplace(*std::move(loader));
  if (handoff->has_value() && (*handoff)->role == Handoff::Role::kMaster) {
    return TakeOver(start, status, **std::move(handoff));
  }
  if (!status.ok()) return Fail(kBadConfiguration, status);
  if (const std::optional<int> code = DoAction(start, schemes)) return *code;
  absl::StatusOr<std::string> bytes =
      handoff->has_value() ? (*handoff)->document.value("flag_file", "")
                           : start.loader->ReadFile();
  if (!bytes.ok()) return Fail(kBadConfiguration, bytes.status());
  const nlohmann::json names =
      handoff->has_value()
          ? (*handoff)->document.value("names", nlohmann::json())
          : nlohmann::json();
  absl::StatusOr<std::shared_ptr<const Config>> config =
      start.loader->Load(*bytes, KnownNames::FromJson(names));
  if (!config.ok()) return Fail(kBadConfiguration, config.status());
  if (start.loader->action() == StartAction::kCheck) {
    const bool offers = handoff->has_value();
    const int code = Check(**config, start.services,
                           offers ? NamesLine((*config)->names) : "");
    return code == 0 && offers ? Print(HandoffOffer()) : code;
  }
  if (handoff->has_value()) return BeCanary(start, **config, **handoff);
  return Serve(start, *std::move(config));
}

}  // namespace baton
