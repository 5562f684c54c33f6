#include "worker/http/http_service.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/quote.h"
#include "net/units.h"
#include "worker/http/access_log.h"
#include "worker/http/file_options.h"
#include "worker/http/http_worker.h"
#include "worker/http/welcome.h"

namespace baton {
namespace {

absl::Status ReadMaxBody(absl::string_view text, HttpListener& listener) {
  const absl::StatusOr<int64_t> size = ParseSize(text);
  if (!size.ok()) return size.status();
  listener.max_body = static_cast<uint64_t>(*size);
  return absl::OkStatus();
}

absl::Status ReadTimeout(absl::string_view text, absl::Duration& timeout) {
  const absl::StatusOr<absl::Duration> duration = ParseDuration(text);
  if (!duration.ok()) return duration.status();
  if (*duration <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("must be more than 0s");
  }
  timeout = *duration;
  return absl::OkStatus();
}

absl::Status ReadBool(absl::string_view text, bool& value) {
  if (text != "0" && text != "1") {
    return absl::InvalidArgumentError("must be 0 or 1");
  }
  value = text == "1";
  return absl::OkStatus();
}

absl::Status ReadOption(absl::string_view name, absl::string_view value,
                        HttpListener& listener) {
  if (name == "max_body") return ReadMaxBody(value, listener);
  if (name == "header_timeout") {
    return ReadTimeout(value, listener.header_timeout);
  }
  if (name == "body_timeout") {
    return ReadTimeout(value, listener.body_timeout);
  }
  if (name == "server_header") return ReadBool(value, listener.server_header);
  return ReadAccessOption(name, value, listener.access);
}

}  // namespace

HttpService& HttpService::Route(HttpMethod method, absl::string_view pattern,
                                HttpHandler handler, HttpRouteOptions options) {
  CHECK(options.timeout > absl::ZeroDuration()) << pattern;
  router_.Add(method, pattern, {handler, options});
  return *this;
}

const HttpRouter& HttpService::WelcomeRoutes() {
  static const HttpRouter& routes = []() -> const HttpRouter& {
    auto made = std::make_unique<HttpRouter>();
    made->Add(HttpMethod::kGet, "/", {Welcome, {}});
    return *made.release();
  }();
  return routes;
}

absl::StatusOr<std::shared_ptr<const HttpListener>> MakeHttpListener(
    const HttpService& service, const ListenUrl& url) {
  HttpWorker* const worker = HttpWorker::CurrentOrNull();
  auto listener = std::make_shared<HttpListener>();
  listener->service = &service;
  absl::StatusOr<std::optional<FileSiteOptions>> files =
      ReadFileOptions(url.options);
  if (!files.ok()) return files.status();
  if (files->has_value()) {
    absl::StatusOr<std::unique_ptr<FileSite>> site =
        FileSite::Open(**std::move(files),
                       worker != nullptr ? &worker->file_watch() : nullptr);
    if (!site.ok()) return site.status();
    listener->files = std::make_shared<StaticFiles>(*std::move(site));
  }
  for (const auto& [name, value] : url.options) {
    if (absl::Status status = ReadOption(name, value, *listener);
        !status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, "=", Quote(value), ": ", status.message()));
    }
  }
  if (listener->access.wanted() && worker != nullptr &&
      worker->access_logs() != nullptr) {
    listener->access_log = &worker->access_logs()->Get(listener->access.path);
  }
  return listener;
}

}  // namespace baton
