#ifndef BATON_WORKER_HTTP_FILE_BODY_H_
#define BATON_WORKER_HTTP_FILE_BODY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/inlined_vector.h"
#include "net/unique_fd.h"

namespace baton {

// Bytes of a file as the body of a response, sent by sendfile(2): one stretch,
// or several with text around them (multipart/byteranges).
struct FileBody {
  struct Part {
    std::string before;  // text in front of it
    int64_t offset = 0;  // in the file
    int64_t size = 0;

    friend bool operator==(const Part&, const Part&) = default;
  };

  std::shared_ptr<const UniqueFd> file;
  absl::InlinedVector<Part, 1> parts;
  std::string after;  // text behind the last one

  uint64_t size() const {
    uint64_t size = after.size();
    for (const Part& part : parts) {
      size += part.before.size() + static_cast<uint64_t>(part.size);
    }
    return size;
  }
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_FILE_BODY_H_
