#include "worker/files/served_file.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/files/http_date.h"
#include "worker/files/media_type.h"

namespace baton {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int kAttempts = 4;

absl::string_view SuffixOf(ContentCoding coding) {
  switch (coding) {
    case ContentCoding::kIdentity:
      return "";
    case ContentCoding::kGzip:
      return ".gz";
    case ContentCoding::kBrotli:
      return ".br";
  }
  return "";
}

// Opens what is at `name`, and shows it to `on_open`. What was renamed or
// replaced before it was watched would never be heard of: so the name must lead
// there still. 0 or errno.
int OpenWatched(const FileTree& tree, const std::string& name,
                absl::FunctionRef<void(int fd)> on_open, UniqueFd* fd) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    FileFacts opened;
    if (const int error = tree.OpenFile(name, fd, &opened); error != 0) {
      return error;
    }
    on_open(fd->get());
    FileFacts there;
    if (tree.Look(name, &there) == 0 &&
        there.stamp.device == opened.stamp.device &&
        there.stamp.inode == opened.stamp.inode) {
      return 0;
    }
  }
  return EAGAIN;
}

// 0 or errno; EAGAIN if it is not as long as it was said to be.
int ReadWhole(int fd, int64_t size, std::string* content) {
  content->resize(static_cast<size_t>(size));
  size_t have = 0;
  while (have < content->size()) {
    const ssize_t got = pread(fd, content->data() + have,
                              content->size() - have, static_cast<off_t>(have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return EAGAIN;
    have += static_cast<size_t>(got);
  }
  return 0;
}

// Its stamp, and its content if that is small: half old and half new it would
// have an etag that another content has.
int ReadFile(int fd, FileStamp* stamp, std::string* content) {
  FileFacts before;
  FileFacts after;
  if (const int error = LookAt(fd, &before); error != 0) return error;
  for (int attempt = 0; attempt < kAttempts; ++attempt, before = after) {
    *stamp = before.stamp;
    content->clear();
    if (stamp->size > ServedFile::kMaxInMemory) return 0;
    const int error = ReadWhole(fd, stamp->size, content);
    if (error != 0 && error != EAGAIN) return error;
    if (const int failed = LookAt(fd, &after); failed != 0) return failed;
    if (error == 0 && after.stamp == before.stamp) return 0;
  }
  return EAGAIN;
}

// The same for every worker and every machine that has a copy with the same
// times: nothing of the inode is in it.
std::string EtagOf(const FileStamp& stamp, ContentCoding coding) {
  return absl::StrCat("\"", absl::Hex(stamp.modified_nanos), "-",
                      absl::Hex(stamp.size),
                      coding == ContentCoding::kIdentity ? "" : "-",
                      absl::ClippedSubstr(SuffixOf(coding), 1), "\"");
}

void Describe(const std::string& path, const ServedFileOptions& options,
              ServedFile& file) {
  // Rounded down also before 1970.
  const int64_t nanos = file.stamp.modified_nanos;
  const int64_t modified =
      (nanos -
       ((nanos % kNanosPerSecond) + kNanosPerSecond) % kNanosPerSecond) /
      kNanosPerSecond;
  file.modified = modified;
  file.etag = EtagOf(file.stamp, options.coding);
  file.media_type = MediaType(path);
  // Not one later than now, says RFC 9110 section 8.8.2.1; and now would be
  // another time in each worker.
  if (modified <= time(nullptr)) {
    absl::StrAppend(&file.validator_fields,
                    "Last-Modified: ", FormatHttpDate(modified), "\r\n");
  }
  absl::StrAppend(&file.validator_fields, "ETag: ", file.etag, "\r\n");
  if (options.has_neighbours) {
    file.validator_fields += "Vary: Accept-Encoding\r\n";
  }
  absl::StrAppend(&file.validator_fields, options.more_fields);
  if (options.coding != ContentCoding::kIdentity) {
    absl::StrAppend(&file.content_fields,
                    "Content-Encoding: ", ContentCodingName(options.coding),
                    "\r\n");
  }
  file.content_fields += "Accept-Ranges: bytes\r\n";
  file.ok_fields = absl::StrCat("Content-Type: ", file.media_type, "\r\n",
                                file.validator_fields, file.content_fields,
                                "Content-Length: ", file.size(), "\r\n");
}

}  // namespace

std::string NeighbourOf(const std::string& path, ContentCoding coding) {
  return absl::StrCat(path, SuffixOf(coding));
}

int OpenServedFile(const FileTree& tree, const std::string& path,
                   const ServedFileOptions& options,
                   absl::FunctionRef<void(int fd)> on_open,
                   std::shared_ptr<const ServedFile>* file) {
  UniqueFd fd;
  if (const int error =
          OpenWatched(tree, NeighbourOf(path, options.coding), on_open, &fd);
      error != 0) {
    return error;
  }
  auto made = std::make_shared<ServedFile>();
  if (const int error = ReadFile(fd.get(), &made->stamp, &made->content);
      error != 0) {
    return error;
  }
  if (made->size() > ServedFile::kMaxInMemory) made->fd = std::move(fd);
  Describe(path, options, *made);
  *file = std::move(made);
  return 0;
}

}  // namespace baton
