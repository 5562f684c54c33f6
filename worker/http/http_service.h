#ifndef BATON_WORKER_HTTP_HTTP_SERVICE_H_
#define BATON_WORKER_HTTP_HTTP_SERVICE_H_

// An HTTP service: its routes, and what its listeners' options say.
//
//   services.Http("www")
//       .Get("/hello/{name}", Hello)
//       .Post("/hash", Hash, {.max_body = 4096});

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/listen_url.h"
#include "worker/http/access_options.h"
#include "worker/http/router.h"
#include "worker/http/static_files.h"

namespace baton {

class HttpService {
 public:
  // Patterns: router.h. A handler is one of the three kinds there.
  HttpService& Get(absl::string_view pattern, HttpHandler handler,
                   HttpRouteOptions options = {}) {
    return Route(HttpMethod::kGet, pattern, handler, options);
  }
  HttpService& Post(absl::string_view pattern, HttpHandler handler,
                    HttpRouteOptions options = {}) {
    return Route(HttpMethod::kPost, pattern, handler, options);
  }
  HttpService& Put(absl::string_view pattern, HttpHandler handler,
                   HttpRouteOptions options = {}) {
    return Route(HttpMethod::kPut, pattern, handler, options);
  }
  HttpService& Delete(absl::string_view pattern, HttpHandler handler,
                      HttpRouteOptions options = {}) {
    return Route(HttpMethod::kDelete, pattern, handler, options);
  }
  HttpService& Route(HttpMethod method, absl::string_view pattern,
                     HttpHandler handler, HttpRouteOptions options = {});

  bool has_routes() const { return !router_.empty(); }
  // One without any route has a page at / that says what to do next.
  HttpRouter::Match Find(HttpMethod method, absl::string_view path,
                         HttpPathParameters* parameters) const {
    return (router_.empty() ? WelcomeRoutes() : router_)
        .Find(method, path, parameters);
  }

 private:
  static const HttpRouter& WelcomeRoutes();

  HttpRouter router_;
};

class AccessLog;

// What the connections of a listener need to know: its options.
struct HttpListener {
  const HttpService* service = nullptr;
  uint64_t max_body = 1024 * 1024;
  // From the first byte of a request to the end of its head.
  absl::Duration header_timeout = absl::Seconds(10);
  // How long a body that is waited for may pause.
  absl::Duration body_timeout = absl::Seconds(30);
  bool server_header = true;
  // What no route has, if there is a root; of the loop's thread.
  std::shared_ptr<StaticFiles> files = nullptr;
  AccessOptions access = {};
  // Of the worker; null if there is none to be written.
  AccessLog* access_log = nullptr;

  HttpRouter::Match Find(HttpMethod method, absl::string_view path,
                         HttpPathParameters* parameters) const {
    if (files != nullptr && !service->has_routes()) return {};
    return service->Find(method, path, parameters);
  }
  // Of a request for `route`, which may be null.
  uint64_t MaxBody(const HttpRoute* route) const {
    return route == nullptr ? max_body
                            : route->options.max_body.value_or(max_body);
  }
};

// The names of those options.
inline constexpr absl::string_view kHttpListenerOptions[] = {
    kAccessFormatOption, kAccessLogOption, "body_timeout",
    "header_timeout",    "max_body",       "server_header"};

// From the options of `url`; that there are no others, the registry sees to.
absl::StatusOr<std::shared_ptr<const HttpListener>> MakeHttpListener(
    const HttpService& service, const ListenUrl& url);

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_SERVICE_H_
