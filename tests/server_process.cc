#include "tests/server_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "net/clock.h"

namespace baton {
namespace {

// Monotonic: a wait must not depend on the wall clock.
absl::Duration Now() {
  return absl::Nanoseconds(MonotonicClock::Get()->NowNanos());
}

}  // namespace

std::string PathOf(const std::string& binary) {
  if (binary[0] == '/') return binary;
  const char* runfiles = std::getenv("TEST_SRCDIR");
  const char* workspace = std::getenv("TEST_WORKSPACE");
  CHECK(runfiles != nullptr && workspace != nullptr) << "run it by bazel test";
  return absl::StrCat(runfiles, "/", workspace, "/", binary);
}

namespace {

// What the server and its children are at, for a failure that does not come
// again.
std::string DescribeFamily(pid_t server) {
  std::string text;
  std::istringstream children(
      ReadFile(absl::StrCat("/proc/", server, "/task/", server, "/children")));
  for (pid_t pid = server; pid != 0; pid = children >> pid ? pid : 0) {
    const std::string folder = absl::StrCat("/proc/", pid);
    absl::StrAppend(&text, pid, " \"", TitleOf(pid), "\" in ",
                    ReadFile(folder + "/wchan"), "\n",
                    ReadFile(folder + "/stat"), ReadFile(folder + "/stack"));
  }
  return text;
}

std::pair<UniqueFd, UniqueFd> Pipe() {
  int fds[2];
  PCHECK(pipe2(fds, O_CLOEXEC) == 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

bool Has(const std::vector<std::string>& environment, const char* variable) {
  return std::find(environment.begin(), environment.end(), variable) !=
         environment.end();
}

struct Spawned {
  pid_t pid;
  UniqueFd out, err;
};

Spawned Spawn(const std::string& binary, std::vector<std::string> args,
              const std::vector<std::string>& added) {
  // Tests run beside each other and beside servers: one that wants these says
  // where, in its flag file with kOwnAdmin.
  if (!Has(added, kOwnAdmin)) {
    args.insert(args.begin(), {"--admin=", "--control="});
  }
  // A test that does not look at it does not wait for it.
  if (!Has(added, kOwnFlags) &&
      std::none_of(args.begin(), args.end(), [](const std::string& arg) {
        return absl::StartsWith(arg, "--probation=");
      })) {
    args.insert(args.begin(), "--probation=0s");
  }
  args.insert(args.begin(), PathOf(binary));
  std::vector<std::string> environment = added;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  const std::vector<char*> argv = Pointers(args), envp = Pointers(environment);
  auto [out, child_out] = Pipe();
  auto [err, child_err] = Pipe();
  const pid_t test = getpid();
  const pid_t pid = fork();
  PCHECK(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != test) _exit(126);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(child_out.get(), 1);
    dup2(child_err.get(), 2);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  return {pid, std::move(out), std::move(err)};
}

// Of /proc/PID/stat; 0 if there is no such process.
char StateOf(pid_t pid) {
  const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  const size_t end_of_name = stat.rfind(") ");
  return end_of_name == std::string::npos ? '\0' : stat[end_of_name + 2];
}

// Appends what there is; false at the end.
bool ReadSome(int fd, std::string& text) {
  char buffer[65536];
  const ssize_t count = read(fd, buffer, sizeof(buffer));
  PCHECK(count >= 0 || errno == EINTR);
  if (count > 0) text.append(buffer, static_cast<size_t>(count));
  return count != 0;
}

bool WaitReadable(int fd, absl::Duration deadline) {
  pollfd poll_fd{fd, POLLIN, 0};
  const int64_t ms =
      std::max<int64_t>(0, absl::ToInt64Milliseconds(deadline - Now()));
  return poll(&poll_fd, 1, static_cast<int>(ms)) == 1;
}

}  // namespace

// A file of /proc fails to be read (ESRCH) when its process ends meanwhile,
// which a stream reports by an exception.
std::string ReadFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  while (file && (count = read(file.get(), buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

Finished RunServer(const std::vector<std::string>& args,
                   const std::vector<std::string>& environment,
                   const std::string& binary) {
  Spawned spawned = Spawn(binary, args, environment);
  Finished finished;
  const absl::Duration deadline = Now() + kPatience;
  // Both are short: the order does not matter.
  for (const auto& [fd, text] : {std::pair{spawned.out.get(), &finished.out},
                                 std::pair{spawned.err.get(), &finished.err}}) {
    while (true) {
      if (!WaitReadable(fd, deadline)) {
        kill(spawned.pid, SIGKILL);
        ADD_FAILURE() << "it does not end: " << finished.err;
        break;
      }
      if (!ReadSome(fd, *text)) break;
    }
  }
  int status = 0;
  PCHECK(waitpid(spawned.pid, &status, 0) == spawned.pid);
  if (WIFEXITED(status)) finished.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) finished.signal = WTERMSIG(status);
  return finished;
}

ServerProcess::ServerProcess(const std::vector<std::string>& args,
                             const std::vector<std::string>& environment,
                             const std::string& binary) {
  std::vector<std::string> all = args;
  if (!Has(environment, kOwnFlags)) all.push_back("--log_format=json");
  Spawned spawned = Spawn(binary, std::move(all), environment);
  pid_ = spawned.pid;
  out_ = std::move(spawned.out);
  err_ = std::move(spawned.err);
}

ServerProcess::~ServerProcess() {
  if (testing::Test::HasFailure()) {
    std::cerr << "the server's log:\n" << log_ << "\n";
  }
  if (finished_) return;
  kill(pid_, SIGKILL);
  PCHECK(waitpid(pid_, nullptr, 0) == pid_);
}

void ServerProcess::WaitReady() {
  const absl::Duration deadline = Now() + kPatience;
  while (true) {
    const nlohmann::json record = NextRecord(deadline, "ready");
    if (record.is_null()) return;
    if (record.value("event", "") == "ready") return;
  }
}

nlohmann::json ServerProcess::WaitFor(
    const std::string& event,
    const std::function<bool(const nlohmann::json&)>& matches) {
  const absl::Duration deadline = Now() + kPatience;
  while (true) {
    const nlohmann::json record = NextRecord(deadline, event);
    if (record.is_null()) return nlohmann::json::object();
    if (record.value("event", "") != event) continue;
    nlohmann::json fields = record.value("fields", nlohmann::json::object());
    if (matches(fields)) return fields;
  }
}

bool ServerProcess::ReadMore(absl::Duration deadline, const std::string& what) {
  if (!WaitReadable(err_.get(), deadline)) {
    ADD_FAILURE() << "waited in vain for " << what << "\n"
                  << DescribeFamily(pid_);
    return false;
  }
  if (ReadSome(err_.get(), log_)) return true;
  ADD_FAILURE() << "the server ended before " << what;
  return false;
}

nlohmann::json ServerProcess::NextRecord(absl::Duration deadline,
                                         const std::string& what) {
  size_t end;
  while ((end = log_.find('\n', parsed_)) == std::string::npos) {
    if (!ReadMore(deadline, what)) return nullptr;
  }
  const std::string line = log_.substr(parsed_, end - parsed_);
  parsed_ = end + 1;
  nlohmann::json record =
      nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object()) {
    ADD_FAILURE() << "no JSON object: " << line;
    return nlohmann::json::object();
  }
  if (record.value("event", "") == "listening") {
    const std::string address = record["fields"]["address"];
    const absl::StatusOr<Endpoint> endpoint = Endpoint::Parse(address);
    EXPECT_TRUE(endpoint.ok()) << address;
    if (endpoint.ok()) addresses_.push_back(*endpoint);
  }
  return record;
}

void ServerProcess::Signal(int number) { PCHECK(kill(pid_, number) == 0); }

Finished ServerProcess::Wait() {
  const absl::Duration deadline = Now() + kPatience;
  Finished finished;
  while (true) {
    if (!WaitReadable(err_.get(), deadline)) {
      ADD_FAILURE() << "the server does not end";
      kill(pid_, SIGKILL);
      break;
    }
    // Workers have the log too: it ends with the last of them.
    if (!ReadSome(err_.get(), log_)) break;
  }
  int status = 0;
  PCHECK(waitpid(pid_, &status, 0) == pid_);
  finished_ = true;
  if (WIFEXITED(status)) finished.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) finished.signal = WTERMSIG(status);
  while (ReadSome(out_.get(), finished.out)) {
  }
  finished.err = log_;
  return finished;
}

std::vector<pid_t> ServerProcess::Workers() const {
  std::istringstream children(
      ReadFile(absl::StrCat("/proc/", pid_, "/task/", pid_, "/children")));
  std::vector<pid_t> workers;
  for (pid_t pid; children >> pid;) {
    if (IsAlive(pid)) workers.push_back(pid);
  }
  return workers;
}

const Endpoint& ServerProcess::address(size_t index) const {
  CHECK_LT(index, addresses_.size()) << "listeners";
  return addresses_[index];
}

SocketPath::SocketPath() {
  // Bazel's own temporary folder has too long a name for sun_path - unix(7).
  std::string folder = "/tmp/baton.XXXXXX";
  PCHECK(mkdtemp(folder.data()) != nullptr);
  path_ = folder + "/socket";
}

SocketPath::~SocketPath() {
  unlink(path_.c_str());
  rmdir(path_.substr(0, path_.rfind('/')).c_str());
}

std::string TitleOf(pid_t pid) {
  std::string title = ReadFile(absl::StrCat("/proc/", pid, "/cmdline"));
  while (!title.empty() && title.back() == '\0') title.pop_back();
  return title;
}

bool IsAlive(pid_t pid) {
  const char state = StateOf(pid);
  return state != '\0' && state != 'Z' && state != 'X';
}

bool HasOpen(pid_t pid, const std::string& what) {
  for (int fd = 0; fd < 1000; ++fd) {
    char target[4096] = {};
    const std::string link = absl::StrCat("/proc/", pid, "/fd/", fd);
    if (readlink(link.c_str(), target, sizeof(target) - 1) > 0 &&
        absl::StrContains(target, what)) {
      return true;
    }
  }
  return false;
}

void WaitUntil(const std::string& what,
               const std::function<bool()>& condition) {
  const absl::Duration deadline = Now() + kPatience;
  while (!condition()) {
    if (Now() > deadline) {
      ADD_FAILURE() << "waited in vain until " << what;
      return;
    }
    poll(nullptr, 0, 1);
  }
}

}  // namespace baton
