#include "master/access_log_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/errno_status.h"
#include "net/in_context.h"
#include "net/quote.h"
#include "worker/http/access_options.h"
#include "worker/log_event.h"
#include "worker/log_writer.h"

namespace baton {
namespace {

// As OpenLog() says it.
constexpr absl::string_view kOpen = "open log";

absl::Status OfAccessLog(const std::string& path, const absl::Status& status) {
  return InContext(absl::StrCat("--listen: access_log=", Quote(path)), status);
}

absl::StatusOr<UniqueFd> OpenAccessLog(const std::string& path) {
  absl::StatusOr<UniqueFd> fd = OpenLog(path == kAccessLogStderr ? "" : path);
  if (fd.ok()) return fd;
  return OfAccessLog(path, fd.status());
}

// By the rights that files are opened with.
absl::Status CheckAccess(const std::string& object, const std::string& path,
                         int mode) {
  if (faccessat(AT_FDCWD, object.c_str(), mode, AT_EACCESS) == 0) {
    return absl::OkStatus();
  }
  return ErrnoStatus(kOpen, path, errno);
}

absl::Status CheckLog(const std::string& path) {
  struct stat status = {};
  if (lstat(path.c_str(), &status) == 0) {
    if (S_ISLNK(status.st_mode)) {
      return absl::FailedPreconditionError(
          absl::StrCat(kOpen, " ", path, ": it is a symbolic link"));
    }
    if (S_ISDIR(status.st_mode)) return ErrnoStatus(kOpen, path, EISDIR);
    if (S_ISSOCK(status.st_mode)) return ErrnoStatus(kOpen, path, ENXIO);
    return CheckAccess(path, path, W_OK);
  }
  if (errno != ENOENT) return ErrnoStatus(kOpen, path, errno);
  // It would be created.
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  return CheckAccess(folder, path, W_OK | X_OK);
}

}  // namespace

absl::Status CheckAccessLog(const std::string& path) {
  if (path == kAccessLogStderr) return absl::OkStatus();
  return OfAccessLog(path, CheckLog(path));
}

bool IsFifo(const std::string& path) {
  struct stat status = {};
  return lstat(path.c_str(), &status) == 0 && S_ISFIFO(status.st_mode);
}

absl::Status AccessLogFiles::Load(Generation generation,
                                  const std::set<std::string>& paths) {
  std::map<std::string, UniqueFd> opened;
  for (const std::string& path : paths) {
    if (files_.count(path) > 0) continue;
    absl::StatusOr<UniqueFd> fd = OpenAccessLog(path);
    if (!fd.ok()) return fd.status();
    opened.emplace(path, *std::move(fd));
  }
  files_.merge(opened);
  uses_[generation] = paths;
  return absl::OkStatus();
}

void AccessLogFiles::LoadAnyway(Generation generation,
                                const std::set<std::string>& paths) {
  for (const std::string& path : paths) {
    if (files_.count(path) > 0) continue;
    absl::StatusOr<UniqueFd> fd = OpenAccessLog(path);
    if (fd.ok()) {
      files_.emplace(path, *std::move(fd));
    } else {
      LOG(ERROR) << fd.status().message();
    }
  }
  uses_[generation] = paths;
}

void AccessLogFiles::Commit(Generation generation) {
  std::erase_if(uses_, [generation](const auto& entry) {
    return entry.first != generation;
  });
  CloseUnused();
}

void AccessLogFiles::Drop(Generation generation) {
  uses_.erase(generation);
  CloseUnused();
}

std::set<std::string> AccessLogFiles::Paths() const {
  std::set<std::string> all;
  for (const auto& [generation, paths] : uses_) {
    all.insert(paths.begin(), paths.end());
  }
  return all;
}

void AccessLogFiles::CloseUnused() {
  const std::set<std::string> used = Paths();
  std::erase_if(files_, [&used](const auto& entry) {
    return used.count(entry.first) == 0;
  });
}

void AccessLogFiles::Reopen(
    const std::set<std::string>& given,
    const std::function<void(const std::string& path, int fd)>& opened) {
  const std::set<std::string> used = Paths();
  std::set<std::string> paths = given;
  paths.insert(used.begin(), used.end());
  paths.erase(kAccessLogStderr);
  for (const std::string& path : paths) {
    absl::StatusOr<UniqueFd> fd = OpenAccessLog(path);
    if (!fd.ok()) {
      LOG(ERROR) << "not reopened: " << fd.status().message();
      continue;
    }
    UniqueFd only_theirs;
    UniqueFd& file = used.count(path) > 0 ? files_[path] : only_theirs;
    file = *std::move(fd);
    opened(path, file.get());
    LogEvent("access_log_reopened").Field("path", path);
  }
}

}  // namespace baton
