#include <string>

#include "absl/strings/ascii.h"
#include "baton.h"

baton::Task<> Shout(baton::Connection conn) {
  while (auto line = co_await conn.ReadUntil("\n", 1024, {.idle = true})) {
    std::string reply = absl::AsciiStrToUpper(*line);
    if (co_await conn.Write(reply) != baton::IoError::kOk) break;
  }
}

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    services.Stream("shout", Shout);
  });
}
