#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "master/baton.h"
#include "master/config_loader.h"
#include "master/config_probe.h"
#include "master/help.h"
#include "master/local_http.h"
#include "master/master.h"
#include "master/process_title.h"
#include "master/version.h"
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

// The configuration is good; are the services, with it, and as that user?
int Check(const Config& config, const Services& services) {
  if (absl::Status status = CheckServices(config, services); !status.ok()) {
    return Fail(kBadConfiguration, status);
  }
  for (const std::string& warning : config.warnings) {
    PrintError("warning: ", warning);
  }
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

int Serve(const char* program, const ConfigLoader& loader,
          std::shared_ptr<const Config> config, const Services& services) {
  // A peer that is gone is an error of the write that meets it.
  SetDisposition(SIGPIPE, SIG_IGN);
  // And a file that may not grow, the log above all, one of the write:
  // setrlimit(2), RLIMIT_FSIZE. Workers inherit both.
  SetDisposition(SIGXFSZ, SIG_IGN);
  // Ignored by whoever started us, it would take the workers' exits away -
  // waitpid(2).
  SetDisposition(SIGCHLD, SIG_DFL);
  absl::StatusOr<UniqueFd> log_fd = OpenLog(config->log_file);
  if (!log_fd.ok()) return Fail(kCouldNotStart, log_fd.status());
  google::InitGoogleLogging(program);
  LineLogSink log(*std::move(log_fd), config->log_format, "master");
  const CrashTrace crash_trace(program, log);
  for (const std::string& warning : config->warnings) LOG(WARNING) << warning;
  Master master(loader, std::move(config), services, log);
  return master.Run();
}

}  // namespace

int Main(int argc, char** argv,
         absl::FunctionRef<void(Services&)> register_services) {
  OpenStandardFds();
  ProcessTitle::Init(argc, argv);
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  Services services;
  register_services(services);
  const std::vector<std::string> schemes = services.Schemes();
  absl::StatusOr<ConfigLoader> loader = ConfigLoader::Create(
      args, environment, {schemes, [&services](const ListenUrl& url) {
                            return services.Check(url);
                          }});
  if (!loader.ok()) return Fail(kBadConfiguration, loader.status());
  const char* program = argc > 0 ? argv[0] : "baton";
  switch (loader->action()) {
    case StartAction::kHelp:
      return Print(HelpText(program, schemes));
    case StartAction::kHelpFull:
      return Print(HelpFullText(program, schemes));
    case StartAction::kVersion:
      return Print(VersionText());
    case StartAction::kHealthCheck:
      return AskServer(*loader, "/healthz");
    case StartAction::kReadyCheck:
      return AskServer(*loader, "/readyz");
    case StartAction::kCheck:
    case StartAction::kServe:
      break;
  }
  absl::StatusOr<std::string> bytes = loader->ReadFile();
  if (!bytes.ok()) return Fail(kBadConfiguration, bytes.status());
  absl::StatusOr<std::shared_ptr<const Config>> config = loader->Load(*bytes);
  if (!config.ok()) return Fail(kBadConfiguration, config.status());
  if (loader->action() == StartAction::kCheck) {
    return Check(**config, services);
  }
  return Serve(program, *loader, *std::move(config), services);
}

}  // namespace baton
