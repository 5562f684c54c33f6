#ifndef BATON_WORKER_HTTP_TESTING_HTTP_FIXTURE_H_
#define BATON_WORKER_HTTP_TESTING_HTTP_FIXTURE_H_

#include <optional>

#include "gtest/gtest.h"
#include "net/testing/pair.h"
#include "worker/http/http_service.h"
#include "worker/http/testing/http_tester.h"

namespace baton::testing {

// Of tests that add routes to a service and then talk to it.
class HttpFixture : public ::testing::Test {
 protected:
  HttpTester& tester() {
    if (!tester_.has_value()) {
      tester_.emplace(service_, HttpListener{.max_body = 1000});
    }
    return *tester_;
  }
  Pair& pair() { return tester().pair(); }
  bool closed() { return pair().write_closed(); }

  HttpService service_;
  std::optional<HttpTester> tester_;
};

}  // namespace baton::testing

#endif  // BATON_WORKER_HTTP_TESTING_HTTP_FIXTURE_H_
