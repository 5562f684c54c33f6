#include "worker/pinned_connections.h"

#include "net/connection_core.h"
#include "net/endpoint.h"
#include "net/listen_url.h"

namespace baton {

using internal::ConnectionCore;

PinnedConnections FindPinned(ConnectionTable& table) {
  PinnedConnections pinned;
  const ConnectionCore* oldest = nullptr;
  table.ForEach([&](ConnectionCore& core) {
    if (core.Has(ConnectionCore::kOutbound) || core.IsMoving()) return;
    ++pinned.connections;
    if (oldest == nullptr || TickBefore(core.opened, oldest->opened))
      oldest = &core;
  });
  if (oldest == nullptr) return pinned;
  pinned.oldest_id = ConnectionTable::IdOf(*oldest);
  pinned.oldest_age = table.AgeOf(*oldest);
  const ListenUrl* url = table.SettingsOf(*oldest).url;
  if (url != nullptr) pinned.service = url->scheme;
  if (oldest->fd >= 0)
    pinned.peer = Endpoint::PeerOf(oldest->fd).value_or(Endpoint()).ToString();
  return pinned;
}

}  // namespace baton
