#ifndef BATON_WORKER_FILES_MEDIA_TYPE_H_
#define BATON_WORKER_FILES_MEDIA_TYPE_H_

// The media type of a file, as in Content-Type.
//
// Contract
// * By the last extension of the last segment, in any case of letters; one that
//   is unknown or absent is application/octet-stream.
// * The table is made at build time of Debian's /etc/mime.types (package
//   media-types); of two types for one extension the first counts.
//   media_types.py has a short list of our own: what the web means otherwise
//   than Debian (ts), and what is there whether Debian has it or not: map, log,
//   yaml..., and all without which no site works (html, js, woff2, wasm...).
// * Text is UTF-8 and says so: "text/html; charset=utf-8", and likewise
//   JavaScript by any name. JSON and XML have rules of their own.
// * The view is of static storage. A dozen comparisons of integers.

#include "absl/strings/string_view.h"

namespace baton {

// `path` may be a name, and is not encoded.
absl::string_view MediaType(absl::string_view path);

}  // namespace baton

#endif  // BATON_WORKER_FILES_MEDIA_TYPE_H_
