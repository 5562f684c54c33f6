#include "master/master.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "master/cgroup_limits.h"
#include "master/master_link.h"
#include "master/oom_kills.h"
#include "master/process_title.h"
#include "master/usable_cpus.h"
#include "net/in_context.h"
#include "net/open_fds.h"
#include "worker/log_event.h"

namespace baton {
namespace {

// Everything that may reach a master. None of them is left to its default,
// which would end it; those that mean nothing are read and forgotten.
constexpr std::array kSignals = {SIGHUP,  SIGTERM, SIGINT,  SIGQUIT,  SIGUSR1,
                                 SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH, SIGCHLD};

// So long the last answers may take at the end.
constexpr absl::Duration kHelpersEnd = absl::Milliseconds(300);

// TCP handshakes end within this or never: tcp_synack_retries of 5 - tcp(7).
constexpr absl::Duration kLongestHandshake = absl::Seconds(63);

// With TCP_DEFER_ACCEPT a connection joins the queue so much later.
absl::Duration Linger(absl::Span<const ListenUrl> listeners) {
  int64_t defer = 0;
  for (const ListenUrl& url : listeners) {
    defer = std::max<int64_t>(defer, url.common.defer_accept_s);
  }
  return kLongestHandshake + absl::Seconds(defer);
}

// A draining worker's limit as the supervisor has it.
absl::Duration DrainTimeout(const WorkerSettings& settings) {
  return settings.drain_timeout == absl::ZeroDuration()
             ? absl::InfiniteDuration()
             : settings.drain_timeout;
}

ListenFlags FlagsFor(const Config& config) {
  ListenFlags flags;
  flags.tcp_keepalive = config.worker.tcp_keepalive;
  flags.tcp_user_timeout = config.worker.tcp_user_timeout;
  return flags;
}

google::LogSeverity SeverityOf(action::Severity severity) {
  switch (severity) {
    case action::Severity::kInfo:
      return google::GLOG_INFO;
    case action::Severity::kWarning:
      return google::GLOG_WARNING;
    case action::Severity::kError:
      return google::GLOG_ERROR;
  }
  LOG(FATAL) << "severity " << static_cast<int>(severity);
  return google::GLOG_ERROR;
}

// Every flag that has been set somewhere, as it holds.
void LogConfiguration(Generation generation, const Config& config) {
  std::map<std::string, std::string> values;
  for (const FlagSetting& setting : config.settings) {
    values[setting.name] = setting.value;
  }
  LogEvent event("configuration");
  event.Field("generation", generation);
  for (const auto& [name, value] : values) event.Field(name, value);
}

}  // namespace

Master::Master(const Host& host, std::shared_ptr<const Config> config)
    : program_(host.program),
      loader_(host.loader),
      services_(host.services),
      log_(host.log),
      active_(config),
      open_files_{config->log_file, config->log_format, config->pid_file},
      last_file_bytes_(config->file_bytes) {
  configs_.emplace(1, std::move(config));
}

Master::Master(const Host& host, Handoff handoff)
    : program_(host.program),
      loader_(host.loader),
      services_(host.services),
      log_(host.log) {
  upgrade_.handoff.emplace(std::move(handoff));
}

Master::~Master() = default;

int Master::Run() {
  if (upgrade_.handoff.has_value()) {
    if (absl::Status status = TakeUp(); !status.ok()) {
      LOG(ERROR) << "can't take over: " << status.message();
      return 1;
    }
  } else if (absl::Status status = Start(); !status.ok()) {
    LOG(ERROR) << "can't start: " << status.message();
    return 1;
  } else {
    Feed(event::Start{});
  }
  loop_->Run();
  return exit_code_;
}

absl::Status Master::Start() {
  // Without /proc nothing is known to be anybody else's: workers start with
  // what is baton's own.
  if (absl::StatusOr<std::vector<int>> open = OpenFds(); open.ok()) {
    not_ours_ = *std::move(open);
    // The log is ours.
    not_ours_.erase(std::remove(not_ours_.begin(), not_ours_.end(), log_.fd()),
                    not_ours_.end());
  }
  ProcessTitle::Set("baton: master");
  const Config& config = *configs_.at(1);
  // First, so that a second server with our pid file does not get far.
  if (!config.pid_file.empty()) {
    absl::StatusOr<PidFile> file = PidFile::Lock(config.pid_file);
    if (!file.ok()) return InContext("--pid_file", file.status());
    pid_file_.emplace(*std::move(file));
  }
  if (absl::Status status = MakeLoop(); !status.ok()) return status;
  return ListenFirst();
}

absl::Status Master::MakeLoop() {
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  timer_.emplace(*loop_, [this] { Feed(event::Timer{}); });
  heartbeat_timer_.emplace(*loop_, [this] { LookAtHeartbeats(); });
  strangers_timer_.emplace(*loop_, [this] { OnChildSignal(); });
  unsent_timer_.emplace(*loop_, [this] {
    for (auto& [id, link] : links_) SendUnsent(*link);
  });
  answer_timer_.emplace(*loop_, [this] { AnswerCommands(); });
  absl::StatusOr<SignalFd> signals = SignalFd::Create(kSignals);
  if (!signals.ok()) return signals.status();
  signals_.emplace(*std::move(signals));
  // Whoever is reaped may have stood before strangers, of whose end nothing
  // more is told.
  const auto on_reaped = [this] {
    strangers_timer_->Start(absl::ZeroDuration());
  };
  helpers_.emplace(Helpers::Host{*loop_, log_, on_reaped,
                                 [this](Generation generation) {
                                   return ConfigOf(generation);
                                 }},
                   [this](const Helpers::Asker& asker, const Inquiry& inquiry) {
                     OnInquiry(asker, inquiry);
                   });
  probe_.emplace(*loop_, on_reaped);
  upgrade_.trial.emplace(*loop_, on_reaped);
  upgrade_.exec_timer.emplace(*loop_, [this] { BecomeOtherIfWanted(); });
  oom_kills_ = OomKills();
  return signal_inlet_.Watch(*loop_, signals_->fd());
}

absl::Status Master::ListenFirst() {
  const Config& config = *configs_.at(1);
  absl::StatusOr<SupervisorSettings> settings = SettingsOf(config);
  if (!settings.ok()) return settings.status();
  if (absl::Status status =
          access_logs_.Load(1, services_.AccessLogs(config.listen));
      !status.ok()) {
    return status;
  }
  if (absl::Status status = listeners_.Load(1, config.listen, settings->workers,
                                            FlagsFor(config));
      !status.ok()) {
    return InContext("--listen", status);
  }
  if (absl::Status status = helpers_->Load(1, configs_.at(1)); !status.ok()) {
    return status;
  }
  LogConfiguration(1, config);
  LogListening(1);
  supervisor_.emplace(*settings);
  helpers_->Commit(1);
  return absl::OkStatus();
}

absl::StatusOr<SupervisorSettings> Master::SettingsOf(
    const Config& config) const {
  absl::StatusOr<std::vector<int>> cpus = AffinityCpus();
  if (!cpus.ok()) return cpus.status();
  SupervisorSettings settings;
  settings.workers =
      ResolveWorkerCount(config.workers, config.worker_memory,
                         static_cast<int>(cpus->size()), ReadCgroupLimits());
  settings.ready_timeout = config.ready_timeout;
  settings.probation = config.probation;
  settings.drain_timeout = DrainTimeout(config.worker);
  settings.max_draining = config.max_draining;
  settings.crash_loop_limit = config.crash_loop_limit;
  settings.linger = Linger(config.listen);
  settings.drain_delay = config.drain_delay;
  settings.stop_timeout = config.worker.stop_timeout;
  return settings;
}

void Master::LogListening(Generation generation) const {
  for (const ListenUrl& url : listeners_.NewUrls(generation)) {
    LogEvent("listening").Field("url", url.text).Field("address", url.address);
  }
}

// --- events

void Master::Feed(Event event) {
  events_.push_back(std::move(event));
  if (feeding_) return;  // an action was answered at once
  feeding_ = true;
  while (!events_.empty()) {
    const Event next = std::move(events_.front());
    events_.pop_front();
    for (const Action& action : supervisor_->Handle(MonotonicNow(), next)) {
      Carry(action);
    }
    CancelLoadingAtStop();
    AnswerCommands();
  }
  // Refused, or given up: nobody needs it any more.
  if (supervisor_->state() != ServerState::kUpgrading) {
    upgrade_.new_binary.reset();
  }
  // Not from within whatever this event is about.
  if (supervisor_->exec_wanted().has_value()) {
    upgrade_.exec_timer->Start(absl::ZeroDuration());
  }
  feeding_ = false;
  ArmTimer();
}

void Master::ArmTimer() {
  const Instant deadline = supervisor_->next_deadline();
  if (deadline == absl::InfiniteDuration()) return timer_->Cancel();
  timer_->Start(std::max(deadline - MonotonicNow(), absl::ZeroDuration()));
}

void Master::OnSignals() {
  while (const std::optional<signalfd_siginfo> signal = signals_->Next()) {
    switch (signal->ssi_signo) {
      case SIGHUP:
        Feed(event::ReloadRequested{});
        break;
      case SIGTERM:
      case SIGINT:
        Feed(event::TerminateRequested{});
        break;
      case SIGQUIT:
        Feed(event::QuitRequested{});
        break;
      case SIGTTIN:
        Feed(event::ScaleRequested{1});
        break;
      case SIGTTOU:
        Feed(event::ScaleRequested{-1});
        break;
      case SIGUSR1:
        ReopenLog();
        ReopenAccessLogs();
        break;
      case SIGUSR2:
        Feed(event::UpgradeRequested{});
        break;
      case SIGCHLD:
        OnChildSignal();
        break;
      default:
        break;
    }
  }
}

void Master::OnChildSignal() {
  for (auto& [id, link] : links_) {
    const std::optional<bool> stopped = link->worker.process.StopChange();
    if (!stopped.has_value()) continue;
    link->stopped = *stopped;
    LogEvent(*stopped ? "worker_stopped" : "worker_continued",
             google::GLOG_WARNING)
        .Field("slot", link->slot)
        .Field("worker_pid", link->worker.process.pid());
    Feed(event::WorkerImpaired{id, Impairment::kStopped, *stopped});
  }
  constexpr int kStrangersPerTurn = 64;
  const auto is_known = [this](pid_t pid) {
    return helpers_->IsHelper(pid) || probe_->IsChild(pid) ||
           upgrade_.trial->IsChild(pid) ||
           std::any_of(links_.begin(), links_.end(), [pid](const auto& entry) {
             return entry.second->worker.process.pid() == pid;
           });
  };
  if (ReapStrangers(is_known, kStrangersPerTurn) == kStrangersPerTurn) {
    strangers_timer_->Start(absl::ZeroDuration());
  }
}

// --- actions on the configuration and the listeners

void Master::Carry(const Action& action) {
  std::visit([this](const auto& what) { Do(what); }, action);
}

absl::StatusOr<SupervisorSettings> Master::Load(const action::LoadConfig& load,
                                                absl::string_view file_bytes,
                                                const KnownNames& names) {
  const Generation generation = load.generation;
  absl::StatusOr<std::shared_ptr<const Config>> config =
      loader_.LoadChecked(file_bytes, names);
  if (!config.ok()) return config.status();
  active_ = *config;
  absl::StatusOr<SupervisorSettings> settings = SettingsOf(**config);
  if (!settings.ok()) return settings.status();
  const int slots =
      WorkersAfterReload(load.configured, load.wanted, settings->workers);
  if (absl::Status status = OpenFiles(generation, **config); !status.ok()) {
    return status;
  }
  // First: what listeners_ has opened for a configuration, it can't take back
  // where that is for more slots of an address that stays.
  if (absl::Status status = helpers_->Load(generation, *config); !status.ok()) {
    return status;
  }
  if (absl::Status status = listeners_.Load(generation, (*config)->listen,
                                            slots, FlagsFor(**config));
      !status.ok()) {
    helpers_->Drop(generation);
    return InContext("--listen", status);
  }
  for (const std::string& warning : (*config)->warnings) {
    LOG(WARNING) << warning;
  }
  configs_.emplace(generation, *std::move(config));
  return settings;
}

void Master::Do(const action::CommitConfig& commit) {
  const std::shared_ptr<const Config> config = configs_.at(commit.generation);
  SwitchFiles(*config);
  access_logs_.Commit(commit.generation);
  configs_.clear();
  configs_.emplace(commit.generation, config);
  if (absl::Status status =
          listeners_.Commit(commit.generation, FlagsFor(*config));
      !status.ok()) {
    LOG(WARNING) << "a listener keeps an old option: " << status.message();
  }
  LogConfiguration(commit.generation, *config);
  upgrade_.old_binary.reset();
  helpers_->Commit(commit.generation);
  ReportRemovedListeners();
  UpdateFlagFileWatch(*config);
}

void Master::Do(const action::DropConfig& drop) {
  configs_.erase(drop.generation);
  next_log_.reset();
  next_pid_file_.reset();
  access_logs_.Drop(drop.generation);
  helpers_->Drop(drop.generation);
  listeners_.Drop(drop.generation);
  ReportRemovedListeners();
}

void Master::ReportRemovedListeners() {
  event::ListenersRemoved removed;
  for (const SocketsId id : listeners_.TakeRemoved()) {
    const ListenerSlots::RemovedListener listener = *listeners_.Removed(id);
    LogEvent("listener_removed").Field("url", listener.url.text);
    removed.listeners.push_back({id, listener.in_the_way
                                         ? absl::ZeroDuration()
                                         : Linger({&listener.url, 1})});
  }
  Feed(std::move(removed));
}

void Master::Do(const action::OpenSlots& open) {
  const absl::StatusOr<std::shared_ptr<const Config>> config =
      ConfigOf(supervisor_->generation());
  absl::Status status = config.status();
  if (status.ok()) {
    status = listeners_.OpenSlots(open.slots, FlagsFor(**config));
  }
  if (status.ok()) {
    Feed(event::SlotsOpened{open.slots});
  } else {
    Feed(event::SlotsRefused{open.slots, std::string(status.message())});
  }
}

void Master::Do(const action::Steer& steer) {
  if (absl::Status status = listeners_.Steer(steer.live); !status.ok()) {
    LOG(ERROR) << "new connections are not steered: " << status.message();
    Feed(event::SteerFailed{});
  }
}

void Master::Do(const action::CloseSlot& close) {
  listeners_.CloseSlot(close.slot);
}

void Master::Do(const action::CloseRemoved& close) {
  if (const auto listener = listeners_.Removed(close.sockets)) {
    LogEvent("listener_closed").Field("url", listener->url.text);
  }
  listeners_.CloseRemoved(close.sockets);
}

void Master::Do(const action::CloseListeners&) {
  listeners_closed_ = true;
  listeners_.CloseAll();
}

void Master::Do(const action::AnnounceReady&) {
  if (pid_file_.has_value()) {
    if (absl::Status status = pid_file_->Write(); !status.ok()) {
      LOG(ERROR) << InContext("--pid_file", status).message();
    }
  }
  heartbeat_timer_->Start(TurnWatch::kPeriod);
  LogEvent("ready")
      .Field("workers", supervisor_->wanted_workers())
      .Field("generation", supervisor_->generation());
  UpdateFlagFileWatch(*configs_.at(supervisor_->generation()));
}

void Master::Do(const action::Exit& exit) {
  exit_code_ = exit.code;
  helpers_->Stop(kHelpersEnd, [this] { loop_->Stop(); });
}

void Master::Do(const action::Log& log) {
  LogEvent event(log.name, SeverityOf(log.severity));
  for (const auto& [key, value] : log.fields) {
    std::visit([&event, key = key](const auto& one) { event.Field(key, one); },
               value);
  }
}

}  // namespace baton
