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
  // Not later than now: RFC 9110 section 8.8.2.1.
  file.modified = std::min<int64_t>(modified, time(nullptr));
  file.etag = EtagOf(file.stamp, options.coding);
  file.media_type = MediaType(path);
  absl::StrAppend(&file.validator_fields,
                  "Last-Modified: ", FormatHttpDate(file.modified), "\r\n",
                  "ETag: ", file.etag, "\r\n");
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

namespace internal {

int FillServedFile(const std::string& path, const ServedFileOptions& options,
                   UniqueFd fd, std::shared_ptr<const ServedFile>* file) {
  auto made = std::make_shared<ServedFile>();
  for (int attempt = 1;; ++attempt) {
    FileFacts facts;
    if (const int error = LookAt(fd.get(), &facts); error != 0) return error;
    made->stamp = facts.stamp;
    if (made->size() > ServedFile::kMaxInMemory) break;
    const int error = ReadWhole(fd.get(), made->size(), &made->content);
    if (error == 0) break;
    if (error != EAGAIN || attempt == kAttempts) return error;
  }
  if (made->size() > ServedFile::kMaxInMemory) made->fd = std::move(fd);
  Describe(path, options, *made);
  *file = std::move(made);
  return 0;
}

}  // namespace internal
}  // namespace baton
