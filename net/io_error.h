#ifndef BATON_NET_IO_ERROR_H_
#define BATON_NET_IO_ERROR_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace baton {

// How an operation of a connection ended. What a peer causes is a value, not an
// exception and not a Status.
enum class [[nodiscard]] IoError : uint8_t {
  kOk = 0,
  kEof,      // the peer has closed its side in good order
  kTimeout,  // the operation's time ran out; a write that timed out has unknown
             // progress: close
  kDraining,   // an idle read: the worker is leaving, nothing more will be
               // received; a write: another worker has the connection now, and
               // nothing was sent
  kReset,      // the connection is broken
  kTooLong,    // more bytes than the caller allowed
  kCancelled,  // the task was asked to stop
  kOverload,   // no buffer memory left
  kFileError,  // WriteFile can't read its file
};

// "ok", "eof", ... for logs and metrics.
absl::string_view IoErrorName(IoError error);

// Bytes that were read, or why there are none. The bytes are borrowed: they are
// valid until the next read of the same connection, or until the coroutine is
// suspended by anything but a Write of these very bytes, whichever comes first.
class [[nodiscard]] ReadResult {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): an error is a result
  ReadResult(IoError error) : error_(error) {}
  ReadResult(const char* data, uint32_t size, bool urgent = false)
      : data_(data), size_(size), error_(IoError::kOk), urgent_(urgent) {}

  explicit operator bool() const { return error_ == IoError::kOk; }
  // Empty unless the read went well.
  absl::string_view operator*() const { return bytes(); }
  struct Arrow {
    absl::string_view bytes;
    const absl::string_view* operator->() const { return &bytes; }
  };
  Arrow operator->() const { return {bytes()}; }
  absl::string_view bytes() const { return {data_, size_}; }
  uint32_t size() const { return size_; }
  IoError error() const { return error_; }
  // The byte came out of band (ReadOptions::urgent); it is no part of the
  // stream.
  bool urgent() const { return urgent_; }

 private:
  const char* data_ = nullptr;
  uint32_t size_ = 0;
  IoError error_;
  bool urgent_ = false;
};

}  // namespace baton

#endif  // BATON_NET_IO_ERROR_H_
