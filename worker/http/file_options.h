#ifndef BATON_WORKER_HTTP_FILE_OPTIONS_H_
#define BATON_WORKER_HTTP_FILE_OPTIONS_H_

// The options of an HTTP listener that say which files it serves, and how:
//
//   http://0.0.0.0:8080?root=/srv/www&cache_control=public&header=X-Env:test

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/files/file_site.h"

namespace baton {

// Their names, and those that may stand there more than once.
inline constexpr absl::string_view kFileOptions[] = {
    "autoindex", "cache_control", "fallback", "index", "root"};
inline constexpr absl::string_view kRepeatedFileOptions[] = {"error_page",
                                                             "header"};

// Reads those among `options`; nullopt if there is no root. Errors name the
// option and its value.
absl::StatusOr<std::optional<FileSiteOptions>> ReadFileOptions(
    absl::Span<const std::pair<std::string, std::string>> options);

}  // namespace baton

#endif  // BATON_WORKER_HTTP_FILE_OPTIONS_H_
