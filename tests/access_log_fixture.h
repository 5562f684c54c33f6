#ifndef BATON_TESTS_ACCESS_LOG_FIXTURE_H_
#define BATON_TESTS_ACCESS_LOG_FIXTURE_H_

// What tests of the access log have in common: tests/http_server.cc, a folder
// for its logs, and clients who count.

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "net/endpoint.h"
#include "tests/handover_fixture.h"
#include "tests/test_client.h"

namespace baton {

class AccessLogFixture : public HandoverTest {
 public:
  AccessLogFixture();
  ~AccessLogFixture() override;

 protected:
  std::string Path(absl::string_view name) const {
    return folder_ + "/" + std::string(name);
  }
  // "--listen=...", with these options of the first listener and `more` behind
  // it.
  static std::string Listen(absl::string_view options,
                            absl::string_view more = "");
  std::string ListenTo(absl::string_view name,
                       absl::string_view format = "combined") const;

  static std::vector<std::string> LinesOf(absl::string_view text);
  // Of a file.
  std::vector<std::string> Lines(absl::string_view name) const;
  // Waits until it has so many.
  void AwaitLines(absl::string_view name, size_t count) const;
  // Whether each is a whole line of that format.
  static void ExpectWhole(const std::vector<std::string>& lines,
                          absl::string_view format = "combined");

  // So many requests over one connection, each answered in full.
  static void Get(TestClient& client, int count);
  void Get(int count) {
    TestClient client(server().address());
    Get(client, count);
  }

  // Of all workers that there have been.
  int64_t Written() { return Metric("written"); }
  int64_t Dropped() { return Metric("dropped"); }

 private:
  int64_t Metric(absl::string_view outcome);

  const std::string folder_;
};

}  // namespace baton

#endif  // BATON_TESTS_ACCESS_LOG_FIXTURE_H_
