#ifndef BATON_WORKER_FILES_FILE_SITE_H_
#define BATON_WORKER_FILES_FILE_SITE_H_

// A directory that a listener serves: what the paths of its URLs lead to.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/files/file_cache.h"
#include "worker/files/file_path.h"
#include "worker/files/file_tree.h"
#include "worker/files/file_watch.h"

namespace baton {

struct FileSiteOptions {
  std::string root = {};
  // Names of the file that stands for a directory, the first that is there.
  std::vector<std::string> indexes = {"index.html"};
  // A directory without one is listed.
  bool autoindex = false;
  // Added to each response: "Name: value\r\n" each.
  std::string fields = {};
  // The same, to those alone that are a file or a listing.
  std::string file_fields = {};
  // Paths of URLs. What is answered with 200 where nothing is, and what is
  // sent as the body of an error.
  std::string fallback = {};
  std::map<int, std::string> error_pages = {};
};

class FileSite {
 public:
  // Fails with what is wrong with the root, or with a page that is not there.
  // `watch`: FileCache.
  static absl::StatusOr<std::unique_ptr<FileSite>> Open(
      FileSiteOptions options, FileWatch* watch = nullptr);
  FileSite(const FileSite&) = delete;
  FileSite& operator=(const FileSite&) = delete;

  struct Found {
    enum class Kind : uint8_t {
      kFile,
      kDirectory,  // to be listed
      kRedirect,   // to a directory's own path
      kNothing,
    };
    Kind kind = Kind::kNothing;
    int status = 404;                 // of kNothing
    const FileEntry* file = nullptr;  // until the next call or turn
    std::string path = {};  // kDirectory: below the root; kRedirect: of the URL
  };
  // `url_path` as it came: encoded, with a leading '/'. For the loop's thread.
  Found Find(absl::string_view url_path) {
    if (const FileEntry* const file = FindRemembered(url_path);
        file != nullptr) {
      return {.kind = Found::Kind::kFile, .file = file};
    }
    return LookUp(url_path);
  }
  // The file, if it is remembered; null says nothing.
  const FileEntry* FindRemembered(absl::string_view url_path) {
    return cache_ == nullptr ? nullptr : cache_->Find(url_path);
  }
  // The page to be sent with that status; null if there is none.
  const FileEntry* FindErrorPage(int status);

  const FileSiteOptions& options() const { return options_; }
  const FileTree& tree() const { return *tree_; }
  // Null before the first look.
  const FileCache* cache() const { return cache_.get(); }

 private:
  FileSite(FileSiteOptions options, std::unique_ptr<FileTree> tree,
           FileWatch* watch);

  Found LookUp(absl::string_view url_path);
  Found LookUpPath(const FilePath& path, absl::string_view key);
  Found FindIndex(const FilePath& path, absl::string_view key);
  int Load(absl::string_view key, const std::string& path,
           const FileEntry** file, const std::vector<std::string>& before = {});

  const FileSiteOptions options_;
  const std::string all_fields_;  // of a file
  const std::unique_ptr<FileTree> tree_;
  FileWatch* const watch_;
  std::unique_ptr<FileCache> cache_;  // of the loop's thread, which makes it
};

}  // namespace baton

#endif  // BATON_WORKER_FILES_FILE_SITE_H_
