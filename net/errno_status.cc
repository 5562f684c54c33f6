#include "net/errno_status.h"

#include <errno.h>
#include <glog/logging.h>
#include <string.h>

#include "absl/strings/str_cat.h"

namespace baton {

std::string ErrnoText(int errnum) {
  // Untranslated and thread-safe, unlike strerror - strerror(3).
  const char* description = strerrordesc_np(errnum);
  const char* name = strerrorname_np(errnum);
  if (description == nullptr || name == nullptr) {
    return absl::StrCat("unknown error ", errnum);
  }
  return absl::StrCat(description, " (", name, ")");
}

absl::Status ErrnoStatus(absl::string_view call, absl::string_view object,
                         int errnum) {
  CHECK_NE(errnum, 0) << call << " " << object << " did not fail";
  return absl::Status(absl::ErrnoToStatusCode(errnum),
                      absl::StrCat(call, object.empty() ? "" : " ", object,
                                   ": ", ErrnoText(errnum)));
}

}  // namespace baton
