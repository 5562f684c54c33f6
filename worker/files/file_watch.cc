#include "worker/files/file_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "net/event_loop.h"

namespace baton {
namespace {

// A file that is replaced or removed loses a name: IN_ATTRIB tells of its count
// of links.
constexpr uint32_t kChanges =
    IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;

}  // namespace

// What was not to be had before may be now: somebody has ended, perhaps.
bool FileWatch::Start() {
  if (inotify_) return true;
  UniqueFd inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify || !inlet_.Watch(EventLoop::Current(), inotify.get()).ok()) {
    return false;
  }
  inotify_ = std::move(inotify);
  return true;
}

bool FileWatch::Watch(int fd, Watcher& watcher) {
  if (!Start()) return false;
  // There is no call that takes a descriptor; its link stands for the file.
  const int watch = inotify_add_watch(
      inotify_.get(), absl::StrCat("/proc/self/fd/", fd).c_str(), kChanges);
  if (watch < 0) return false;
  std::vector<Watcher*>& watchers = by_watch_[watch];
  if (absl::c_linear_search(watchers, &watcher)) return true;
  watchers.push_back(&watcher);
  watcher.watches_.push_back(watch);
  return true;
}

void FileWatch::Forget(Watcher& watcher) {
  for (const int watch : std::exchange(watcher.watches_, {})) {
    const auto it = by_watch_.find(watch);
    std::erase(it->second, &watcher);
    if (!it->second.empty()) continue;
    by_watch_.erase(it);
    // Fails if the file is gone, and the watch with it.
    (void)inotify_rm_watch(inotify_.get(), watch);
  }
}

void FileWatch::Tell(Watcher& watcher) {
  Forget(watcher);
  watcher.OnChange();
}

void FileWatch::OnReadable() {
  alignas(inotify_event) std::array<char, 4096> buffer;
  while (true) {
    const ssize_t got = read(inotify_.get(), buffer.data(), buffer.size());
    if (got <= 0) return;
    for (ssize_t at = 0; at < got;) {
      const auto* const event =
          reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      if ((event->mask & IN_Q_OVERFLOW) != 0) {
        // Events were lost.
        while (!by_watch_.empty()) Tell(*by_watch_.begin()->second.front());
        continue;
      }
      // Numbers don't come again: one that has been removed is of nobody.
      for (auto it = by_watch_.find(event->wd); it != by_watch_.end();
           it = by_watch_.find(event->wd)) {
        Tell(*it->second.front());
      }
    }
  }
}

}  // namespace baton
