// What the master tells of itself, and what it does when it is told to.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "glog/logging.h"
#include "master/master.h"
#include "master/master_link.h"
#include "master/metrics_text.h"
#include "master/oom_kills.h"
#include "master/process_usage.h"
#include "master/status_json.h"
#include "master/version.h"
#include "nlohmann/json.hpp"
#include "worker/log_event.h"

namespace baton {
namespace {

constexpr uint16_t kOk = 200;
constexpr uint16_t kConflict = 409;
constexpr uint16_t kUnavailable = 503;

constexpr char kNotServed[] = "not every slot is served: ";

Answer Verdict(absl::string_view outcome, absl::string_view reason,
               Generation generation, int workers) {
  const nlohmann::ordered_json json = {{"outcome", std::string(outcome)},
                                       {"reason", std::string(reason)},
                                       {"generation", generation},
                                       {"workers", workers}};
  return {.ticket = 0,
          .status = outcome == "ok" ? kOk : kConflict,
          .text = json.dump(-1, ' ', /*ensure_ascii=*/false,
                            nlohmann::json::error_handler_t::replace) +
                  "\n"};
}

WorkerStatusState StateOf(const Supervisor& supervisor,
                          const SupervisedWorker& worker) {
  if ((worker.impairments >> static_cast<int>(Impairment::kStopped) & 1) != 0) {
    return WorkerStatusState::kStopped;
  }
  if (worker.phase <= WorkerPhase::kStarting) {
    return WorkerStatusState::kStarting;
  }
  if (supervisor.OnProbation(worker)) return WorkerStatusState::kProbation;
  return worker.phase <= WorkerPhase::kServing ? WorkerStatusState::kReady
                                               : WorkerStatusState::kDraining;
}

}  // namespace

void Master::OnInquiry(const Helpers::Asker& asker, const Inquiry& inquiry) {
  switch (inquiry.question) {
    case Question::kHealth: {
      const bool serving = Status().serving;
      return helpers_->Reply(asker, {0, serving ? kOk : kUnavailable,
                                     serving ? "ok\n" : "no worker serves\n"});
    }
    case Question::kReadiness: {
      const ServerStatus status = Status();
      const bool stopping = status.state == ServerState::kStopping;
      return helpers_->Reply(
          asker,
          {0, status.ready ? kOk : kUnavailable,
           status.ready
               ? "ok\n"
               : absl::StrCat(stopping ? "" : kNotServed, "the server is ",
                              ServerStateName(status.state), "\n")});
    }
    case Question::kStatus:
      return helpers_->Reply(asker, {0, kOk, StatusJson(Status())});
    case Question::kMetrics:
      return helpers_->Reply(asker, {0, kOk, MetricsText(Status())});
    case Question::kReload:
    case Question::kUpgrade:
    case Question::kScale:
    case Question::kStop:
      return OnCommand(asker, inquiry);
  }
}

void Master::OnCommand(const Helpers::Asker& asker, const Inquiry& inquiry) {
  if (!supervisor_->takes_requests() && inquiry.question != Question::kStop) {
    return helpers_->Reply(asker, Verdict("rejected", "the server is stopping",
                                          supervisor_->generation(),
                                          supervisor_->wanted_workers()));
  }
  if (inquiry.question == Question::kReload) {
    pending_reloads_.push_back(
        {asker, /*upgrade=*/false, supervisor_->reloads_begun() + 1});
    return Feed(event::ReloadRequested{});
  }
  if (inquiry.question == Question::kUpgrade) {
    pending_reloads_.push_back(
        {asker, /*upgrade=*/true, supervisor_->upgrades_begun() + 1});
    return Feed(event::UpgradeRequested{});
  }
  if (inquiry.question == Question::kScale) {
    const int workers = static_cast<int>(inquiry.argument);
    const absl::Duration patience = 2 * supervisor_->ready_timeout();
    pending_scales_.push_back({asker, workers, MonotonicNow() + patience});
    answer_timer_->Start(patience);
    return Feed(event::ScaleRequested{0, workers});
  }
  helpers_->Reply(asker, Verdict("ok", "", supervisor_->generation(),
                                 supervisor_->wanted_workers()));
  Feed(event::TerminateRequested{});
}

// After each event: who has been waiting for what has happened now?
void Master::AnswerCommands() {
  const uint64_t reloads = supervisor_->reloads_finished();
  const uint64_t upgrades = supervisor_->upgrades_finished();
  if (reloads + upgrades != reloads_noted_) {
    reloads_noted_ = reloads + upgrades;
    last_reload_ = {*supervisor_->last_reload(), absl::Now()};
    ++reloads_[static_cast<size_t>(last_reload_->result.outcome)];
  }
  const int workers = supervisor_->wanted_workers();
  const bool stopping = !supervisor_->takes_requests();
  std::erase_if(pending_reloads_, [&](const PendingReload& pending) {
    if (pending.number <= (pending.upgrade ? upgrades : reloads)) {
      const ReloadResult& result = last_reload_->result;
      helpers_->Reply(pending.asker,
                      Verdict(ReloadOutcomeName(result.outcome), result.reason,
                              result.generation, workers));
    } else if (stopping) {
      helpers_->Reply(pending.asker,
                      Verdict("rejected", "the server is stopping",
                              supervisor_->generation(), workers));
    } else {
      return false;
    }
    return true;
  });
  const bool scaling = supervisor_->scaling() && !stopping;
  const Instant now = MonotonicNow();
  std::erase_if(pending_scales_, [&](const PendingScale& pending) {
    // A slot whose worker does not come up may keep the others waiting for
    // ever; a reload that is under way has its own time-outs.
    const bool late = now >= pending.deadline &&
                      supervisor_->state() == ServerState::kRunning;
    if (scaling && !late) return false;
    const std::string reason =
        scaling                      ? "not every slot has a worker"
        : pending.workers == workers ? ""
        : stopping                   ? "the server is stopping"
        : supervisor_->scale_error().empty()
            ? absl::StrCat("another command made it ", workers)
            : supervisor_->scale_error();
    helpers_->Reply(pending.asker,
                    Verdict(reason.empty() ? "ok" : "rejected", reason,
                            supervisor_->generation(), workers));
    return true;
  });
  // Past its deadline and still in a reload: another look, now and then.
  if (!pending_scales_.empty() && !answer_timer_->pending()) {
    answer_timer_->Start(absl::Seconds(1));
  }
}

void Master::NoteExit(const Link& link, ExitStatus status,
                      const WorkerSnapshot& last) {
  const auto slot = static_cast<size_t>(link.slot);
  ended_.resize(std::max(ended_.size(), slot + 1));
  ended_[slot].known.AddEnded(last);
  AddCounts(ended_[slot].unknown, link.worker.scoreboard.ReadUnknown());
  const SupervisedWorker* worker = supervisor_->FindWorker(link.id);
  const bool expected = status.clean() || worker == nullptr ||
                        worker->phase >= WorkerPhase::kEnding;
  const uint64_t oom_kills = status.killed_from_outside() ? OomKills() : 0;
  const bool out_of_memory =
      status.killed_from_outside() && oom_kills > oom_kills_;
  if (status.killed_from_outside()) oom_kills_ = oom_kills;
  if (expected && !out_of_memory) return;
  if (out_of_memory) {
    LogEvent("worker_out_of_memory", google::GLOG_ERROR)
        .Field("slot", link.slot)
        .Field("worker_pid", link.worker.process.pid());
  }
  ++crashes_[out_of_memory ? "out of memory"
             : status.signal() != 0
                 ? ExitStatus::Signalled(status.signal()).ToString()
                 : status.ToString()];
}

bool Master::IsServing(int slot) const {
  const SupervisedWorker* current =
      supervisor_->FindWorker(supervisor_->slots()[slot].current);
  return current != nullptr && current->phase == WorkerPhase::kServing &&
         StateOf(*supervisor_, *current) == WorkerStatusState::kReady;
}

std::vector<WorkerStatus> Master::WorkersOf(int slot) {
  const SupervisedSlot& supervised = supervisor_->slots()[slot];
  std::vector<WorkerId> ids = {supervised.current, supervised.incoming};
  ids.insert(ids.end(), supervised.outgoing.begin(), supervised.outgoing.end());
  std::vector<WorkerStatus> workers;
  for (const WorkerId id : ids) {
    const SupervisedWorker* worker = supervisor_->FindWorker(id);
    const auto link = links_.find(id);
    if (worker == nullptr || link == links_.end()) continue;
    const ProcessUsage usage = ReadProcessUsage(worker->pid);
    WorkerStatus& status = workers.emplace_back();
    status.slot = slot;
    status.pid = worker->pid;
    status.generation = worker->generation;
    status.state = StateOf(*supervisor_, *worker);
    status.numbers = link->second->worker.scoreboard.Read();
    status.rss_bytes = usage.rss_bytes;
    status.cpu_seconds = usage.cpu_seconds;
    status.pinned = worker->pinned;
    status.oldest_age = MonotonicNow() - worker->pinned.oldest_since;
  }
  if (supervised.generation != 0 && supervised.current == 0 &&
      supervised.incoming == 0) {
    WorkerStatus none;
    none.slot = slot;
    none.generation = supervised.generation;
    none.state = WorkerStatusState::kBackoff;
    workers.push_back(std::move(none));
  }
  return workers;
}

ServerStatus Master::Status() {
  ServerStatus status;
  status.pid = getpid();
  status.version = kVersion;
  status.build = BuildText();
  status.binary = program_.path();
  status.started_at = started_at_;
  status.state = supervisor_->state();
  status.generation = supervisor_->generation();
  status.wanted_workers = supervisor_->wanted_workers();
  status.configured_workers = supervisor_->configured_workers();
  status.last_reload = last_reload_;
  status.reloads = reloads_;
  status.crashes = crashes_;
  status.adoptions = adoptions_;
  status.cut_while_leaving = supervisor_->cut_while_leaving();
  status.handovers_broken = supervisor_->handovers_broken();
  status.log_lines_dropped = log_lines_dropped_before_ + log_.dropped();
  if (!listeners_closed_) {
    for (const ListenUrl& url : listeners_.Urls(status.generation)) {
      status.listeners.push_back({url.text, url.address});
    }
    for (const auto& [id, unused] : supervisor_->removed()) {
      const auto removed = listeners_.Removed(id);
      // Nothing if a reload is about to have it again.
      if (!removed.has_value()) continue;
      status.removed_listeners.push_back(
          {removed->url.text, removed->url.address});
    }
  }
  status.ready = status.state == ServerState::kRunning ||
                 status.state == ServerState::kReloading ||
                 status.state == ServerState::kUpgrading;
  const int slots = static_cast<int>(supervisor_->slots().size());
  for (int slot = 0; slot < slots; ++slot) {
    const SupervisedSlot& supervised = supervisor_->slots()[slot];
    SlotStatus& one = status.slots.emplace_back(SlotTotals(slot));
    if (supervised.last_exit.has_value()) {
      one.last_exit = supervised.last_exit->ToString();
    }
    for (WorkerStatus& worker : WorkersOf(slot)) {
      status.workers.push_back(std::move(worker));
    }
    if (IsServing(slot)) {
      status.serving = true;
    } else if (supervised.generation != 0) {
      status.ready = false;
    }
  }
  // What closed slots have counted is not forgotten.
  for (int slot = slots; slot < static_cast<int>(ended_.size()); ++slot) {
    status.slots.push_back(SlotTotals(slot));
  }
  return status;
}

SlotStatus Master::SlotTotals(int slot) {
  const auto index = static_cast<size_t>(slot);
  restarts_.resize(std::max(restarts_.size(), index + 1));
  Restarts& restarts = restarts_[index];
  if (index < supervisor_->slots().size()) {
    const uint64_t now = supervisor_->slots()[index].restarts;
    if (now < restarts.last) restarts.before += restarts.last;
    restarts.last = now;
  }
  SlotStatus totals;
  totals.restarts = restarts.before + restarts.last;
  if (index < ended_.size()) totals.ended = ended_[index].known;
  return totals;
}

}  // namespace baton
