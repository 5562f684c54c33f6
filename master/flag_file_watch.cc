#include "master/flag_file_watch.h"

#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/errno_status.h"

namespace baton {
namespace {

// Of a folder: what may change what one of its names means.
constexpr uint32_t kNameEvents = IN_CREATE | IN_DELETE | IN_MOVED_FROM |
                                 IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE |
                                 IN_ATTRIB;
// Of a folder itself; that costs nothing as long as it stays where it is.
constexpr uint32_t kSelfEvents = IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

// As many as the kernel follows - path_resolution(7).
constexpr int kMostLinks = 40;

constexpr int kMostWalks = 10;

// Takes the first component off; empty at the end.
std::string TakeComponent(std::string& path) {
  const size_t begin = path.find_first_not_of('/');
  if (begin == std::string::npos) {
    path.clear();
    return "";
  }
  const size_t end = std::min(path.find('/', begin), path.size());
  std::string component = path.substr(begin, end - begin);
  path.erase(0, end);
  return component;
}

bool IsLast(const std::string& rest) {
  return rest.find_first_not_of('/') == std::string::npos;
}

bool IsPlainFolder(const std::string& path) {
  struct stat status;
  return lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// Where a symbolic link leads; empty if there is none.
std::string LinkTarget(const std::string& path) {
  std::array<char, PATH_MAX> target;
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  return length <= 0 ? "" : std::string(target.data(), length);
}

std::string FirstFolder(const std::string& path) {
  return !path.empty() && path.front() == '/' ? "/" : ".";
}

}  // namespace

FlagFileWatch::FlagFileWatch(EventLoop& loop, std::string path,
                             std::function<void()> on_change)
    : loop_(loop),
      path_(std::move(path)),
      on_change_(std::move(on_change)),
      settle_(loop, [this] { OnSettled(); }) {}

absl::Status FlagFileWatch::Start() {
  inotify_ = UniqueFd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify_) return ErrnoStatus("inotify_init1", "", errno);
  if (absl::Status status = Arm(); !status.ok()) return status;
  settle_.Start(kSettle);
  return inlet_.Watch(loop_, inotify_.get());
}

bool FlagFileWatch::Matters(int watch, uint32_t mask,
                            const std::string& name) const {
  if ((mask & IN_Q_OVERFLOW) != 0) return true;
  const auto names = names_.find(watch);
  if (names == names_.end()) return false;
  if ((mask & kSelfEvents) != 0) return true;
  return names->second.contains(name);
}

void FlagFileWatch::OnEvents() {
  alignas(inotify_event) std::array<char, 16 * 1024> buffer;
  bool changed = false;
  ssize_t count;
  while ((count = read(inotify_.get(), buffer.data(), buffer.size())) > 0) {
    for (ssize_t at = 0; at < count;) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      // Filled up with NULs.
      const char* name = buffer.data() + at + sizeof(event);
      changed |= Matters(event.wd, event.mask, event.len > 0 ? name : "");
      at += static_cast<ssize_t>(sizeof(event) + event.len);
    }
  }
  if (changed) settle_.Start(kSettle);
}

void FlagFileWatch::OnSettled() {
  // First: what happens from now on is another change.
  if (absl::Status status = Arm(); !status.ok()) {
    LOG(ERROR) << "changes of the flag file are not seen: " << status.message();
  }
  on_change_();
}

absl::Status FlagFileWatch::Arm() {
  std::map<int, std::set<std::string>> before = std::exchange(names_, {});
  absl::Status status = WalkTo(path_);
  // A folder that went away under the walk: it leads elsewhere now.
  for (int i = 1; i < kMostWalks && absl::IsNotFound(status); ++i) {
    status = WalkTo(path_);
  }
  for (const auto& [watch, names] : before) {
    // One that is gone with its folder is an error of no consequence.
    if (!names_.contains(watch)) inotify_rm_watch(inotify_.get(), watch);
  }
  return status;
}

// Name by name, as the kernel does; a name is watched before it is looked at,
// so that no change falls between the two.
absl::Status FlagFileWatch::WalkTo(std::string path) {
  std::string folder = FirstFolder(path);
  for (int links = 0; links <= kMostLinks;) {
    const std::string name = TakeComponent(path);
    if (name.empty()) return absl::OkStatus();
    const std::string here = absl::StrCat(folder, "/", name);
    if (!IsLast(path) && IsPlainFolder(here)) {
      WatchFolderItself(here);
      folder = here;
      continue;
    }
    if (absl::Status status = WatchName(folder, name); !status.ok()) {
      return status;
    }
    const std::string target = LinkTarget(here);
    if (!target.empty()) {
      ++links;
      path = absl::StrCat(target, "/", path);
      if (target.front() == '/') folder = "/";
    } else if (IsPlainFolder(here)) {
      folder = here;  // made a moment ago
    } else {
      return absl::OkStatus();  // the file, or the first that is not there
    }
  }
  return absl::OkStatus();  // a loop of links, until somebody changes one
}

absl::Status FlagFileWatch::WatchName(const std::string& folder,
                                      const std::string& name) {
  const int watch = inotify_add_watch(inotify_.get(), folder.c_str(),
                                      kNameEvents | kSelfEvents | IN_MASK_ADD);
  if (watch < 0) return ErrnoStatus("inotify_add_watch", folder, errno);
  names_[watch].insert(name);
  return absl::OkStatus();
}

// Where that is not allowed, its names are still watched.
void FlagFileWatch::WatchFolderItself(const std::string& folder) {
  const int watch = inotify_add_watch(inotify_.get(), folder.c_str(),
                                      kSelfEvents | IN_MASK_ADD);
  if (watch >= 0) names_[watch];
}

}  // namespace baton
