#include "worker/files/file_site.h"

#include <errno.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "net/errno_status.h"
#include "net/event_loop.h"
#include "net/in_context.h"
#include "net/quote.h"

namespace baton {
namespace {

// What a client is told when a path could not be opened.
int StatusOfErrno(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case EINTR:
      return 503;
    case EIO:
    case ESTALE:
      return 500;
    default:
      // ENOENT, ENOTDIR, ENAMETOOLONG; ELOOP and EXDEV, of a link that leads
      // nowhere or out of the root: to say so would tell what is there.
      return 404;
  }
}

FileSite::Found Nothing(int error) {
  return {.kind = FileSite::Found::Kind::kNothing,
          .status = StatusOfErrno(error)};
}

FileSite::Found ThatFile(const FileEntry* file) {
  return {.kind = FileSite::Found::Kind::kFile, .file = file};
}

// Which option it is that is wrong.
absl::Status OfOption(absl::string_view name, absl::string_view value,
                      const absl::Status& status) {
  return InContext(absl::StrCat(name, "=", Quote(value)), status);
}

absl::Status CheckPage(const FileTree& tree, absl::string_view url_path) {
  const std::optional<FilePath> path = DecodeFilePath(url_path);
  FileFacts facts;
  UniqueFd fd;
  const int error = !path.has_value() || path->names_directory
                        ? ENOENT
                        : tree.OpenFile(path->relative, &fd, &facts);
  if (error == 0) return absl::OkStatus();
  if (error == EXDEV) {
    return absl::PermissionDeniedError("a link that leads out of the root");
  }
  return ErrnoStatus("open", absl::StrCat(tree.root(), url_path), error);
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileSite>> FileSite::Open(
    FileSiteOptions options, FileWatch* watch) {
  absl::StatusOr<std::unique_ptr<FileTree>> tree = FileTree::Open(options.root);
  if (!tree.ok()) return OfOption("root", options.root, tree.status());
  const FileTree& files = **tree;
  if (!options.fallback.empty()) {
    if (absl::Status status = CheckPage(files, options.fallback);
        !status.ok()) {
      return OfOption("fallback", options.fallback, status);
    }
  }
  for (const auto& [status_code, page] : options.error_pages) {
    if (absl::Status status = CheckPage(files, page); !status.ok()) {
      return OfOption("error_page", absl::StrCat(status_code, ":", page),
                      status);
    }
  }
  return std::unique_ptr<FileSite>(
      new FileSite(std::move(options), *std::move(tree), watch));
}

FileSite::FileSite(FileSiteOptions options, std::unique_ptr<FileTree> tree,
                   FileWatch* watch)
    : options_(std::move(options)),
      all_fields_(absl::StrCat(options_.file_fields, options_.fields)),
      tree_(std::move(tree)),
      watch_(watch) {}

FileSite::Found FileSite::LookUp(absl::string_view url_path) {
  const std::optional<FilePath> path = DecodeFilePath(url_path);
  Found found = Nothing(ENOENT);
  if (path.has_value()) {
    if (cache_ == nullptr) {
      cache_ = std::make_unique<FileCache>(EventLoop::Current(), *tree_, watch_,
                                           all_fields_);
    }
    cache_->FollowRoot();
    // Other spellings of a path share its place, so nobody fills the cache with
    // them.
    found = IsCanonicalFilePath(url_path)
                ? LookUpPath(*path, url_path)
                : LookUpPath(*path, EncodeFilePath(*path));
  }
  if (found.kind != Found::Kind::kNothing || found.status != 404 ||
      options_.fallback.empty() || url_path == options_.fallback) {
    return found;
  }
  return Find(options_.fallback);
}

FileSite::Found FileSite::LookUpPath(const FilePath& path,
                                     absl::string_view key) {
  if (const FileEntry* const file = cache_->Find(key); file != nullptr) {
    return ThatFile(file);
  }
  if (path.names_directory || path.relative.empty()) {
    return FindIndex(path, key);
  }
  const FileEntry* file = nullptr;
  const int error = Load(key, path.relative, &file);
  if (error == 0) return ThatFile(file);
  if (error == EISDIR && tree_->FindDirectory(path.relative) == 0) {
    return {.kind = Found::Kind::kRedirect,
            .path = absl::StrCat(EncodeFilePath(path.relative), "/")};
  }
  return Nothing(error);
}

FileSite::Found FileSite::FindIndex(const FilePath& path,
                                    absl::string_view key) {
  std::vector<std::string> missing;
  for (const std::string& index : options_.indexes) {
    std::string there =
        path.relative.empty() ? index : absl::StrCat(path.relative, "/", index);
    const FileEntry* file = nullptr;
    const int error = Load(key, there, &file, missing);
    if (error == 0) return ThatFile(file);
    if (StatusOfErrno(error) != 404) return Nothing(error);
    missing.push_back(std::move(there));
  }
  if (const int error = tree_->FindDirectory(path.relative); error != 0) {
    return Nothing(error);
  }
  if (!options_.autoindex) return Nothing(EACCES);
  return {.kind = Found::Kind::kDirectory, .path = path.relative};
}

int FileSite::Load(absl::string_view key, const std::string& path,
                   const FileEntry** file,
                   const std::vector<std::string>& before) {
  const int error = cache_->Load(key, path, file, before);
  if (error != EMFILE && error != ENFILE) return error;
  cache_->CloseSpare();
  return cache_->Load(key, path, file, before);
}

const FileEntry* FileSite::FindErrorPage(int status) {
  const auto page = options_.error_pages.find(status);
  if (page == options_.error_pages.end()) return nullptr;
  return Find(page->second).file;
}

}  // namespace baton
