#ifndef BATON_WORKER_FILES_FILE_WATCH_H_
#define BATON_WORKER_FILES_FILE_WATCH_H_

// Problem: who keeps a file in memory must know when it is another. To ask at
// each request is a system call each; to ask now and then is to serve what is
// old meanwhile.
//
// FileWatch is told by the kernel - inotify(7) - when a file is written to,
// truncated, replaced by rename, moved or removed. The kernel queues the event
// within the system call that makes the change, so it is read in the turn of
// the loop after that: at the end of one that goes on meanwhile, a request that
// has just come may still be before it.
//
// What it does not see: writes through mmap(2), changes that another machine
// makes on a network file system, a folder on the way that is renamed or a link
// that is swapped. Who needs those looks himself, now and then.
//
// Belongs to the loop's thread.

#include <functional>

#include "net/event_loop.h"
#include "net/fd_inlet.h"
#include "net/unique_fd.h"

namespace baton {

class FileWatch {
 public:
  // What Add gives when the file can't be watched: no instance (the user's
  // max_user_instances), no room (max_user_watches), no /proc.
  static constexpr int kNone = -1;
  // Given instead of a watch: events were lost, anything may have changed.
  static constexpr int kAll = -1;

  // `on_change` is called with what Add gave. It may call Remove.
  FileWatch(EventLoop& loop, std::function<void(int watch)> on_change);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Watches the file that is open as `fd`, which may be closed then. One file
  // has one watch, however often it is added.
  int Add(int fd);
  void Remove(int watch);

 private:
  void OnReadable();

  const std::function<void(int)> on_change_;
  UniqueFd inotify_;
  FdInlet<FileWatch> inlet_{this, &FileWatch::OnReadable};
};

}  // namespace baton

#endif  // BATON_WORKER_FILES_FILE_WATCH_H_
