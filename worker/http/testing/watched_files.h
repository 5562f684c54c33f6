#ifndef BATON_WORKER_HTTP_TESTING_WATCHED_FILES_H_
#define BATON_WORKER_HTTP_TESTING_WATCHED_FILES_H_

#include <memory>
#include <utility>

#include "worker/files/file_site.h"
#include "worker/files/file_watch.h"
#include "worker/http/static_files.h"

namespace baton::testing {

// A site with a watch of its own, which ends with it: while there is the loop
// yet.
inline std::shared_ptr<StaticFiles> WatchedFiles(FileSiteOptions options) {
  struct Watched {
    FileWatch watch;
    StaticFiles files;

    explicit Watched(FileSiteOptions options)
        : files(FileSite::Open(std::move(options), &watch).value()) {}
  };
  auto watched = std::make_shared<Watched>(std::move(options));
  StaticFiles* const files = &watched->files;
  return {std::move(watched), files};
}

}  // namespace baton::testing

#endif  // BATON_WORKER_HTTP_TESTING_WATCHED_FILES_H_
