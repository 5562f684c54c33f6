// What the master leaves to another binary, and takes over from one.

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <string>
#include <utility>

#include "glog/logging.h"
#include "master/inherited_fd.h"
#include "master/json_values.h"
#include "master/master.h"
#include "master/master_link.h"
#include "master/process_title.h"
#include "master/supervisor_state.h"
#include "net/open_fds.h"

namespace baton {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Counts, real, cells)

namespace {

using nlohmann::json;

int Keep(int fd, std::vector<int>& fds) {
  if (fd >= 0) fds.push_back(fd);
  return fd;
}

json AskerToJson(const Helpers::Asker& asker) {
  return {{"helper", asker.helper}, {"ticket", asker.ticket}};
}

Helpers::Asker AskerFromJson(const json& from) {
  return {from.at("helper").get<uint64_t>(), from.at("ticket").get<uint64_t>()};
}

// The roll must be back in the binary that goes on.
void TurnBack(json& document, const std::string& refusal) {
  json& upgrade = document["supervisor"]["upgrade"];
  upgrade["stage"] = UpgradeStage::kGoingBack;
  upgrade["reason"] = refusal;
}

// By the header that it had before there was a worker, who can write all of it.
// One that has no view goes without numbers, and seems to wait; it is no reason
// for nobody to take the others over.
absl::StatusOr<ScoreboardView> ViewOf(int scoreboard, const std::string& header,
                                      pid_t worker) {
  absl::StatusOr<ScoreboardView> view =
      ScoreboardView::Open(scoreboard, header);
  if (view.ok()) return view;
  LOG(WARNING) << "worker process " << worker << ": "
               << view.status().message();
  const absl::StatusOr<UniqueFd> blank = CreateScoreboardFile();
  if (!blank.ok()) return blank.status();
  const absl::StatusOr<Scoreboard> board = Scoreboard::Open(blank->get());
  if (!board.ok()) return board.status();
  board->counters().heartbeat.waiting.store(1, std::memory_order_relaxed);
  return ScoreboardView::Open(blank->get());
}

}  // namespace

json Master::State(std::vector<int>& fds) const {
  json state = {{"version", kHandoffVersion},
                {"pid", getpid()},
                {"path", program_.path()}};
  state["supervisor"] = ToJson(supervisor_->State());
  state["listeners"] = listeners_.State(fds);
  state["helpers"] = helpers_->State(fds);
  // Of the configuration that serves, which another binary may not understand.
  const auto config = configs_.find(supervisor_->generation());
  const bool other = config == configs_.end();
  state["flag_file"] =
      other ? upgrade_.old_file_bytes : config->second->file_bytes;
  state["names"] =
      (other ? upgrade_.old_names : config->second->names).ToJson();
  json& links = state["links"] = json::array();
  for (const auto& [id, link] : links_) {
    const WorkerProcess& worker = link->worker;
    json one = {{"id", id},
                {"slot", link->slot},
                {"generation", link->generation},
                {"pid", worker.process.pid()},
                {"pidfd", Keep(worker.process.pidfd(), fds)},
                {"channel", Keep(worker.channel.fd(), fds)},
                {"scoreboard", Keep(worker.scoreboard_file.get(), fds)},
                {"scoreboard_header", worker.scoreboard.header()},
                {"stall_timeout", link->stall_timeout},
                {"access_logs", link->access_logs},
                {"recycled_at_rss", link->recycled_at_rss},
                {"reserved_for", link->reserved_for}};
    one["unsent"] = link->unsent;
    links.push_back(std::move(one));
  }
  state["log"] = {{"fd", Keep(log_.fd(), fds)},
                  {"path", open_files_.log_file},
                  {"format", open_files_.log_format}};
  state["pid_file"] = {
      {"path", open_files_.pid_file},
      {"fd", pid_file_.has_value() ? Keep(pid_file_->fd(), fds) : -1}};
  json& counts = state["counts"];
  counts["started_at"] = absl::ToUnixNanos(started_at_);
  for (const Ended& ended : ended_) {
    CountsByName all = ended.unknown;
    AddCounts(all, ended.known.CountsOf());
    counts["ended"].push_back(all);
  }
  for (const Restarts& restarts : restarts_) {
    counts["restarts"].push_back({restarts.before, restarts.last});
  }
  counts["crashes"] = crashes_;
  counts["oom_kills"] = oom_kills_;
  counts["adoptions"] = adoptions_;
  counts["reloads"] = reloads_;
  counts["reloads_noted"] = reloads_noted_;
  counts["log_lines_dropped"] = log_lines_dropped_before_ + log_.dropped();
  if (last_reload_.has_value()) {
    counts["last_reload"] = {{"result", last_reload_->result},
                             {"at", absl::ToUnixNanos(last_reload_->at)}};
  }
  AddPending(state);
  return state;
}

// Commands that wait for their answer.
void Master::AddPending(json& state) const {
  json& pending = state["pending"];
  for (const PendingReload& one : pending_reloads_) {
    pending["reloads"].push_back({{"asker", AskerToJson(one.asker)},
                                  {"upgrade", one.upgrade},
                                  {"number", one.number}});
  }
  for (const PendingScale& one : pending_scales_) {
    pending["scales"].push_back({{"asker", AskerToJson(one.asker)},
                                 {"workers", one.workers},
                                 {"deadline", one.deadline}});
  }
}

// First of all what can't be read, then what is owned.
absl::Status Master::TakeOver(const json& left) {
  json state = left;
  const std::string& refusal = upgrade_.handoff->refusal;
  if (!refusal.empty()) TurnBack(state, refusal);
  if (state.value("version", 0) != kHandoffVersion ||
      state.value("pid", 0) != getpid()) {
    return absl::InvalidArgumentError("it is not for this process");
  }
  absl::StatusOr<SupervisorState> supervisor =
      SupervisorStateFromJson(state.at("supervisor"));
  if (!supervisor.ok()) return supervisor.status();
  const auto fds = state.at("fds").get<std::vector<int>>();
  if (absl::StatusOr<std::vector<int>> open = OpenFds(); open.ok()) {
    not_ours_ = *std::move(open);
    std::erase_if(not_ours_, [&fds](int fd) {
      return std::find(fds.begin(), fds.end(), fd) != fds.end();
    });
  }
  ProcessTitle::Set("baton: master");
  if (absl::Status status = MakeLoop(); !status.ok()) return status;
  upgrade_.old_file_bytes = state.at("flag_file").get<std::string>();
  upgrade_.old_names = KnownNames::FromJson(state.value("names", json()));
  if (supervisor->upgrade.stage == UpgradeStage::kGoingBack) {
    // It has been good before. If it no longer is, who serves serves on.
    if (absl::Status old = LoadOld(supervisor->generation); !old.ok()) {
      LOG(ERROR) << old.message() << "; tried again when it is needed";
    }
    last_file_bytes_ = upgrade_.old_file_bytes;
    // Given back, with the descriptor of what runs here again.
    if (const auto old = state.find("old_binary"); old != state.end()) {
      const absl::StatusOr<UniqueFd> unused = TakeInheritedFd(old->get<int>());
      if (!unused.ok()) return unused.status();
    }
  } else {
    upgrade_.file_bytes = state.at("next_flag_file").get<std::string>();
    upgrade_.names = KnownNames::FromJson(state.value("next_names", json()));
    absl::StatusOr<UniqueFd> binary =
        TakeInheritedFd(state.at("old_binary").get<int>());
    if (!binary.ok()) return binary.status();
    upgrade_.old_binary = *std::move(binary);
  }
  if (absl::Status status = TakeOverFiles(state); !status.ok()) return status;
  absl::Status status = listeners_.TakeOver(state.at("listeners"));
  if (status.ok()) status = helpers_->TakeOver(state.at("helpers"));
  if (status.ok()) status = TakeOverLinks(state.at("links"));
  if (!status.ok()) return status;
  for (const auto& [generation, config] : configs_) {
    helpers_->KnowConfig(generation, config);
  }
  TakeOverCounts(state);
  supervisor_.emplace(*supervisor);
  for (const auto& [id, worker] : supervisor_->workers()) {
    const auto link = links_.find(id);
    if (link == links_.end()) continue;
    link->second->stopped =
        (worker.impairments >> static_cast<int>(Impairment::kStopped) & 1) != 0;
  }
  return absl::OkStatus();
}

absl::Status Master::TakeOverFiles(const json& state) {
  const json& log = state.at("log");
  open_files_.log_file = log.at("path").get<std::string>();
  open_files_.log_format = log.at("format").get<LogFormat>();
  const json& pid_file = state.at("pid_file");
  open_files_.pid_file = pid_file.at("path").get<std::string>();
  const int fd = pid_file.at("fd").get<int>();
  if (fd < 0) return absl::OkStatus();
  absl::StatusOr<UniqueFd> locked = TakeInheritedFd(fd);
  if (!locked.ok()) return locked.status();
  pid_file_.emplace(
      PidFile::TakeOver(open_files_.pid_file, *std::move(locked)));
  return absl::OkStatus();
}

absl::Status Master::TakeOverLinks(const json& links) {
  for (const json& from : links) {
    // First, as long as nothing of it is owned that would be closed.
    const int scoreboard = from.at("scoreboard").get<int>();
    const action::Fork fork{from.at("id").get<WorkerId>(),
                            from.at("slot").get<int>(),
                            from.at("generation").get<Generation>()};
    const auto pid = from.at("pid").get<pid_t>();
    auto unsent = from.at("unsent").get<std::deque<std::string>>();
    const absl::Duration stall_timeout =
        from.value("stall_timeout", absl::ZeroDuration());
    absl::StatusOr<ScoreboardView> view = ViewOf(
        scoreboard, from.at("scoreboard_header").get<std::string>(), pid);
    if (!view.ok()) return view.status();
    absl::StatusOr<UniqueFd> pidfd =
        TakeInheritedFd(from.at("pidfd").get<int>());
    if (!pidfd.ok()) return pidfd.status();
    absl::StatusOr<UniqueFd> channel =
        TakeInheritedFd(from.at("channel").get<int>());
    if (!channel.ok()) return channel.status();
    absl::StatusOr<UniqueFd> file = TakeInheritedFd(scoreboard);
    if (!file.ok()) return file.status();
    auto link = std::make_unique<Link>(
        this, fork,
        WorkerProcess{Process::TakeOver(pid, *std::move(pidfd)),
                      FdChannel(*std::move(channel)), *std::move(view),
                      *std::move(file)},
        stall_timeout);
    link->recycled_at_rss = from.value("recycled_at_rss", int64_t{0});
    link->reserved_for = from.value("reserved_for", false);
    link->access_logs = from.value("access_logs", link->access_logs);
    link->unsent = std::move(unsent);
    if (!link->unsent.empty()) unsent_timer_->Start(absl::ZeroDuration());
    Link& added = *links_.emplace(fork.worker, std::move(link)).first->second;
    if (absl::Status status = added.Watch(*loop_); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// What is missing was not there yet.
void Master::TakeOverCounts(const json& state) {
  const json& counts = state.at("counts");
  started_at_ = absl::FromUnixNanos(counts.at("started_at").get<int64_t>());
  for (const json& from : counts.value("ended", json::array())) {
    Ended& ended = ended_.emplace_back();
    ended.unknown = from.get<CountsByName>();
    ended.known = WorkerSnapshot::TakeCounts(ended.unknown);
  }
  for (const json& from : counts.value("restarts", json::array())) {
    restarts_.push_back(
        {from.at(0).get<uint64_t>(), from.at(1).get<uint64_t>()});
  }
  crashes_ = counts.value("crashes", crashes_);
  oom_kills_ = counts.value("oom_kills", oom_kills_);
  adoptions_ = counts.value("adoptions", adoptions_);
  const json reloads = counts.value("reloads", json::array());
  for (size_t i = 0; i < std::min(reloads.size(), reloads_.size()); ++i) {
    reloads_[i] = reloads.at(i).get<uint64_t>();
  }
  reloads_noted_ = counts.value("reloads_noted", reloads_noted_);
  log_lines_dropped_before_ = counts.value("log_lines_dropped", uint64_t{0});
  if (const auto last = counts.find("last_reload"); last != counts.end()) {
    last_reload_ = {last->at("result").get<ReloadResult>(),
                    absl::FromUnixNanos(last->at("at").get<int64_t>())};
  }
  const json pending = state.value("pending", json::object());
  if (!pending.is_object()) return;
  for (const json& from : pending.value("reloads", json::array())) {
    pending_reloads_.push_back({AskerFromJson(from.at("asker")),
                                from.value("upgrade", false),
                                from.at("number").get<uint64_t>()});
  }
  for (const json& from : pending.value("scales", json::array())) {
    pending_scales_.push_back({AskerFromJson(from.at("asker")),
                               from.at("workers").get<int>(),
                               from.at("deadline").get<Instant>()});
  }
  if (!pending_scales_.empty()) answer_timer_->Start(absl::Seconds(1));
}

}  // namespace baton
