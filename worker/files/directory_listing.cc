#include "worker/files/directory_listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "net/errno_status.h"
#include "net/quote.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

// Names that are looked at, whether they are listed or not.
constexpr size_t kMaxLooks = 10 * kMaxDirectoryEntries;

// Whoever renames directories all the time can make the kernel unsure whether
// a ".." is still beneath the root: EAGAIN - openat2(2).
constexpr int kMaxResolveAttempts = 8;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// glibc has no function for it.
UniqueFd OpenBeneath(int root, const std::string& path, uint64_t flags) {
  open_how how = {};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 1;; ++attempt) {
    UniqueFd fd(static_cast<int>(
        syscall(SYS_openat2, root, path.c_str(), &how, sizeof(how))));
    const bool again = errno == EAGAIN || errno == EINTR;
    if (fd || !again || attempt == kMaxResolveAttempts) return fd;
  }
}

absl::Status OpenError(absl::string_view call, absl::string_view path) {
  const int errnum = errno;
  const absl::Status status = ErrnoStatus(call, Quote(path), errnum);
  if (errnum != EXDEV && errnum != ELOOP) return status;
  return absl::NotFoundError(status.message());
}

absl::StatusOr<Directory> OpenDirectory(int root, const std::string& path) {
  UniqueFd fd = OpenBeneath(root, path, O_RDONLY | O_DIRECTORY);
  if (!fd) return OpenError("openat2", path);
  Directory directory(fdopendir(fd.get()));
  if (directory == nullptr) return OpenError("fdopendir", path);
  // It is the stream's now.
  static_cast<void>(fd.release());
  return directory;
}

// True if there is something beneath the root that the link leads to.
bool StatTarget(int root, const std::string& path, struct stat* found) {
  const UniqueFd target = OpenBeneath(root, path, O_PATH);
  return target && fstat(target.get(), found) == 0;
}

std::optional<DirectoryEntry> Describe(int root, absl::string_view path,
                                       DIR* directory, const dirent& item) {
  const bool can_be_listed = item.d_type == DT_REG || item.d_type == DT_DIR ||
                             item.d_type == DT_LNK || item.d_type == DT_UNKNOWN;
  if (item.d_name[0] == '.' || !can_be_listed) return std::nullopt;
  struct stat found = {};
  if (fstatat(dirfd(directory), item.d_name, &found, AT_SYMLINK_NOFOLLOW) !=
      0) {
    return std::nullopt;
  }
  if (S_ISLNK(found.st_mode) &&
      !StatTarget(root, absl::StrCat(path, "/", item.d_name), &found)) {
    return std::nullopt;
  }
  if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) return std::nullopt;
  DirectoryEntry entry;
  entry.name = item.d_name;
  entry.is_directory = S_ISDIR(found.st_mode);
  entry.size = entry.is_directory ? 0 : found.st_size;
  entry.modified = found.st_mtim.tv_sec;
  return entry;
}

// Takes the digits at the front, without the zeros before them.
absl::string_view TakeNumber(absl::string_view& text) {
  size_t end = 0;
  while (end < text.size() && absl::ascii_isdigit(text[end])) ++end;
  absl::string_view number = text.substr(0, end);
  text.remove_prefix(end);
  number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
  return number;
}

int Compare(absl::string_view left, absl::string_view right) {
  while (!left.empty() && !right.empty()) {
    if (absl::ascii_isdigit(left[0]) && absl::ascii_isdigit(right[0])) {
      const absl::string_view a = TakeNumber(left);
      const absl::string_view b = TakeNumber(right);
      if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
      if (const int order = a.compare(b); order != 0) return order;
      continue;
    }
    const auto a = static_cast<unsigned char>(absl::ascii_tolower(left[0]));
    const auto b = static_cast<unsigned char>(absl::ascii_tolower(right[0]));
    if (a != b) return a < b ? -1 : 1;
    left.remove_prefix(1);
    right.remove_prefix(1);
  }
  return static_cast<int>(right.empty()) - static_cast<int>(left.empty());
}

}  // namespace

bool IsNameBefore(absl::string_view left, absl::string_view right) {
  const int order = Compare(left, right);
  return order != 0 ? order < 0 : left < right;
}

absl::StatusOr<DirectoryListing> ListDirectory(int root,
                                               absl::string_view path) {
  const std::string folder(path.empty() ? "." : path);
  if (absl::StrContains(path, '\0')) {
    return absl::NotFoundError(absl::StrCat(Quote(path), " has a NUL"));
  }
  absl::StatusOr<Directory> directory = OpenDirectory(root, folder);
  if (!directory.ok()) return directory.status();
  DirectoryListing listing;
  for (size_t looked_at = 0;; ++looked_at) {
    errno = 0;
    const dirent* const item = readdir(directory->get());
    if (item == nullptr && errno != 0) return OpenError("readdir", path);
    if (item == nullptr) break;
    if (looked_at == kMaxLooks) {
      listing.truncated = true;
      break;
    }
    std::optional<DirectoryEntry> entry =
        Describe(root, folder, directory->get(), *item);
    if (!entry.has_value()) continue;
    if (listing.entries.size() == kMaxDirectoryEntries) {
      listing.truncated = true;
      break;
    }
    listing.entries.push_back(*std::move(entry));
  }
  std::sort(listing.entries.begin(), listing.entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) {
              if (a.is_directory != b.is_directory) return a.is_directory;
              return IsNameBefore(a.name, b.name);
            });
  return listing;
}

}  // namespace baton
