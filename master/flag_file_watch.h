#ifndef BATON_MASTER_FLAG_FILE_WATCH_H_
#define BATON_MASTER_FLAG_FILE_WATCH_H_

// Tells when the flag file may have changed.
//
// A file that is edited is seldom the same file afterwards. Editors write a new
// one and rename it; configuration management replaces a symbolic link;
// Kubernetes swaps a link to a folder that the file's own link leads through
// (flags -> ..data/flags, ..data -> ..2026_11_22). Who watches the inode
// (inotify(7)) sees nothing of all that. So it is names that are watched: the
// last one of the path, and that of each link on the way to the file, in the
// folders that they stand in. After each event the way is walked anew.
//
// Contract
// * `on_change` is called from the loop when nothing has happened for kSettle
//   after an event, and after Start(), for what has happened before: the file
//   is different, or the same, or gone. Whoever cares compares its bytes. It
//   may destroy the watch.
// * Also seen: a folder on the way that is renamed or removed; a file or folder
//   that is not there yet.
// * Not seen: what another machine does to a network file system.
// * Not thread-safe; belongs to the loop.

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "net/event_loop.h"
#include "net/fd_inlet.h"
#include "net/unique_fd.h"

namespace baton {

class FlagFileWatch {
 public:
  // What belongs together (truncate and write; remove and rename) comes within.
  static constexpr absl::Duration kSettle = absl::Milliseconds(100);

  FlagFileWatch(EventLoop& loop, std::string path,
                std::function<void()> on_change);
  FlagFileWatch(const FlagFileWatch&) = delete;
  FlagFileWatch& operator=(const FlagFileWatch&) = delete;

  // Once. Errors name the call and the folder; then nothing is seen.
  absl::Status Start();

 private:
  void OnEvents();
  void OnSettled();
  // Whether it says that something on the way is different.
  bool Matters(int watch, uint32_t mask, const std::string& name) const;

  // Watches every name on the way to the file, and nothing else any more.
  absl::Status Arm();
  absl::Status WalkTo(std::string path);
  absl::Status WatchName(const std::string& folder, const std::string& name);
  void WatchFolderItself(const std::string& folder);

  EventLoop& loop_;
  const std::string path_;
  const std::function<void()> on_change_;
  UniqueFd inotify_;
  FdInlet<FlagFileWatch> inlet_{this, &FlagFileWatch::OnEvents};
  Timer settle_;
  // By inotify's number for the folder.
  std::map<int, std::set<std::string>> names_;
};

}  // namespace baton

#endif  // BATON_MASTER_FLAG_FILE_WATCH_H_
