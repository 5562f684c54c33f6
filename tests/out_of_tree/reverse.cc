#include <arpa/inet.h>

#include <cstring>
#include <string>

#include "baton.h"

// Messages: four bytes of length, big-endian, then that many bytes. Each is
// answered with its bytes in reverse.
baton::Task<> Reverse(baton::Connection conn) {
  constexpr uint32_t kMaxSize = 1 << 20;
  while (true) {
    auto head = co_await conn.ReadExactly(4, {.idle = true});
    if (!head) co_return;
    uint32_t length;
    std::memcpy(&length, head->data(), sizeof(length));
    const uint32_t size = ntohl(length);
    if (size == 0 || size > kMaxSize) co_return;
    auto body = co_await conn.ReadExactly(size);
    if (!body) co_return;
    std::string reply(reinterpret_cast<const char*>(&length), sizeof(length));
    reply.append(body->rbegin(), body->rend());
    if (co_await conn.Write(reply) != baton::IoError::kOk) co_return;
  }
}

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    services.Stream("reverse", Reverse);
  });
}
