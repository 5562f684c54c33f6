// The helpers on their way to another binary.

#include <utility>

#include "absl/strings/str_cat.h"
#include "master/helpers.h"
#include "master/helpers_running.h"
#include "master/inherited_fd.h"

namespace baton {
namespace {

using nlohmann::json;

absl::StatusOr<HelperProcess> ProcessFromJson(const json& from) {
  absl::StatusOr<UniqueFd> pidfd = TakeInheritedFd(from.at("pidfd").get<int>());
  if (!pidfd.ok()) return pidfd.status();
  absl::StatusOr<UniqueFd> channel =
      TakeInheritedFd(from.at("channel").get<int>());
  if (!channel.ok()) return channel.status();
  absl::StatusOr<UniqueFd> inquiries =
      TakeInheritedFd(from.at("inquiries").get<int>());
  if (!inquiries.ok()) return inquiries.status();
  return HelperProcess{
      Process::TakeOver(from.at("pid").get<pid_t>(), *std::move(pidfd)),
      FdChannel(*std::move(channel)), FdChannel(*std::move(inquiries))};
}

}  // namespace

json Helpers::State(std::vector<int>& fds) const {
  json state = {{"committed", committed_}, {"last_id", last_id_}};
  json& kinds = state["kinds"] = json::object();
  for (const auto& [kind, one] : kinds_) {
    kinds[HelperName(kind)] = {{"listeners", one.listeners.State(fds)},
                               {"current", one.current}};
  }
  json& running = state["running"] = json::array();
  for (const auto& [id, one] : running_) {
    const HelperProcess& helper = one->helper;
    const int numbers[] = {helper.process.pidfd(), helper.channel.fd(),
                           helper.inquiries.fd()};
    fds.insert(fds.end(), std::begin(numbers), std::end(numbers));
    running.push_back({{"id", id},
                       {"kind", HelperName(one->kind)},
                       {"pid", helper.process.pid()},
                       {"pidfd", numbers[0]},
                       {"channel", numbers[1]},
                       {"inquiries", numbers[2]},
                       {"predecessor", one->predecessor}});
  }
  return state;
}

absl::Status Helpers::TakeOver(const json& state) {
  committed_ = state.at("committed").get<Generation>();
  last_id_ = state.at("last_id").get<uint64_t>();
  for (auto& [kind, one] : kinds_) {
    const json& from = state.at("kinds").at(HelperName(kind));
    if (absl::Status status = one.listeners.TakeOver(from.at("listeners"));
        !status.ok()) {
      return status;
    }
    one.current = from.at("current").get<uint64_t>();
  }
  for (const json& from : state.at("running")) {
    const auto id = from.at("id").get<uint64_t>();
    const bool admin = from.at("kind") == HelperName(HelperKind::kAdmin);
    absl::StatusOr<HelperProcess> process = ProcessFromJson(from);
    if (!process.ok()) return process.status();
    auto helper = std::make_unique<Running>(
        this, id, admin ? HelperKind::kAdmin : HelperKind::kControl,
        *std::move(process));
    helper->predecessor = from.value("predecessor", uint64_t{0});
    Running& added = *running_.emplace(id, std::move(helper)).first->second;
    if (absl::Status status = added.Watch(host_.loop); !status.ok()) {
      return status;
    }
  }
  // One that was about to be started again is started by this binary.
  for (auto& [kind, one] : kinds_) {
    if (one.current == 0) one.retry->Start(absl::ZeroDuration());
  }
  return absl::OkStatus();
}

}  // namespace baton
