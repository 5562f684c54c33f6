#include "worker/http/access_options.h"

namespace baton {
namespace {

absl::Status ReadPath(absl::string_view value, std::string& path) {
  if (value == "off") {
    path.clear();
    return absl::OkStatus();
  }
  const bool is_path = value.find('/') != absl::string_view::npos &&
                       value.back() != '/' &&
                       value.find('\0') == absl::string_view::npos;
  if (!is_path && value != kAccessLogStderr) {
    return absl::InvalidArgumentError(
        "must be off, stderr or the path of a file, with a '/'");
  }
  path = std::string(value);
  return absl::OkStatus();
}

absl::Status ReadFormat(absl::string_view value, AccessFormat& format) {
  if (value != "combined" && value != "json") {
    return absl::InvalidArgumentError("must be combined or json");
  }
  format = value == "json" ? AccessFormat::kJson : AccessFormat::kCombined;
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadAccessOption(absl::string_view name, absl::string_view value,
                              AccessOptions& options) {
  if (name == kAccessLogOption) return ReadPath(value, options.path);
  if (name == kAccessFormatOption) return ReadFormat(value, options.format);
  return absl::OkStatus();
}

AccessOptions AccessOptionsOf(const ListenUrl& url) {
  AccessOptions options;
  for (const auto& [name, value] : url.options) {
    ReadAccessOption(name, value, options).IgnoreError();
  }
  return options;
}

}  // namespace baton
