#include "worker/listener_set.h"

#include <sys/socket.h>

#include <utility>

#include "glog/logging.h"
#include "net/in_context.h"

namespace baton {

ListenerSet::ListenerSet(const Home& home, std::vector<WorkerListener> own,
                         absl::AnyInvocable<void(bool)> on_full)
    : home_(home),
      on_full_(std::move(on_full)),
      room_lasts_(home.table.loop(), [this] {
        told_full_ = false;
        on_full_(false);
      }) {
  for (WorkerListener& listener : own) {
    kinds_.push_back(std::make_unique<Kind>());
    kinds_.back()->url = std::move(listener.url);
    own_.push_back(
        {kinds_.back().get(), std::move(listener.fd), {}, {}, false});
  }
}

absl::Status ListenerSet::Check() const {
  for (const auto& kind : kinds_) {
    if (absl::Status status = home_.services.Check(kind->url); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status ListenerSet::Serve() {
  for (size_t i = 0; i < own_.size(); ++i) {
    Kind& kind = *kinds_[i];
    absl::Status status = Admit(kind);
    if (status.ok()) status = Start(own_[i]);
    if (!status.ok()) {
      return InContext(kind.url.ToString(), status);
    }
  }
  return absl::OkStatus();
}

// Connections of this kind may come from now on.
absl::Status ListenerSet::Admit(Kind& kind) {
  if (kind.url.transport == ListenUrl::Transport::kUdp) return absl::OkStatus();
  absl::StatusOr<std::shared_ptr<const void>> data =
      home_.services.MakeListenerData(kind.url);
  if (!data.ok()) return data.status();
  kind.settings = home_.table.AddSettings(
      {.url = &kind.url,
       .idle_timeout =
           kind.url.common.idle_timeout.value_or(home_.settings.idle_timeout),
       .write_timeout = home_.settings.write_timeout,
       .state_codec = home_.services.FindStream(kind.url.scheme)->state_codec(),
       .service_data = *std::move(data)});
  kind.limits_number =
      home_.limits.AddListener(kind.url.common.max_connections.value_or(0));
  if (kind.settings >= limits_numbers_.size())
    limits_numbers_.resize(size_t{kind.settings} + 1, kNotAdmitted);
  limits_numbers_[kind.settings] = kind.limits_number;
  return absl::OkStatus();
}

absl::Status ListenerSet::Start(Place& place) {
  const Kind& kind = *place.kind;
  if (kind.url.transport == ListenUrl::Transport::kUdp) {
    auto datagrams =
        DatagramListener::Start(home_.table.loop(), place.fd.get(),
                                home_.services.FindDatagram(kind.url.scheme),
                                datagram_batch_, home_.table.counters());
    if (!datagrams.ok()) return datagrams.status();
    place.datagrams = *std::move(datagrams);
    return absl::OkStatus();
  }
  auto stream = StreamListener::Start(
      place.fd.get(), kind.url, kind.settings, kind.limits_number,
      home_.services.FindStream(kind.url.scheme)->handler(), home_.limits,
      home_.table, home_.connections, *this);
  if (!stream.ok()) return stream.status();
  place.stream = *std::move(stream);
  return absl::OkStatus();
}

absl::Status ListenerSet::Adopt(SocketsId slot, uint32_t first,
                                std::vector<UniqueFd> fds) {
  std::vector<const Kind*> kinds;
  for (const auto& kind : kinds_) {
    if (kind->url.transport != ListenUrl::Transport::kUnix)
      kinds.push_back(kind.get());
  }
  if (first > kinds.size() || fds.size() > kinds.size() - first) {
    return absl::InvalidArgumentError("more sockets than listeners");
  }
  adopted_.try_emplace(slot);
  for (size_t i = 0; i < fds.size(); ++i) {
    if (absl::Status status =
            AdoptOne(slot, kinds[first + i], std::move(fds[i]));
        !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status ListenerSet::AdoptRemoved(SocketsId id, const std::string& url,
                                       std::vector<UniqueFd> fds) {
  const absl::StatusOr<const Kind*> kind = RemovedKind(url);
  if (!kind.ok()) return kind.status();
  for (UniqueFd& fd : fds) {
    if (absl::Status status = AdoptOne(id, *kind, std::move(fd)); !status.ok())
      return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<const ListenerSet::Kind*> ListenerSet::RemovedKind(
    const std::string& url) {
  if (const auto it = removed_kinds_.find(url); it != removed_kinds_.end()) {
    return it->second.get();
  }
  absl::StatusOr<ListenUrl> parsed = ParseListenUrl(url);
  if (!parsed.ok()) return parsed.status();
  if (absl::Status status = home_.services.Check(*parsed); !status.ok())
    return status;
  if (!home_.table.HasRoomForSettings()) {
    return absl::ResourceExhaustedError("too many listeners");
  }
  auto kind = std::make_unique<Kind>();
  kind->url = *std::move(parsed);
  if (absl::Status status = Admit(*kind); !status.ok()) return status;
  return removed_kinds_.emplace(url, std::move(kind)).first->second.get();
}

absl::StatusOr<ListenerSet::Admission> ListenerSet::AdmissionFor(
    const std::string& url) {
  absl::StatusOr<ListenUrl> parsed = ParseListenUrl(url);
  if (!parsed.ok()) return parsed.status();
  const Kind* kind = nullptr;
  for (const auto& own : kinds_) {
    if (own->url.scheme == parsed->scheme &&
        own->url.transport == parsed->transport &&
        own->url.address == parsed->address) {
      kind = own.get();
    }
  }
  if (kind == nullptr) {
    absl::StatusOr<const Kind*> removed = RemovedKind(url);
    if (!removed.ok()) return removed.status();
    kind = *removed;
  }
  if (kind->url.transport == ListenUrl::Transport::kUdp)
    return absl::InvalidArgumentError("datagrams have no connections");
  return Admission{kind->settings, kind->limits_number,
                   home_.services.FindStream(kind->url.scheme)->handler()};
}

absl::Status ListenerSet::AdoptOne(SocketsId id, const Kind* kind,
                                   UniqueFd fd) {
  std::vector<Place>& places = adopted_[id];
  places.push_back({kind, std::move(fd), {}, {}, false});
  absl::Status status = Start(places.back());
  if (!status.ok()) places.pop_back();
  return status;
}

bool ListenerSet::AcceptAllOf(std::vector<Place>& places) {
  bool emptied = true;
  for (Place& place : places) {
    if (place.stream != nullptr) place.emptied = place.stream->AcceptAll();
    if (place.datagrams != nullptr) {
      place.emptied = place.datagrams->ServeAll();
    }
    emptied &= place.emptied;
  }
  return emptied;
}

bool ListenerSet::Release(SocketsId id) {
  const auto it = adopted_.find(id);
  if (it == adopted_.end()) return false;
  const bool emptied = AcceptAllOf(it->second);
  for (const Place& place : it->second) {
    if (place.stream != nullptr && place.stream->paused()) OnPause(false);
  }
  adopted_.erase(it);
  return emptied;
}

void ListenerSet::AcceptAll() {
  AcceptAllOf(own_);
  for (auto& [slot, places] : adopted_) AcceptAllOf(places);
}

void ListenerSet::Close(bool shut_down) {
  const auto close = [shut_down](Place& place, bool may_shut_down) {
    place.stream.reset();
    place.datagrams.reset();
    if (shut_down && may_shut_down && place.fd &&
        place.kind->url.transport != ListenUrl::Transport::kUdp) {
      shutdown(place.fd.get(), SHUT_RDWR);
    }
    place.fd.reset();
  };
  for (Place& place : own_) close(place, true);
  for (auto& [id, places] : adopted_) {
    for (Place& place : places) close(place, place.emptied);
  }
  adopted_.clear();
  room_lasts_.Cancel();
}

void ListenerSet::OnClosed(uint16_t settings, ConnectionLimits::Tag tag) {
  if (settings >= limits_numbers_.size() ||
      limits_numbers_[settings] == kNotAdmitted) {
    return;
  }
  home_.limits.Remove(limits_numbers_[settings], tag);
  OnRoom();
}

void ListenerSet::OnRoom() {
  if (paused_ == 0) return;
  for (Place& place : own_) {
    if (place.stream != nullptr) place.stream->OnRoom();
  }
  for (auto& [slot, places] : adopted_) {
    for (Place& place : places) {
      if (place.stream != nullptr) place.stream->OnRoom();
    }
  }
}

void ListenerSet::OnPause(bool paused) {
  paused_ += paused ? 1 : -1;
  if (paused_ > 0) {
    room_lasts_.Cancel();
    if (!std::exchange(told_full_, true)) on_full_(true);
  } else if (told_full_) {
    room_lasts_.Start(kRoomLasts);
  }
}

}  // namespace baton
