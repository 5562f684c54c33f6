#ifndef BATON_WORKER_FILES_PAGE_PARTS_H_
#define BATON_WORKER_FILES_PAGE_PARTS_H_

// What the pages that a static site gets from the server have in common: how
// they look, and how bytes that somebody chose become text in them.

#include <string>

#include "absl/strings/string_view.h"

namespace baton {

// From the doctype to the end of the style, with `style` behind the common one.
// `title` is text, not HTML. Nothing is loaded from elsewhere, and there is a
// dark look for those who prefer it.
std::string PageHead(absl::string_view title, absl::string_view style);

// For between tags and in quoted attributes. What is not UTF-8 comes out as
// U+FFFD, a control character as its picture (U+2400 and so on): every name is
// one line and can be told from others.
std::string HtmlText(absl::string_view bytes);

}  // namespace baton

#endif  // BATON_WORKER_FILES_PAGE_PARTS_H_
