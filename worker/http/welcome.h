#ifndef BATON_WORKER_HTTP_WELCOME_H_
#define BATON_WORKER_HTTP_WELCOME_H_

#include "worker/http/http_request.h"
#include "worker/http/http_response.h"

namespace baton {

// What an HTTP service without any route shows: that it runs, who answers, and
// what to do next.
HttpResponse Welcome(const HttpRequest& request);

}  // namespace baton

#endif  // BATON_WORKER_HTTP_WELCOME_H_
