#include "worker/files/file_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"

namespace baton {
namespace {

// A file that is replaced or removed loses a name: IN_ATTRIB tells of its count
// of links.
constexpr uint32_t kChanges =
    IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;

}  // namespace

FileWatch::FileWatch(EventLoop& loop, std::function<void(int watch)> on_change)
    : on_change_(std::move(on_change)),
      inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  if (inotify_ && !inlet_.Watch(loop, inotify_.get()).ok()) inotify_.reset();
}

FileWatch::~FileWatch() = default;

int FileWatch::Add(int fd) {
  if (!inotify_) return kNone;
  // There is no call that takes a descriptor; its link stands for the file.
  return inotify_add_watch(
      inotify_.get(), absl::StrCat("/proc/self/fd/", fd).c_str(), kChanges);
}

void FileWatch::Remove(int watch) {
  // Fails if the file is gone, and the watch with it.
  (void)inotify_rm_watch(inotify_.get(), watch);
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
        on_change_(kAll);
      } else {
        on_change_(event->wd);
      }
    }
  }
}

}  // namespace baton
