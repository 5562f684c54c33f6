#ifndef BATON_TESTS_HTTP_ANSWER_H_
#define BATON_TESTS_HTTP_ANSWER_H_

// What a client of HTTP gets, one answer after the other on a connection.

#include <string>

#include "absl/strings/string_view.h"
#include "tests/test_client.h"

namespace baton {

struct HttpAnswer {
  int status = 0;    // 0: there was no whole head
  std::string head;  // with its empty line
  std::string body;

  // The value of a field; empty if it is not there.
  std::string Field(absl::string_view name) const;
  bool HasField(absl::string_view name) const;
};

// Up to the empty line, or to the end if that comes before.
std::string ReceiveHead(TestClient& client);
// The next answer, of which Content-Length says how long it is. `method` is
// that of the request: to a HEAD there is no body.
HttpAnswer ReceiveAnswer(TestClient& client, absl::string_view method = "GET");

// "METHOD PATH HTTP/1.1", Host and `fields`, each with its line end.
std::string HttpRequestTo(absl::string_view path, absl::string_view fields = "",
                          absl::string_view method = "GET");

}  // namespace baton

#endif  // BATON_TESTS_HTTP_ANSWER_H_
