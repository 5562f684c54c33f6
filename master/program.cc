#include "master/program.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <exception>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "master/handoff.h"
#include "net/errno_status.h"

namespace baton {
namespace {

// Of systemd's socket activation: LISTEN_PID names us still, and what it was
// about has been taken.
constexpr std::array<absl::string_view, 3> kNotForSuccessors = {
    "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES="};

std::string Absolute(absl::string_view path) {
  if (absl::StartsWith(path, "/")) return std::string(path);
  std::array<char, PATH_MAX> directory;
  if (getcwd(directory.data(), directory.size()) == nullptr) {
    return std::string(path);
  }
  return absl::StrCat(directory.data(), "/", path);
}

// A folder may be entered, which is the same right.
bool IsProgram(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         access(path.c_str(), X_OK) == 0;
}

// As a shell finds a command - execvp(3).
std::string FindProgram(const std::string& name,
                        const std::vector<std::string>& environment) {
  if (absl::StrContains(name, "/")) return Absolute(name);
  for (absl::string_view variable : environment) {
    if (!absl::ConsumePrefix(&variable, "PATH=")) continue;
    for (const absl::string_view folder : absl::StrSplit(variable, ':')) {
      const std::string path =
          Absolute(absl::StrCat(folder.empty() ? "." : folder, "/", name));
      if (IsProgram(path)) return path;
    }
  }
  // A name that somebody has made up.
  std::array<char, PATH_MAX> running;
  const ssize_t length =
      readlink("/proc/self/exe", running.data(), running.size());
  return length > 0 ? std::string(running.data(), static_cast<size_t>(length))
                    : Absolute(name);
}

absl::StatusOr<UniqueFd> Open(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return ErrnoStatus("open", path, errno);
  return fd;
}

// Those of `fds` that would have been closed on exec, and no longer are.
std::vector<int> KeepOnExec(absl::Span<const int> fds) {
  std::vector<int> changed;
  for (const int fd : fds) {
    const int flags = fcntl(fd, F_GETFD);
    // It may not be there.
    if (flags < 0 || (flags & FD_CLOEXEC) == 0) continue;
    PCHECK(fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC) == 0);
    changed.push_back(fd);
  }
  return changed;
}

void CloseOnExec(absl::Span<const int> fds) {
  for (const int fd : fds) PCHECK(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& one : strings) pointers.push_back(one.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

FileVersion FileVersion::Of(int fd) {
  FileVersion version;
  struct stat status;
  if (fstat(fd, &status) != 0) return version;
  version.size_ = status.st_size;
  version.modified_ = status.st_mtim;
  return version;
}

bool FileVersion::Is(int fd) const {
  const FileVersion now = Of(fd);
  // Not the time of change: that is also of a name that has gone.
  return now.size_ == size_ && now.modified_.tv_sec == modified_.tv_sec &&
         now.modified_.tv_nsec == modified_.tv_nsec;
}

Program::Program(std::vector<std::string> args,
                 std::vector<std::string> environment)
    : args_(std::move(args)), environment_(std::move(environment)) {
  if (args_.empty()) args_.emplace_back("baton");
  path_ = FindProgram(args_.front(), environment_);
  std::erase_if(environment_, [](const std::string& variable) {
    return std::any_of(kNotForSuccessors.begin(), kNotForSuccessors.end(),
                       [&variable](absl::string_view name) {
                         return absl::StartsWith(variable, name);
                       });
  });
}

absl::StatusOr<UniqueFd> Program::OpenOnDisk() const { return Open(path_); }

absl::StatusOr<UniqueFd> Program::OpenRunning() {
  return Open("/proc/self/exe");
}

absl::Status Program::Exec(int binary,
                           const std::vector<std::string>& more_args,
                           const std::string& handoff,
                           absl::Span<const int> keep) const {
  std::vector<std::string> args = args_;
  args.insert(args.end(), more_args.begin(), more_args.end());
  std::vector<std::string> environment = environment_;
  environment.push_back(absl::StrCat(kHandoffVariable, "=", handoff));
  const std::vector<int> changed = KeepOnExec(keep);
  execveat(binary, "", Pointers(args).data(), Pointers(environment).data(),
           AT_EMPTY_PATH);
  const int error = errno;
  CloseOnExec(changed);
  return ErrnoStatus("execveat", path_, error);
}

void Program::GiveBack(const Handoff& handoff, const absl::Status& why) const {
  LOG(ERROR) << "can't take over, and goes back: " << why.message();
  // One that has come back itself has nobody before it.
  if (!handoff.refusal.empty()) return;
  int old_binary = -1;
  std::vector<int> keep;
  try {
    handoff.document.at("old_binary").get_to(old_binary);
    handoff.document.at("fds").get_to(keep);
  } catch (const std::exception& error) {  // the library's only way
    LOG(ERROR) << "nor can it go back: " << error.what();
    return;
  }
  const absl::StatusOr<UniqueFd> file = WriteHandoff(handoff.document);
  if (!file.ok()) {
    LOG(ERROR) << file.status().message();
    return;
  }
  keep.push_back(file->get());
  const absl::Status failed = Exec(
      old_binary, {},
      HandoffText(Handoff::Role::kMaster, file->get(), why.message()), keep);
  LOG(ERROR) << failed.message();
}

}  // namespace baton
