// The listening sockets on their way to another binary.

#include <errno.h>
#include <fcntl.h>

#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "master/inherited_fd.h"
#include "master/listener_slots.h"
#include "net/errno_status.h"

namespace baton {
namespace {

using nlohmann::json;

// Its endpoint apart: a host name is looked up once.
json UrlToJson(const ListenUrl& url) {
  return {{"text", url.text},
          {"url", url.ToString()},
          {"address", url.address},
          {"endpoint", url.transport == ListenUrl::Transport::kUnix
                           ? ""
                           : url.endpoint.ToString()}};
}

absl::StatusOr<ListenUrl> UrlFromJson(const json& from) {
  absl::StatusOr<ListenUrl> url =
      ParseListenUrl(from.at("url").get<std::string>());
  if (!url.ok()) return url;
  url->text = from.at("text").get<std::string>();
  url->address = from.at("address").get<std::string>();
  const auto endpoint = from.at("endpoint").get<std::string>();
  if (endpoint.empty()) return url;
  absl::StatusOr<Endpoint> where = Endpoint::Parse(endpoint);
  if (!where.ok()) return where.status();
  url->endpoint = *where;
  return url;
}

absl::Status NoSuchGroup() {
  return absl::InvalidArgumentError("a listener without sockets");
}

// Each of these, or none.
absl::StatusOr<std::vector<std::vector<UniqueFd>>> TakeAll(
    const std::vector<std::vector<int>>& numbers) {
  std::set<int> all;
  for (const std::vector<int>& group : numbers) {
    for (const int fd : group) {
      if (!all.insert(fd).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("descriptor ", fd, " is there twice"));
      }
      if (fcntl(fd, F_GETFD) < 0) {
        return ErrnoStatus("fcntl", absl::StrCat("descriptor ", fd), errno);
      }
    }
  }
  std::vector<std::vector<UniqueFd>> owned(numbers.size());
  for (size_t i = 0; i < numbers.size(); ++i) {
    for (const int number : numbers[i]) {
      absl::StatusOr<UniqueFd> fd = TakeInheritedFd(number);
      CHECK(fd.ok()) << fd.status();
      owned[i].push_back(*std::move(fd));
    }
  }
  return owned;
}

}  // namespace

json ListenerSlots::State(std::vector<int>& fds) const {
  json state = {{"next_removed", next_removed_}};
  std::map<const Group*, size_t> numbers;
  json& groups = state["groups"] = json::array();
  const auto add = [&](const std::string& key, const Group& group) {
    if (!numbers.emplace(&group, groups.size()).second) return;
    json sockets = json::array();
    for (const UniqueFd& fd : group.sockets) {
      sockets.push_back(fd.get());
      fds.push_back(fd.get());
    }
    groups.push_back({{"key", key},
                      {"url", UrlToJson(group.url)},
                      {"sockets", std::move(sockets)},
                      {"steered", group.steered},
                      {"device", group.device},
                      {"inode", group.inode}});
  };
  for (const auto& [key, group] : groups_) add(key, *group);
  // A unix one whose path is free for another has no key.
  for (const auto& [id, group] : removed_) add("", *group);
  json& uses = state["uses"] = json::array();
  for (const auto& [generation, listeners] : uses_) {
    json list = json::array();
    for (const Use& use : listeners) {
      list.push_back({{"url", UrlToJson(use.url)},
                      {"group", numbers.at(use.group.get())}});
    }
    uses.push_back(
        {{"generation", generation}, {"listeners", std::move(list)}});
  }
  json& removed = state["removed"] = json::array();
  for (const auto& [id, group] : removed_) {
    removed.push_back({{"id", id}, {"group", numbers.at(group.get())}});
  }
  return state;
}

// Reads all of it before it owns anything: who fails here must have closed
// nothing, since the binary before goes on with it.
absl::Status ListenerSlots::TakeOver(const json& state) {
  std::vector<GroupPtr> groups;
  std::map<std::string, GroupPtr> by_key;
  std::vector<std::vector<int>> sockets;
  for (const json& one : state.at("groups")) {
    auto group = std::make_shared<Group>();
    absl::StatusOr<ListenUrl> url = UrlFromJson(one.at("url"));
    if (!url.ok()) return url.status();
    group->url = *std::move(url);
    group->steered = one.value("steered", false);
    group->device = one.value("device", dev_t{0});
    group->inode = one.value("inode", ino_t{0});
    sockets.push_back(one.at("sockets").get<std::vector<int>>());
    const auto key = one.at("key").get<std::string>();
    if (!key.empty() && !by_key.emplace(key, group).second) {
      return absl::InvalidArgumentError(absl::StrCat(key, " is there twice"));
    }
    groups.push_back(std::move(group));
  }
  const auto group_of = [&groups](const json& from) {
    const auto number = from.at("group").get<size_t>();
    return number < groups.size() ? groups[number] : nullptr;
  };
  std::map<Generation, std::vector<Use>> uses;
  for (const json& one : state.at("uses")) {
    std::vector<Use>& list = uses[one.at("generation").get<Generation>()];
    for (const json& use : one.at("listeners")) {
      absl::StatusOr<ListenUrl> url = UrlFromJson(use.at("url"));
      if (!url.ok()) return url.status();
      list.push_back({*std::move(url), group_of(use)});
      if (list.back().group == nullptr) return NoSuchGroup();
    }
  }
  std::map<SocketsId, GroupPtr> removed;
  for (const json& one : state.at("removed")) {
    const auto added =
        removed.emplace(one.at("id").get<SocketsId>(), group_of(one));
    if (added.first->second == nullptr) return NoSuchGroup();
  }
  const SocketsId next_removed = state.value("next_removed", next_removed_);
  absl::StatusOr<std::vector<std::vector<UniqueFd>>> owned = TakeAll(sockets);
  if (!owned.ok()) return owned.status();
  for (size_t i = 0; i < groups.size(); ++i) {
    groups[i]->sockets = std::move((*owned)[i]);
  }
  groups_ = std::move(by_key);
  uses_ = std::move(uses);
  removed_ = std::move(removed);
  next_removed_ = next_removed;
  return absl::OkStatus();
}

}  // namespace baton
