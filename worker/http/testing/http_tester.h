#ifndef BATON_WORKER_HTTP_TESTING_HTTP_TESTER_H_
#define BATON_WORKER_HTTP_TESTING_HTTP_TESTER_H_

// Drives an HTTP service without sockets, in simulated time:
//
//   HttpService service;
//   service.Get("/hello/{name}", Hello);
//   baton::testing::HttpTester tester(service);
//   EXPECT_EQ(tester.Get("/hello/you").body, "hello you\n");
//
// One connection, which is opened anew when the service has closed it. For
// handlers that Offload, the test needs a JobDesk of its own.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/testing/pair.h"
#include "worker/http/http_service.h"
#include "worker/http/http_worker.h"

namespace baton::testing {

struct HttpAnswer {
  int status = 0;  // 0: there is none (yet)
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // chunks put together

  // The first of that name; empty if there is none.
  std::string Header(absl::string_view name) const;
};

class HttpTester {
 public:
  explicit HttpTester(const HttpService& service,
                      const HttpListener& options = {},
                      HttpWorker::Options worker = {});
  ~HttpTester();

  // A request and its answer. `fields` are lines, each with its CRLF.
  HttpAnswer Get(absl::string_view target, absl::string_view fields = "");
  HttpAnswer Post(absl::string_view target, absl::string_view body,
                  absl::string_view fields = "");
  HttpAnswer Request(absl::string_view method, absl::string_view target,
                     absl::string_view fields, absl::string_view body);

  // Raw bytes, and what comes back for them; see also pair().
  std::string Exchange(absl::string_view bytes);
  // The answers that stand in `bytes`, one after the other. `head_only`: to
  // HEAD requests.
  static std::vector<HttpAnswer> Parse(absl::string_view bytes,
                                       bool head_only = false);

  // The first of them, or one of status 0.
  static HttpAnswer First(absl::string_view bytes);

  Pair& pair() { return *pair_; }
  HttpWorker& worker() { return worker_; }
  // For pairs of the test's own, beside.
  SimulatedClock& clock() { return clock_; }
  const StreamSettings& settings() const { return settings_; }

 private:
  void Open();

  SimulatedClock clock_;
  HttpWorker worker_;
  StreamSettings settings_;
  std::unique_ptr<Pair> pair_;
};

}  // namespace baton::testing

#endif  // BATON_WORKER_HTTP_TESTING_HTTP_TESTER_H_
