#ifndef BATON_WORKER_FILES_DIRECTORY_LISTING_H_
#define BATON_WORKER_FILES_DIRECTORY_LISTING_H_

// Problem: a page that lists a directory must not show more than the server
// would serve, and a directory may hold anything: sockets, links to
// /etc/shadow, names with a newline, a million files.
//
// Contract
// * What is listed: regular files and directories, and symbolic links that lead
//   to one of them beneath the root; each with the size and the time of what it
//   leads to. Not dot-files. What vanishes meanwhile is left out.
// * Nothing outside the root is looked at, whoever renames directories at the
//   same time: the kernel sees to it (RESOLVE_BENEATH, openat2(2)).
// * At most kMaxDirectoryEntries, whichever the file system gives first;
//   truncated says that there are more.
// * Order: directories before files, each by name; digits count as numbers
//   ("2" before "10"), the case of ASCII letters only between equal names.
// * Blocks for as long as the file system takes: for a job thread.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace baton {

inline constexpr size_t kMaxDirectoryEntries = 10000;

struct DirectoryEntry {
  std::string name;  // Bytes: neither valid UTF-8 nor printable by promise.
  bool is_directory = false;
  int64_t size = 0;      // Of a file, in bytes.
  int64_t modified = 0;  // Seconds since 1970, before it negative.
};

struct DirectoryListing {
  std::vector<DirectoryEntry> entries;
  bool truncated = false;
};

// `root` is a descriptor of the root directory (O_PATH will do), `path` a
// directory below it, relative; "" and "." are the root.
// Errors: NotFound also for what would leave the root; else the errno's code.
absl::StatusOr<DirectoryListing> ListDirectory(int root,
                                               absl::string_view path);

// The order of names in a listing, a total one.
bool IsNameBefore(absl::string_view left, absl::string_view right);

}  // namespace baton

#endif  // BATON_WORKER_FILES_DIRECTORY_LISTING_H_
