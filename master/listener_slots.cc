#include "master/listener_slots.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/in_context.h"
#include "net/quote.h"
#include "net/reuseport_steering.h"

namespace baton {
namespace {

using Transport = ListenUrl::Transport;

bool HasPathThatIs(const ListenUrl& url, dev_t device, ino_t inode) {
  struct stat status;
  return lstat(url.address.c_str(), &status) == 0 && status.st_dev == device &&
         status.st_ino == inode;
}

// Where a socket with port 0 ended up.
absl::Status TakePort(ListenUrl& url, int fd) {
  if (url.transport == Transport::kUnix || url.endpoint.port() != 0) {
    return absl::OkStatus();
  }
  absl::StatusOr<Endpoint> local = Endpoint::LocalOf(fd);
  if (!local.ok()) return local.status();
  url.endpoint = *local;
  url.address = local->ToString();
  return absl::OkStatus();
}

}  // namespace

ListenerSlots::~ListenerSlots() { CloseAll(); }

// What makes two listeners, of one configuration or two, the same address.
std::vector<std::string> ListenerSlots::KeysOf(
    absl::Span<const ListenUrl> urls) {
  std::vector<std::string> keys;
  std::map<std::string, int> seen;
  for (const ListenUrl& url : urls) {
    std::string key = absl::StrCat(TransportName(url.transport), " ",
                                   url.transport == Transport::kUnix
                                       ? url.address
                                       : url.endpoint.ToString(),
                                   url.common.dual ? " dual" : "");
    const bool any_port =
        url.transport != Transport::kUnix && url.endpoint.port() == 0;
    if (any_port) absl::StrAppend(&key, " ", url.scheme);
    const int number = seen[key]++;
    if (any_port) absl::StrAppend(&key, " ", number);
    keys.push_back(std::move(key));
  }
  return keys;
}

// By its key; or, if the configuration had port 0 and names the port now, by
// where it is: two groups on one address would be one to the kernel.
ListenerSlots::GroupPtr ListenerSlots::FindGroup(
    const std::string& key, const ListenUrl& url,
    absl::Span<const std::string> keys) const {
  if (const auto it = groups_.find(key); it != groups_.end()) return it->second;
  if (url.transport == Transport::kUnix || url.endpoint.port() == 0) {
    return nullptr;
  }
  for (const auto& [other, group] : groups_) {
    if (group->url.transport == url.transport &&
        group->url.endpoint == url.endpoint &&
        group->url.common.dual == url.common.dual &&
        !absl::c_linear_search(keys, other)) {
      return group;
    }
  }
  return nullptr;
}

std::vector<Endpoint> ListenerSlots::BoundOn(Transport transport) const {
  std::vector<Endpoint> bound;
  for (const auto& [key, group] : groups_) {
    if (group->url.transport == transport) {
      bound.push_back(group->url.endpoint);
    }
  }
  return bound;
}

absl::Status ListenerSlots::SteerGroup(Group& group, int live) {
  if (group.url.transport == Transport::kUnix || group.sockets.empty()) {
    return absl::OkStatus();
  }
  if (static_cast<size_t>(live) < group.sockets.size()) {
    return Attach(group, live);
  }
  group.steered = false;
  return StopSteering(group.sockets.front().get());
}

absl::Status ListenerSlots::Attach(Group& group, int live) {
  const absl::Status status = SteerReuseport(
      group.sockets.front().get(),
      group.url.transport == Transport::kUdp ? SteerBy::kSourceHash
                                             : SteerBy::kRandom,
      live);
  if (status.ok()) group.steered = true;
  return status;
}

// The sockets that `group` needs beyond those it has. The first one of a group
// with port 0 decides the port. Those that join others get nothing yet.
absl::Status ListenerSlots::OpenMissing(Group& group, int slots,
                                        const ListenFlags& flags,
                                        std::vector<UniqueFd>& opened) const {
  ListenUrl url = group.url;
  const bool shared = url.transport == Transport::kUnix;
  const size_t wanted = shared ? 1 : static_cast<size_t>(slots);
  if (!shared && !group.sockets.empty() && !group.steered &&
      group.sockets.size() < wanted) {
    if (absl::Status status =
            Attach(group, static_cast<int>(group.sockets.size()));
        !status.ok()) {
      return status;
    }
  }
  if (group.sockets.empty()) {
    if (absl::Status free = ProbeBind(url, BoundOn(url.transport));
        !free.ok()) {
      return free;
    }
  }
  ListenFlags open_flags = flags;
  open_flags.reuseport = !shared;
  while (group.sockets.size() + opened.size() < wanted) {
    absl::StatusOr<UniqueFd> fd = OpenListener(url, open_flags);
    if (!fd.ok()) return fd.status();
    if (absl::Status port = TakePort(url, fd->get()); !port.ok()) return port;
    opened.push_back(*std::move(fd));
  }
  return absl::OkStatus();
}

absl::Status ListenerSlots::Load(Generation generation,
                                 absl::Span<const ListenUrl> urls, int slots,
                                 const ListenFlags& flags) {
  CHECK_EQ(uses_.count(generation), 0u) << "generation " << generation;
  const std::vector<std::string> keys = KeysOf(urls);
  // Everything is opened before anything is kept.
  std::vector<std::pair<GroupPtr, std::vector<UniqueFd>>> additions;
  std::map<std::string, GroupPtr> created;
  std::vector<Use> uses;
  for (size_t i = 0; i < urls.size(); ++i) {
    GroupPtr group = FindGroup(keys[i], urls[i], keys);
    if (group == nullptr) {
      group = std::make_shared<Group>();
      group->url = urls[i];
      created.emplace(keys[i], group);
    }
    std::vector<UniqueFd> opened;
    if (absl::Status status = OpenMissing(*group, slots, flags, opened);
        !status.ok()) {
      for (auto& [other, sockets] : additions) {
        if (other->sockets.empty()) {
          other->sockets = std::move(sockets);
          CloseGroup(*other);  // removes its unix path
        }
      }
      return InContext(Quote(urls[i].text), status);
    }
    if (group->sockets.empty()) {
      CHECK(!opened.empty());
      if (absl::Status port = TakePort(group->url, opened[0].get());
          !port.ok()) {
        return port;
      }
      struct stat status;
      if (group->url.transport == Transport::kUnix &&
          lstat(group->url.address.c_str(), &status) == 0) {
        group->device = status.st_dev;
        group->inode = status.st_ino;
      }
    }
    additions.emplace_back(group, std::move(opened));
    ListenUrl url = urls[i];
    url.endpoint = group->url.endpoint;
    url.address = group->url.address;
    uses.push_back({std::move(url), std::move(group)});
  }
  for (auto& [group, sockets] : additions) {
    for (UniqueFd& fd : sockets) group->sockets.push_back(std::move(fd));
  }
  groups_.merge(created);
  for (const Use& use : uses) {
    std::erase_if(removed_, [&use](const auto& entry) {
      return entry.second == use.group;
    });
  }
  uses_.emplace(generation, std::move(uses));
  return absl::OkStatus();
}

absl::Status ListenerSlots::Commit(Generation generation,
                                   const ListenFlags& flags) {
  CHECK_EQ(uses_.count(generation), 1u) << "generation " << generation;
  for (auto it = uses_.begin(); it != uses_.end();) {
    it = it->first == generation ? std::next(it) : uses_.erase(it);
  }
  absl::Status result;
  for (const Use& use : uses_[generation]) {
    use.group->url = use.url;
    for (const UniqueFd& fd : use.group->sockets) {
      result.Update(TuneListener(fd.get(), use.url, flags));
    }
  }
  return result;
}

absl::Status ListenerSlots::OpenSlots(int slots, const ListenFlags& flags) {
  std::vector<std::pair<Group*, std::vector<UniqueFd>>> additions;
  const std::set<const Group*> in_use = InUse();
  for (const auto& [key, group] : groups_) {
    if (in_use.count(group.get()) == 0) continue;
    additions.emplace_back(group.get(), std::vector<UniqueFd>());
    if (absl::Status status =
            OpenMissing(*group, slots, flags, additions.back().second);
        !status.ok()) {
      return InContext(Quote(group->url.text), status);
    }
  }
  for (auto& [group, sockets] : additions) {
    for (UniqueFd& fd : sockets) group->sockets.push_back(std::move(fd));
  }
  return absl::OkStatus();
}

absl::Status ListenerSlots::Steer(int live) {
  absl::Status result;
  for (const auto& [key, group] : groups_) {
    result.Update(SteerGroup(*group, live));
  }
  return result;
}

void ListenerSlots::Drop(Generation generation) { uses_.erase(generation); }

std::set<const ListenerSlots::Group*> ListenerSlots::InUse() const {
  std::set<const Group*> in_use;
  for (const auto& [generation, uses] : uses_) {
    for (const Use& use : uses) in_use.insert(use.group.get());
  }
  return in_use;
}

std::vector<SocketsId> ListenerSlots::TakeRemoved() {
  std::set<const Group*> kept = InUse();
  for (const auto& [id, group] : removed_) kept.insert(group.get());
  std::vector<SocketsId> removed;
  for (auto it = groups_.begin(); it != groups_.end();) {
    const GroupPtr& group = it->second;
    if (kept.count(group.get()) != 0) {
      ++it;
      continue;
    }
    removed.push_back(next_removed_);
    removed_.emplace(next_removed_++, group);
    if (group->url.transport == Transport::kUnix) {
      // Nobody else comes, and the path is free for another.
      RemovePath(*group);
      it = groups_.erase(it);
    } else {
      ++it;
    }
  }
  return removed;
}

std::optional<ListenerSlots::RemovedListener> ListenerSlots::Removed(
    SocketsId id) const {
  const auto removed = removed_.find(id);
  if (removed == removed_.end()) return std::nullopt;
  const Group& group = *removed->second;
  RemovedListener listener{group.url, {}, false};
  for (const UniqueFd& fd : group.sockets) listener.fds.push_back(fd.get());
  for (const Group* other : InUse()) {
    listener.in_the_way |= group.url.transport != Transport::kUnix &&
                           other->url.transport == group.url.transport &&
                           other->url.endpoint.Overlaps(group.url.endpoint);
  }
  return listener;
}

void ListenerSlots::CloseRemoved(SocketsId id) {
  const auto removed = removed_.extract(id);
  if (removed.empty()) return;
  CloseGroup(*removed.mapped());
  std::erase_if(groups_, [&removed](const auto& entry) {
    return entry.second == removed.mapped();
  });
}

void ListenerSlots::CloseSlot(int slot) {
  for (const auto& [key, group] : groups_) {
    if (group->url.transport == Transport::kUnix) continue;
    CHECK_LE(group->sockets.size(), static_cast<size_t>(slot) + 1)
        << "slot " << slot << " is not the last of " << key;
    if (group->sockets.size() <= static_cast<size_t>(slot)) continue;
    // A worker that hangs may have a copy, which would keep its place in the
    // group.
    if (group->url.transport == Transport::kTcp) {
      shutdown(group->sockets.back().get(), SHUT_RDWR);
    }
    group->sockets.pop_back();
  }
}

void ListenerSlots::CloseAll() {
  uses_.clear();
  for (const auto& [id, group] : removed_) CloseGroup(*group);
  removed_.clear();
  for (const auto& [key, group] : groups_) CloseGroup(*group);
  groups_.clear();
}

// Only what is still ours: somebody may have put another in its place.
void ListenerSlots::RemovePath(const Group& group) {
  if (group.url.transport == Transport::kUnix &&
      HasPathThatIs(group.url, group.device, group.inode)) {
    unlink(group.url.address.c_str());
  }
}

void ListenerSlots::CloseGroup(Group& group) {
  // Copies in workers would keep a socket listening after a mere close().
  for (const UniqueFd& fd : group.sockets) {
    if (group.url.transport != Transport::kUdp) shutdown(fd.get(), SHUT_RDWR);
  }
  group.sockets.clear();
  RemovePath(group);
}

std::vector<ListenerSlots::Listener> ListenerSlots::ForSlot(
    Generation generation, int slot) const {
  std::vector<Listener> listeners;
  for (const Use& use : uses_.at(generation)) {
    const bool shared = use.url.transport == Transport::kUnix;
    const UniqueFd& fd = use.group->sockets.at(shared ? 0 : slot);
    listeners.push_back({use.url, fd.get()});
  }
  return listeners;
}

std::vector<ListenerSlots::Adoptable> ListenerSlots::ForAdoption(
    Generation generation, int slot) const {
  std::vector<Adoptable> sockets;
  uint32_t number = 0;
  const auto uses = uses_.find(generation);
  if (uses == uses_.end()) return sockets;
  for (const Use& use : uses->second) {
    if (use.url.transport == Transport::kUnix) continue;
    if (static_cast<size_t>(slot) < use.group->sockets.size()) {
      sockets.push_back({number, use.group->sockets[slot].get()});
    }
    ++number;
  }
  return sockets;
}

std::vector<ListenUrl> ListenerSlots::NewUrls(Generation generation) const {
  std::set<const Group*> old;
  for (const auto& [other, uses] : uses_) {
    if (other == generation) continue;
    for (const Use& use : uses) old.insert(use.group.get());
  }
  std::vector<ListenUrl> urls;
  for (const Use& use : uses_.at(generation)) {
    if (old.count(use.group.get()) == 0) urls.push_back(use.url);
  }
  return urls;
}

std::vector<ListenUrl> ListenerSlots::Urls(Generation generation) const {
  std::vector<ListenUrl> urls;
  for (const Use& use : uses_.at(generation)) urls.push_back(use.url);
  return urls;
}

}  // namespace baton
