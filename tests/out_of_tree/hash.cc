#include <crypt.h>

#include <string>
#include <utility>

#include "baton.h"

// A thousand rounds of SHA-512: too long for an event loop.
std::string Hash(const std::string& password) {
  crypt_data scratch{};
  const char* hash =
      crypt_r(password.c_str(), "$6$rounds=1000$baton$", &scratch);
  return std::string(hash == nullptr ? "*" : hash) + "\n";
}

baton::Task<> HashLines(baton::Connection conn) {
  while (auto line = co_await conn.ReadUntil("\n", 256, {.idle = true})) {
    std::string password(line->substr(0, line->size() - 1));
    auto hash =
        co_await baton::Offload({.name = "hash"}, Hash, std::move(password));
    const std::string reply = hash.ok() ? *hash : "busy\n";
    if (co_await conn.Write(reply) != baton::IoError::kOk) break;
  }
}

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    services.Stream("hash", HashLines);
  });
}
