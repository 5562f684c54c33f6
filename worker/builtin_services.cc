// echo answers what it gets; discard takes it. The simplest services there are,
// and the ones by which a machine and its network are measured.

#include "net/connection.h"
#include "net/task.h"
#include "worker/services.h"

namespace baton {
namespace {

Task<> Echo(Connection conn) {
  while (auto chunk = co_await conn.ReadSome({.idle = true, .urgent = true})) {
    IoError error = IoError::kOk;
    if (chunk.urgent()) {
      error = co_await conn.WriteUrgent(chunk.bytes().front());
    } else {
      error = co_await conn.Write(*chunk);
    }
    if (error != IoError::kOk) break;
    conn.CountRequest();
  }
}

Task<> Discard(Connection conn) {
  IoError error = IoError::kOk;
  while (error == IoError::kOk) {
    const ReadResult chunk = co_await conn.ReadSome({.idle = true});
    error = chunk.error();
  }
}

void EchoDatagram(absl::string_view bytes, DatagramPeer& peer) {
  peer.Reply(bytes);
}
void DiscardDatagram(absl::string_view /*bytes*/, DatagramPeer& /*peer*/) {}

}  // namespace

void RegisterBuiltinServices(Services& services) {
  services.Stream("echo", Echo);
  services.Stream("discard", Discard);
  services.Http("http");
  services.Datagram("echo", EchoDatagram);
  services.Datagram("discard", DiscardDatagram);
}

}  // namespace baton
