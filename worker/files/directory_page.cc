#include "worker/files/directory_page.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "worker/files/directory_style.h"
#include "worker/files/file_path.h"
#include "worker/files/page_parts.h"

namespace baton {
namespace {

// A date has four digits of year, whatever the file system says.
constexpr int64_t kFirstYear = -62135596800;  // 0001-01-01
constexpr int64_t kLastYear = 253402300799;   // 9999-12-31

// So many that a page of it is still a page.
constexpr size_t kMaxCrumbs = 64;

std::string Plural(int64_t count, absl::string_view one,
                   absl::string_view many) {
  return absl::StrCat(GroupedNumber(count), " ", count == 1 ? one : many);
}

std::string Up(size_t levels) {
  std::string link = levels == 0 ? "./" : "";
  for (size_t i = 0; i < levels; ++i) link.append("../");
  return link;
}

// Each directory above as a link, the last one as text.
std::string Breadcrumb(absl::string_view path) {
  std::vector<absl::string_view> names = absl::StrSplit(path, '/');
  // Nothing stands before the first '/' and behind the last one.
  if (!names.empty()) names.erase(names.begin());
  if (!names.empty() && names.back().empty()) names.pop_back();
  std::string html = "<h1>";
  if (names.empty()) return absl::StrCat(html, "Index of /</h1>\n");
  absl::StrAppend(&html, "<a href=\"", Up(names.size()),
                  "\" title=\"Top\">Index of</a>");
  const size_t first =
      names.size() > kMaxCrumbs ? names.size() - kMaxCrumbs : 0;
  if (first > 0) absl::StrAppend(&html, "<i>/</i>&hellip;");
  for (size_t i = first; i < names.size(); ++i) {
    const size_t levels = names.size() - 1 - i;
    const std::string name = HtmlText(names[i]);
    absl::StrAppend(&html, "<i>/</i>");
    if (levels == 0) {
      absl::StrAppend(&html, "<bdi>", name, "</bdi>");
    } else if (!name.empty()) {
      absl::StrAppend(&html, "<a href=\"", Up(levels), "\"><bdi>", name,
                      "</bdi></a>");
    }
  }
  return absl::StrCat(html, "</h1>\n");
}

std::string TimeCell(int64_t modified) {
  const absl::Time time =
      absl::FromUnixSeconds(std::clamp(modified, kFirstYear, kLastYear));
  const absl::TimeZone utc = absl::UTCTimeZone();
  return absl::StrCat("<td><time datetime=\"",
                      absl::FormatTime("%E4Y-%m-%dT%H:%M:%SZ", time, utc),
                      "\">", absl::FormatTime("%E4Y-%m-%d %H:%M", time, utc),
                      "</time></td>");
}

void AppendRow(const DirectoryEntry& entry, std::string* html) {
  const absl::string_view slash = entry.is_directory ? "/" : "";
  // The dot keeps a name with a colon from being a scheme - RFC 3986 4.2.
  absl::StrAppend(html, entry.is_directory ? "<tr class=\"d\">" : "<tr>",
                  "<td><a href=\".", EncodeFilePath(entry.name), slash,
                  "\"><bdi>", HtmlText(entry.name), slash, "</bdi></a></td>");
  if (entry.is_directory) {
    absl::StrAppend(html, "<td></td>");
  } else {
    absl::StrAppend(html, "<td><data value=\"", entry.size, "\" title=\"",
                    Plural(entry.size, "byte", "bytes"), "\">",
                    ReadableSize(entry.size), "</data></td>");
  }
  absl::StrAppend(html, TimeCell(entry.modified), "</tr>\n");
}

std::string Footer(const DirectoryListing& listing) {
  int64_t directories = 0;
  int64_t total = 0;
  for (const DirectoryEntry& entry : listing.entries) {
    directories += entry.is_directory ? 1 : 0;
    // Sparse files may have any size.
    total += std::min(entry.size, std::numeric_limits<int64_t>::max() - total);
  }
  const int64_t files =
      static_cast<int64_t>(listing.entries.size()) - directories;
  std::string html = "<footer>\n";
  if (listing.truncated) {
    absl::StrAppend(
        &html, "<p class=\"note\">This directory has more entries than the ",
        GroupedNumber(static_cast<int64_t>(listing.entries.size())),
        " shown here.</p>\n");
  }
  absl::StrAppend(&html, "<p>", Plural(directories, "directory", "directories"),
                  ", ", Plural(files, "file", "files"), ", <span title=\"",
                  Plural(total, "byte", "bytes"), "\">", ReadableSize(total),
                  "</span></p>\n</footer>\n");
  return html;
}

}  // namespace

std::string DirectoryPage(absl::string_view path,
                          const DirectoryListing& listing) {
  const bool is_top = path.empty() || path == "/";
  std::string html =
      PageHead(absl::StrCat("Index of ", is_top ? "/" : path), kDirectoryStyle);
  absl::StrAppend(&html, "<body>\n", Breadcrumb(path),
                  "<table>\n<thead>\n<tr><th aria-sort=\"ascending\">Name</th>"
                  "<th>Size</th><th>Modified (UTC)</th></tr>\n</thead>\n"
                  "<tbody>\n");
  if (!is_top) {
    absl::StrAppend(&html,
                    "<tr class=\"u\"><td><a href=\"../\">Parent directory</a>"
                    "</td><td></td><td></td></tr>\n");
  }
  for (const DirectoryEntry& entry : listing.entries) AppendRow(entry, &html);
  absl::StrAppend(&html, "</tbody>\n</table>\n");
  if (listing.entries.empty()) {
    absl::StrAppend(&html, "<p class=\"empty\">There is nothing here.</p>\n");
  }
  absl::StrAppend(&html, Footer(listing));
  if (listing.entries.size() > 1) absl::StrAppend(&html, kDirectoryScript);
  absl::StrAppend(&html, "</body>\n</html>\n");
  return html;
}

std::string ReadableSize(int64_t bytes) {
  constexpr std::array<absl::string_view, 6> kUnits = {"KiB", "MiB", "GiB",
                                                       "TiB", "PiB", "EiB"};
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  // From this on it would be printed as 1024.
  while (value >= 1023.5 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  // Ten or more have two digits without a fraction.
  return value < 9.95 ? absl::StrFormat("%.1f %s", value, kUnits[unit])
                      : absl::StrFormat("%.0f %s", value, kUnits[unit]);
}

std::string GroupedNumber(int64_t number) {
  std::string text = absl::StrCat(number);
  const size_t first = number < 0 ? 1 : 0;
  for (size_t i = text.size(); i > first + 3; i -= 3) text.insert(i - 3, ",");
  return text;
}

}  // namespace baton
