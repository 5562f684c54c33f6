#include "worker/cut_connections.h"

#include <sys/socket.h>

#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "glog/logging.h"
#include "net/connection_core.h"
#include "net/open_fds.h"

namespace baton {

int CutConnections(ConnectionTable& table) {
  absl::flat_hash_set<int> own;
  int busy = 0;
  table.ForEach([&](internal::ConnectionCore& core) {
    if (core.fd < 0 || core.IsMoving()) return;  // another worker's
    own.insert(core.fd);
    if (!core.Has(internal::ConnectionCore::kOutbound) &&
        !ConnectionTable::IsIdle(core))
      ++busy;
  });
  absl::StatusOr<std::vector<int>> open = OpenFds();
  if (!open.ok()) {
    LOG(WARNING) << open.status().message()
                 << ": the worker goes by its own table of connections";
    open = std::vector<int>(own.begin(), own.end());
  }
  for (const int fd : *open) {
    if (!own.contains(fd) || !IsSocket(fd) || IsListening(fd)) continue;
    shutdown(fd, SHUT_RDWR);  // ENOTCONN: the peer was faster
  }
  return busy;
}

}  // namespace baton
