// The listening sockets on their way to another binary.

#include <fcntl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "master/inherited_fd.h"
#include "master/listener_slots.h"

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

absl::Status ListenerSlots::TakeOver(const json& state) {
  std::vector<GroupPtr> groups;
  for (const json& one : state.at("groups")) {
    auto group = std::make_shared<Group>();
    absl::StatusOr<ListenUrl> url = UrlFromJson(one.at("url"));
    if (!url.ok()) return url.status();
    group->url = *std::move(url);
    group->steered = one.value("steered", false);
    group->device = one.value("device", dev_t{0});
    group->inode = one.value("inode", ino_t{0});
    for (const json& fd : one.at("sockets")) {
      absl::StatusOr<UniqueFd> socket = TakeInheritedFd(fd.get<int>());
      if (!socket.ok()) return socket.status();
      group->sockets.push_back(*std::move(socket));
    }
    const auto key = one.at("key").get<std::string>();
    if (!key.empty()) groups_.emplace(key, group);
    groups.push_back(std::move(group));
  }
  for (const json& one : state.at("uses")) {
    std::vector<Use>& uses = uses_[one.at("generation").get<Generation>()];
    for (const json& use : one.at("listeners")) {
      absl::StatusOr<ListenUrl> url = UrlFromJson(use.at("url"));
      if (!url.ok()) return url.status();
      uses.push_back(
          {*std::move(url), groups.at(use.at("group").get<size_t>())});
    }
  }
  for (const json& one : state.at("removed")) {
    removed_.emplace(one.at("id").get<SocketsId>(),
                     groups.at(one.at("group").get<size_t>()));
  }
  next_removed_ = state.value("next_removed", next_removed_);
  return absl::OkStatus();
}

}  // namespace baton
