#ifndef BATON_WORKER_HTTP_STATIC_FILES_H_
#define BATON_WORKER_HTTP_STATIC_FILES_H_

// Responses with the files of a site (worker/files/file_site.h): RFC 9110
// sections 13 and 14, RFC 9111 for what a cache is told.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "net/task.h"
#include "worker/files/file_site.h"
#include "worker/files/preconditions.h"
#include "worker/files/served_file.h"
#include "worker/http/http_head.h"
#include "worker/http/http_response.h"

namespace baton {

class StaticFiles {
 public:
  explicit StaticFiles(std::unique_ptr<FileSite> site)
      : site_(std::move(site)) {}

  // The file to be sent as it is and whole, with its ok_fields, as most are;
  // null if there is more to think of, or to look for. Valid until the next
  // call.
  const std::shared_ptr<const ServedFile>* FindSimple(
      const HttpHead& head, const FileConditions& conditions);

  // The answer to a GET or HEAD, at `now` by the wall clock, in seconds; to any
  // other, what there is. nullopt: a directory is to be listed, which blocks.
  std::optional<HttpResponse> Answer(const HttpHead& head,
                                     const FileConditions& conditions,
                                     int64_t now);
  // The same, on a job thread where it blocks. `head` stays until it returns.
  Task<HttpResponse> AnswerSlowly(const HttpHead* head, int64_t now);

  const FileSite& site() const { return *site_; }

 private:
  HttpResponse AnswerToOther(const HttpHead& head);
  HttpResponse Error(int status, absl::string_view fields = {});

  const std::unique_ptr<FileSite> site_;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_STATIC_FILES_H_
