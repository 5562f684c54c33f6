#ifndef BATON_TESTS_TEST_CLIENT_H_
#define BATON_TESTS_TEST_CLIENT_H_

// A client for tests: one blocking socket, and no call that waits longer than
// kPatience (server_process.h) without failing the test.

#include <sys/types.h>

#include <string>

#include "absl/strings/string_view.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"

namespace baton {

class TestClient {
 public:
  // Connects by TCP or unix; ok() says whether it did.
  explicit TestClient(const Endpoint& server);
  // A UDP socket that talks to `server`.
  static TestClient Udp(const Endpoint& server);

  bool ok() const { return connected_; }
  int connect_errno() const { return connect_errno_; }
  int fd() const { return fd_.get(); }

  // False if the peer is gone.
  bool Send(absl::string_view bytes);
  // `count` bytes, or fewer if the peer ends before.
  std::string Receive(size_t count);
  // Until the peer ends; a reset ends it, too.
  std::string ReceiveAll();
  // Sends until nothing has been taken for a while: an echo that nobody reads
  // is stuck in its write by then. Returns how many bytes went.
  size_t SendUntilStuck();
  // Sends and receives the same number of bytes back.
  bool Echoes(absl::string_view bytes);

 private:
  TestClient() = default;
  void Connect(const Endpoint& server, int type);
  std::string ReceiveUntil(size_t count);

  UniqueFd fd_;
  bool connected_ = false;
  int connect_errno_ = 0;
};

}  // namespace baton

#endif  // BATON_TESTS_TEST_CLIENT_H_
