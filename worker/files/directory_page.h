#ifndef BATON_WORKER_FILES_DIRECTORY_PAGE_H_
#define BATON_WORKER_FILES_DIRECTORY_PAGE_H_

// Problem: names in a directory are bytes that somebody may have chosen to be
// markup, or a link to elsewhere (`javascript:x`, `//host`).
//
// Contract
// * One HTML page that needs nothing else: no script to be used (a short one
//   sorts by column), no picture, no font.
// * Every link is relative: it works behind a proxy that serves the site under
//   another path, and can't lead away from the host. Names are percent-encoded
//   in links and escaped in text.
// * Pure: the same listing gives the same bytes.

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "worker/files/directory_listing.h"

namespace baton {

// `path` is that of the request, decoded, from its first '/' to its last one:
// links are relative to it, so it must have the segments that the client sees.
std::string DirectoryPage(absl::string_view path,
                          const DirectoryListing& listing);

// "0 B", "1023 B", "1.0 KiB", "9.8 MiB", "312 GiB".
std::string ReadableSize(int64_t bytes);

// "1,234,567".
std::string GroupedNumber(int64_t number);

}  // namespace baton

#endif  // BATON_WORKER_FILES_DIRECTORY_PAGE_H_
