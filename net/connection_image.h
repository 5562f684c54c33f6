#ifndef BATON_NET_CONNECTION_IMAGE_H_
#define BATON_NET_CONNECTION_IMAGE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "net/unique_fd.h"
#include "net/wire.h"

namespace baton {

// A file in the middle of being sent.
struct UnsentFile {
  UniqueFd fd;
  int64_t offset = 0;
  int64_t size = 0;
};

// The same without the descriptor.
struct FileRest {
  uint64_t offset = 0;
  uint64_t size = 0;

  friend bool operator==(const FileRest&, const FileRest&) = default;
};

// A connection at a safe point, without its descriptors: what another process
// needs to go on with it.
struct ConnectionImage {
  std::string unread;  // received, not consumed
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  absl::Duration age;
  absl::Duration idle_left =
      absl::InfiniteDuration();  // until the idle deadline
  uint32_t state_version = 0;
  std::optional<std::string> state;  // encoded
  // It is in the middle of a file, whose descriptor goes along with its own.
  std::optional<FileRest> file;

  friend bool operator==(const ConnectionImage&,
                         const ConnectionImage&) = default;
};

// Images go between two builds of the server, the older of which may be on
// either side. So an image stands behind its length, and a later build only
// appends fields: a reader ignores what it does not know, and what is not there
// has its default.
//
// Times are rounded to nanoseconds; below zero there is nothing.
void AppendImage(std::string& out, const ConnectionImage& image);

// Takes the next image off `reader`; if there is none, reader.failed().
ConnectionImage TakeImage(WireReader& reader);

}  // namespace baton

#endif  // BATON_NET_CONNECTION_IMAGE_H_
