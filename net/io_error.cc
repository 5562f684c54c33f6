#include "net/io_error.h"

namespace baton {

absl::string_view IoErrorName(IoError error) {
  switch (error) {
    case IoError::kOk:
      return "ok";
    case IoError::kEof:
      return "eof";
    case IoError::kTimeout:
      return "timeout";
    case IoError::kDraining:
      return "draining";
    case IoError::kReset:
      return "reset";
    case IoError::kTooLong:
      return "too long";
    case IoError::kCancelled:
      return "cancelled";
    case IoError::kFileError:
      return "file error";
    case IoError::kOverload:
      return "overload";
  }
  return "unknown";
}

}  // namespace baton
