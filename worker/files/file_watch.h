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
// A worker has one for all its sites: a user may have 128 instances, unless
// the system's administrator has raised that.
//
// Belongs to the loop's thread.

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "net/fd_inlet.h"
#include "net/unique_fd.h"

namespace baton {

class FileWatch {
 public:
  // Who is told of changes of some files.
  class Watcher {
   public:
    Watcher() = default;
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;

   protected:
    ~Watcher() = default;

   private:
    friend class FileWatch;

    // One of its files has changed or, when events were lost, may have. It
    // watches nothing any more, and may be destroyed by this.
    virtual void OnChange() = 0;

    std::vector<int> watches_;
  };

  FileWatch() = default;
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  // Adds the file that is open as `fd`, which may be closed then, to those of
  // `watcher`. False: it can't be watched; there is no instance
  // (max_user_instances, no descriptor), no room (max_user_watches), no /proc.
  bool Watch(int fd, Watcher& watcher);
  // All that it watches. To be called before it is destroyed.
  void Forget(Watcher& watcher);

 private:
  bool Start();
  void OnReadable();
  void Tell(Watcher& watcher);

  // A file has one watch, whoever watches it.
  absl::flat_hash_map<int, std::vector<Watcher*>> by_watch_;
  UniqueFd inotify_;  // once somebody has asked for a watch
  FdInlet<FileWatch> inlet_{this, &FileWatch::OnReadable};
};

}  // namespace baton

#endif  // BATON_WORKER_FILES_FILE_WATCH_H_
