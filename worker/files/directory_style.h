#ifndef BATON_WORKER_FILES_DIRECTORY_STYLE_H_
#define BATON_WORKER_FILES_DIRECTORY_STYLE_H_

#include "absl/strings/string_view.h"

namespace baton {

// How the page of a directory looks; behind the style that all pages share.
extern const absl::string_view kDirectoryStyle;

// Sorts by a column when its title is pressed; without it those are plain text.
extern const absl::string_view kDirectoryScript;

}  // namespace baton

#endif  // BATON_WORKER_FILES_DIRECTORY_STYLE_H_
