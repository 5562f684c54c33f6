#ifndef BATON_WORKER_FILES_SERVED_FILE_H_
#define BATON_WORKER_FILES_SERVED_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "net/unique_fd.h"
#include "worker/files/accept_encoding.h"
#include "worker/files/file_tree.h"

namespace baton {

// A file, or a compressed neighbour of it, as it was when it was opened, with
// all that a response says of it. Never changed: whoever is sending it holds it
// by a shared_ptr while a newer one is served to others.
struct ServedFile {
  // Up to here the content is held in memory, and the descriptor closed: to
  // copy so much costs less than sendfile(2).
  static constexpr int64_t kMaxInMemory = 16 * 1024;

  FileStamp stamp;
  int64_t modified = 0;          // seconds since the epoch: Last-Modified
  std::string etag;              // with its quotes; strong
  absl::string_view media_type;  // of the table in media_type.h
  // "Name: value\r\n" each: what a 304 has too, and what belongs to the
  // content.
  std::string validator_fields;
  std::string content_fields;  // without Content-Type
  // All fields of a 200, Content-Type and Content-Length included.
  std::string ok_fields;

  UniqueFd fd;          // unless the content is here:
  std::string content;  // if in_memory()

  int64_t size() const { return stamp.size; }
  bool in_memory() const { return !fd; }
  size_t memory() const {
    return sizeof(*this) + content.capacity() + etag.capacity() +
           validator_fields.capacity() + content_fields.capacity() +
           ok_fields.capacity();
  }
};

struct ServedFileOptions {
  ContentCoding coding = ContentCoding::kIdentity;
  // Other codings of the same file are served too.
  bool has_neighbours = false;
  // Added to each response: "Name: value\r\n" each.
  absl::string_view more_fields = {};
};

// Where the content of the file at `path` is in that coding: "a.css.gz".
std::string NeighbourOf(const std::string& path, ContentCoding coding);

// Opens the file at `path` below `tree` (of a coding: its neighbour) and
// reads it if it is small. `on_open` is called with the descriptor of what may
// become it, to watch that from then on: then the path still led there, and
// what is read is as the file was at one time after. 0 or errno, as
// FileTree::OpenFile; EAGAIN if it changes faster than it can be read.
int OpenServedFile(const FileTree& tree, const std::string& path,
                   const ServedFileOptions& options,
                   absl::FunctionRef<void(int fd)> on_open,
                   std::shared_ptr<const ServedFile>* file);

}  // namespace baton

#endif  // BATON_WORKER_FILES_SERVED_FILE_H_
