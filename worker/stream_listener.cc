#include "worker/stream_listener.h"

#include <utility>

#include "absl/memory/memory.h"
#include "glog/logging.h"

namespace baton {

absl::StatusOr<std::unique_ptr<StreamListener>> StreamListener::Start(
    int fd, const ListenUrl& url, uint16_t settings, int limits_number,
    StreamHandler handler, ConnectionLimits& limits, ConnectionTable& table,
    Scope& connections, Observer& observer) {
  auto listener = absl::WrapUnique(
      new StreamListener(url, settings, limits_number, handler, limits, table,
                         connections, observer));
  auto acceptor = Acceptor::Start(table.loop(), fd, limits.CountsAddresses(),
                                  listener.get(), &table.counters());
  if (!acceptor.ok()) return acceptor.status();
  listener->acceptor_ = *std::move(acceptor);
  return listener;
}

void StreamListener::OnAccept(UniqueFd socket, const sockaddr_storage* peer) {
  ConnectionLimits::Tag tag;
  if (!limits_.Add(limits_number_, peer, &tag)) {
    table_.counters().refused_per_ip.Add(1);
    return;
  }
  int error = 0;
  internal::ConnectionCore* core =
      table_.Add(std::move(socket), settings_, &error);
  if (core == nullptr) {
    // epoll_ctl(2): ENOMEM, or ENOSPC for max_user_watches.
    limits_.Remove(limits_number_, tag);
    table_.counters().accept_errors.Add(1);
    return;
  }
  if (tag != 0) table_.SetTag(*core, tag);
  connections_.SpawnBare(handler_(Connection(core)));
}

}  // namespace baton
