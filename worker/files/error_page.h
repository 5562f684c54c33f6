#ifndef BATON_WORKER_FILES_ERROR_PAGE_H_
#define BATON_WORKER_FILES_ERROR_PAGE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace baton {

// The HTML page of an error, for people: the status, its reason and, where
// there is more to say, one sentence. Nothing of the request and nothing of the
// server is in it, so it tells nobody anything and can't be made to say
// anything.
std::string ErrorPage(int status, absl::string_view reason);

}  // namespace baton

#endif  // BATON_WORKER_FILES_ERROR_PAGE_H_
