#ifndef BATON_WORKER_HTTP_ACCESS_OPTIONS_H_
#define BATON_WORKER_HTTP_ACCESS_OPTIONS_H_

// What the options of an HTTP listener say of its access log:
//
//   access_log=off|stderr|PATH   access_format=combined|json
//
// A path has a '/', so that a word which is none of these is a mistake and no
// file. Pure.

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "net/listen_url.h"
#include "worker/http/access_line.h"

namespace baton {

inline constexpr char kAccessLogOption[] = "access_log";
inline constexpr char kAccessFormatOption[] = "access_format";
// Where a path could stand.
inline constexpr char kAccessLogStderr[] = "stderr";

struct AccessOptions {
  std::string path;  // empty: there is no log
  AccessFormat format = AccessFormat::kCombined;

  bool wanted() const { return !path.empty(); }
};

// One of those options. The error says what is allowed.
absl::Status ReadAccessOption(absl::string_view name, absl::string_view value,
                              AccessOptions& options);

// Those of a URL whose options are right.
AccessOptions AccessOptionsOf(const ListenUrl& url);

}  // namespace baton

#endif  // BATON_WORKER_HTTP_ACCESS_OPTIONS_H_
