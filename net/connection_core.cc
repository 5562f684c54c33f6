#include "net/connection_core.h"

#include <algorithm>

namespace baton::internal {

size_t WriteOperation::remaining() const {
  switch (kind) {
    case kBytes:
      return bytes.size;
    case kParts: {
      size_t size = 0;
      for (uint32_t i = 0; i < parts.count; ++i) size += parts.first[i].size();
      return size - parts.offset;
    }
    case kFile:
      return static_cast<size_t>(file.size);
    case kUrgent:
      return bytes.size;
  }
  return 0;
}

void WriteOperation::Advance(size_t sent) {
  switch (kind) {
    case kBytes:
      bytes.data += sent;
      bytes.size -= sent;
      return;
    case kParts:
      while (parts.count > 0 && sent >= parts.first->size() - parts.offset) {
        sent -= parts.first->size() - parts.offset;
        ++parts.first;
        --parts.count;
        parts.offset = 0;
      }
      parts.offset += static_cast<uint32_t>(sent);
      return;
    case kFile:
      file.offset += static_cast<int64_t>(sent);
      file.size -= static_cast<int64_t>(sent);
      return;
    case kUrgent:
      bytes.size = 0;
      return;
  }
}

int WriteOperation::FillIovecs(absl::Span<iovec> iovecs) const {
  const size_t count = std::min<size_t>(parts.count, iovecs.size());
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view part = parts.first[i].substr(i == 0 ? parts.offset : 0);
    iovecs[i] = {.iov_base = const_cast<char*>(part.data()), .iov_len = part.size()};
  }
  return static_cast<int>(count);
}

}  // namespace baton::internal
