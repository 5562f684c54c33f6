#include "worker/http/file_options.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "net/quote.h"
#include "worker/files/file_path.h"
#include "worker/http/http_response.h"

namespace baton {
namespace {

// What a request for a file may end with; all others are of what is no request,
// or of a route.
constexpr int kErrors[] = {403, 404, 405, 412, 416, 500, 503};

absl::Status Bad(absl::string_view why) {
  return absl::InvalidArgumentError(why);
}

// What each file has of its own: a second one would belie it.
bool IsOfTheFile(absl::string_view name) {
  constexpr std::array<absl::string_view, 7> kOfTheFile = {
      "Accept-Ranges", "Allow",         "Content-Encoding", "Content-Range",
      "ETag",          "Last-Modified", "Location"};
  return std::any_of(kOfTheFile.begin(), kOfTheFile.end(),
                     [name](absl::string_view own) {
                       return absl::EqualsIgnoreCase(name, own);
                     });
}

// By the rules for what a handler sets.
absl::Status AddField(absl::string_view name, absl::string_view value,
                      std::string& fields) {
  HttpResponse response;
  response.Header(name, value);
  if (!response.failure().empty() || response.fields().empty() ||
      IsOfTheFile(name)) {
    return Bad("must be a field that a service may set");
  }
  absl::StrAppend(&fields, response.fields());
  return absl::OkStatus();
}

// Not line ends, which are refused.
absl::string_view WithoutBlanks(absl::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == absl::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

absl::Status ReadHeader(absl::string_view text, FileSiteOptions& site) {
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos) return Bad("must be NAME:VALUE");
  return AddField(text.substr(0, colon), WithoutBlanks(text.substr(colon + 1)),
                  site.fields);
}

absl::Status ReadIndexes(absl::string_view text, FileSiteOptions& site) {
  site.indexes = absl::StrSplit(text, ';');
  const bool good = std::all_of(
      site.indexes.begin(), site.indexes.end(), [](const std::string& name) {
        return !name.empty() && !absl::StartsWith(name, ".") &&
               !absl::StrContains(name, '/');
      });
  return good ? absl::OkStatus()
              : Bad("must be a file's name, or several with ; between them");
}

// A page of the site: its URL's path.
absl::Status ReadPage(absl::string_view text, std::string& page) {
  if (!absl::StartsWith(text, "/") || !IsCanonicalFilePath(text)) {
    return Bad("must be the path of a URL, such as /index.html");
  }
  page = std::string(text);
  return absl::OkStatus();
}

absl::Status ReadErrorPage(absl::string_view text, FileSiteOptions& site) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  int status = 0;
  if (!absl::StrContains(text, ':') ||
      !absl::SimpleAtoi(parts.first, &status) ||
      std::find(std::begin(kErrors), std::end(kErrors), status) ==
          std::end(kErrors)) {
    return Bad(absl::StrCat("must be STATUS:PATH, with a status out of ",
                            absl::StrJoin(kErrors, ", ")));
  }
  if (site.error_pages.contains(status)) {
    return Bad("there is another page for that status");
  }
  return ReadPage(parts.second, site.error_pages[status]);
}

absl::Status ReadOption(absl::string_view name, const std::string& value,
                        FileSiteOptions& site) {
  if (name == "root") site.root = value;
  if (name == "index") return ReadIndexes(value, site);
  if (name == "autoindex") {
    if (value != "0" && value != "1") return Bad("must be 0 or 1");
    site.autoindex = value == "1";
  }
  if (name == "cache_control")
    return AddField("Cache-Control", value, site.file_fields);
  if (name == "header") return ReadHeader(value, site);
  if (name == "fallback") return ReadPage(value, site.fallback);
  if (name == "error_page") return ReadErrorPage(value, site);
  return absl::OkStatus();
}

bool IsFileOption(absl::string_view name) {
  const auto is = [name](absl::string_view option) { return option == name; };
  return std::any_of(std::begin(kFileOptions), std::end(kFileOptions), is) ||
         std::any_of(std::begin(kRepeatedFileOptions),
                     std::end(kRepeatedFileOptions), is);
}

}  // namespace

absl::StatusOr<std::optional<FileSiteOptions>> ReadFileOptions(
    absl::Span<const std::pair<std::string, std::string>> options) {
  FileSiteOptions site;
  std::string without_root;
  for (const auto& [name, value] : options) {
    if (!IsFileOption(name)) continue;
    if (without_root.empty()) without_root = name;
    if (absl::Status status = ReadOption(name, value, site); !status.ok()) {
      return Bad(absl::StrCat(name, "=", Quote(value), ": ", status.message()));
    }
  }
  if (!site.root.empty()) return site;
  if (without_root.empty()) return std::nullopt;
  return Bad(absl::StrCat(without_root, "= is of no use without root="));
}

}  // namespace baton
