#ifndef BATON_WORKER_FILES_FILE_CACHE_H_
#define BATON_WORKER_FILES_FILE_CACHE_H_

// Problem: to open, look at, read and close a small file takes longer than to
// answer with it; but what is remembered may have changed.
//
// FileCache remembers, for a worker and a root, what the paths of URLs lead to:
// small files with their content, larger ones with an open descriptor, and
// their compressed neighbours.
//
// How it notices changes
// * The kernel tells of each file that is written to, truncated, replaced,
//   moved or removed (file_watch.h): it is forgotten in the loop's next turn,
//   and a request that is read after that is answered with what is there then.
// * What that does not tell of (a new compressed neighbour, a new file that
//   goes before it, a folder on the way that is another now, a write through
//   mmap, a network file system, a system without watches to spare) is found by
//   looking: at most once in kLookInterval for each file, when it is asked for.
//   So is a root that is a link, when that is swapped; whatever is not here is
//   looked up in the present one.
// * What is not there is not remembered.
//
// Contract
// * Bounded by kMaxEntries, kMaxMemory and kMaxDescriptors (a thirty-second of
//   the process's limit, if that is less: the others are for clients); the file
//   that was not asked for the longest goes first, more or less (second
//   chance).
// * A file in use stays open beyond that, for as long as it is sent.
// * Belongs to the loop's thread.

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/event_loop.h"
#include "worker/files/accept_encoding.h"
#include "worker/files/file_tree.h"
#include "worker/files/file_watch.h"
#include "worker/files/served_file.h"

namespace baton {

class FileCache;

// What a path leads to: a file in all the codings that there are of it.
class FileEntry final : private FileWatch::Watcher {
 public:
  // For FileCache, which makes them.
  explicit FileEntry(FileCache& cache) : cache_(cache) {}

  const std::shared_ptr<const ServedFile>& Form(ContentCoding coding) const {
    return forms_[static_cast<size_t>(coding)];
  }
  bool has_neighbours() const { return has_neighbours_; }
  // The one to send to a client with that Accept-Encoding.
  const std::shared_ptr<const ServedFile>& Choose(
      std::optional<absl::string_view> accept_encoding) const {
    if (!has_neighbours_) return forms_[0];
    return ChooseAmongAll(accept_encoding);
  }

 private:
  friend class FileCache;
  static constexpr size_t kForms = 3;

  void OnChange() override;
  const std::shared_ptr<const ServedFile>& ChooseAmongAll(
      std::optional<absl::string_view> accept_encoding) const;

  FileCache& cache_;
  std::string url_path_;
  std::string path_;                 // below the root
  std::vector<std::string> before_;  // none of them was there
  std::array<std::shared_ptr<const ServedFile>, kForms> forms_;
  // Of neighbours that are there but can't be served.
  std::array<FileStamp, kForms> unserved_;
  int64_t looked_nanos_ = 0;
  bool has_neighbours_ = false;
  bool used_ = false;  // since the hand was here
};

class FileCache {
 public:
  static constexpr size_t kMaxEntries = 4096;
  static constexpr size_t kMaxMemory = size_t{16} * 1024 * 1024;
  static constexpr size_t kMaxDescriptors = 256;
  static constexpr absl::Duration kLookInterval = absl::Seconds(1);

  // `watch` may be null: then it only looks. `more_fields`: ServedFileOptions.
  // All outlive the cache.
  FileCache(EventLoop& loop, FileTree& tree, FileWatch* watch,
            absl::string_view more_fields);
  ~FileCache() { ForgetAll(); }
  FileCache(const FileCache&) = delete;
  FileCache& operator=(const FileCache&) = delete;

  // What is remembered for that path of a URL, encoded as it came; null if
  // nothing is. Valid until the next call that is not const, or turn.
  const FileEntry* Find(absl::string_view url_path) {
    const auto it = by_url_path_.find(url_path);
    if (it == by_url_path_.end()) return nullptr;
    FileEntry& entry = *it->second;
    entry.used_ = true;
    if (loop_.now_nanos() - entry.looked_nanos_ < kLookNanos) return &entry;
    return LookAgain(entry);
  }

  // Opens the file at `path` below the root and remembers it as what
  // `url_path` leads to, in place of what that was. 0 or errno, as
  // FileTree::OpenFile. `before`: paths that `url_path` would rather lead to,
  // were there a file.
  int Load(absl::string_view url_path, const std::string& path,
           const FileEntry** entry, std::vector<std::string> before = {});

  // Closes what is open only to be remembered: there are no descriptors left.
  void CloseSpare();

  // Follows a root that has moved; called before something is looked up that
  // is not here: that may be gone with the old one.
  void FollowRoot();

  size_t entries() const { return entries_.size(); }
  size_t memory() const { return memory_; }
  size_t descriptors() const { return descriptors_; }

 private:
  friend class FileEntry;
  using Entries = std::list<FileEntry>;
  static constexpr int64_t kLookNanos = 1'000'000'000;

  const FileEntry* LookAgain(FileEntry& entry);
  bool IsAsItWas(const FileEntry& entry) const;
  int Open(FileEntry& entry);
  void Account(const FileEntry& entry, bool add);
  void MakeRoom();
  void Forget(FileEntry& entry);
  void ForgetAll();
  void Drop(Entries::iterator entry);

  EventLoop& loop_;
  FileTree& tree_;
  const absl::string_view more_fields_;
  FileWatch* const watch_;
  Entries entries_;  // the next one to be looked at by the hand first
  absl::flat_hash_map<absl::string_view, Entries::iterator> by_url_path_;
  const size_t max_descriptors_;
  size_t memory_ = 0;
  size_t descriptors_ = 0;
  int64_t root_looked_nanos_ = 0;
};

}  // namespace baton

#endif  // BATON_WORKER_FILES_FILE_CACHE_H_
