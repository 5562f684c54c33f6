// A server for tests of what happens to connections when their worker goes.
//
//   login  messages of a length byte and so many bytes: the first is the
//          client's name, later ones are answered with "name: message". What
//          it knows of a client goes along when the connection is passed on
//   slow   reads a line with a path, waits until there is such a file, and
//          answers "done": a request takes as long as a test wants
//   line   answers a line, of up to 300,000 bytes, with itself
//   leak   loses a megabyte for each line, and answers "lost"
//   peer   answers each line with the address that the client has
//   www    GET / is "Hello"
//
// and the built-in services.

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "baton.h"

namespace baton {
namespace {

struct Session {
  static constexpr uint32_t kVersion = 1;

  std::string Encode() const { return name; }
  static absl::StatusOr<Session> Decode(uint32_t version,
                                        absl::string_view bytes) {
    if (version != kVersion)
      return absl::InvalidArgumentError("not the session of this build");
    return Session{std::string(bytes)};
  }

  std::string name;
};

std::string Message(absl::string_view text) {
  return absl::StrCat(std::string(1, static_cast<char>(text.size())), text);
}

Task<> Login(Connection conn) {
  while (true) {
    // Only here, between two messages, is there nothing half done.
    const ReadResult length = co_await conn.ReadExactly(1, {.idle = true});
    if (!length || length.bytes()[0] == 0) co_return;
    const auto size = static_cast<uint8_t>(length.bytes()[0]);
    const ReadResult message = co_await conn.ReadExactly(size);
    if (!message) co_return;
    auto& name = conn.state<Session>().name;
    std::string answer;
    if (name.empty()) {
      name = std::string(message.bytes());
      answer = Message("welcome");
    } else {
      answer = Message(absl::StrCat(name, ": ", message.bytes()));
    }
    if (co_await conn.Write(answer) != IoError::kOk) co_return;
  }
}

Task<> Slow(Connection conn) {
  while (auto line = co_await conn.ReadUntil("\n", 4096, {.idle = true})) {
    const std::string path(line->substr(0, line->size() - 1));
    IoError error = IoError::kOk;
    while (error == IoError::kOk && access(path.c_str(), F_OK) != 0)
      error = co_await Sleep(absl::Milliseconds(5));
    if (error == IoError::kOk) error = co_await conn.Write("done\n");
    if (error != IoError::kOk) break;
  }
}

Task<> Line(Connection conn) {
  while (auto line = co_await conn.ReadUntil("\n", 300'000, {.idle = true})) {
    if (co_await conn.Write(*line) != IoError::kOk) break;
  }
}

Task<> Leak(Connection conn) {
  static auto& lost = *new std::vector<std::unique_ptr<std::string>>;
  while (auto line = co_await conn.ReadUntil("\n", 64, {.idle = true})) {
    lost.push_back(std::make_unique<std::string>(1 << 20, 'x'));
    if (co_await conn.Write("lost\n") != IoError::kOk) break;
  }
}

Task<> Peer(Connection conn) {
  while (auto line = co_await conn.ReadUntil("\n", 64, {.idle = true})) {
    const std::string answer = absl::StrCat(conn.peer().ToString(), "\n");
    if (co_await conn.Write(answer) != IoError::kOk) break;
  }
}

HttpResponse Hello(const HttpRequest& /*request*/) {
  return HttpResponse::Text("Hello");
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    baton::RegisterBuiltinServices(services);
    services.Stream("login", baton::Login).WithState<baton::Session>();
    services.Stream("slow", baton::Slow);
    services.Stream("line", baton::Line);
    services.Stream("leak", baton::Leak);
    services.Stream("peer", baton::Peer);
    services.Http("www").Get("/", baton::Hello);
  });
}
