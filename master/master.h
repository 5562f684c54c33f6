#ifndef BATON_MASTER_MASTER_H_
#define BATON_MASTER_MASTER_H_

// The master process: the shell around the supervisor.
//
// It decides nothing. What happens (signals, what workers say, their exits, the
// passing of time) becomes an event for the supervisor (supervisor.h), and each
// action that comes back is carried out here: fork, send, kill, read the
// configuration, bind, close, log, leave.
//
// Its own rules:
//   * One thread, and no call that waits for a worker or a client. It reads no
//     byte that a client sent.
//   * A worker may write anything into its channel: a bounded number of
//     messages is read a turn, each is taken as that worker's claim about
//     itself, and descriptors that come with it are closed.
//   * Children are known by pidfd and reaped one by one; strangers, which a PID
//     1 inherits, after them.
//   * Whether a worker is stuck in a turn of its loop is seen from its
//     heartbeat, counted in looks and not in time (turn_watch.h).
//
// Contract: one Master a process, on the main thread. Run() returns the exit
// code of the process (0, 1, 3); why it could not start is logged.

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "master/access_log_files.h"
#include "master/config_loader.h"
#include "master/flag_file_watch.h"
#include "master/handoff.h"
#include "master/helpers.h"
#include "master/known_names.h"
#include "master/listener_slots.h"
#include "master/pid_file.h"
#include "master/program.h"
#include "master/server_status.h"
#include "master/supervisor.h"
#include "master/trial.h"
#include "master/worker_process.h"
#include "net/event_loop.h"
#include "net/fd_channel.h"
#include "net/fd_inlet.h"
#include "net/signal_fd.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"
#include "worker/channel_messages.h"
#include "worker/log_line.h"
#include "worker/log_sink.h"
#include "worker/services.h"

namespace baton {

class Master {
 public:
  // What every master has; all outlive it.
  struct Host {
    const Program& program;
    const ConfigLoader& loader;
    const Services& services;
    LineLogSink& log;
  };

  // `config` is what the loader loaded first.
  Master(const Host& host, std::shared_ptr<const Config> config);
  // Goes on where this process, as another binary, has stopped.
  Master(const Host& host, Handoff handoff);
  ~Master();
  Master(const Master&) = delete;
  Master& operator=(const Master&) = delete;

  int Run();

 private:
  struct Link;

  absl::Status MakeLoop();
  absl::Status Start();
  absl::Status ListenFirst();
  absl::StatusOr<SupervisorSettings> SettingsOf(const Config& config) const;
  void LogListening(Generation generation) const;
  void ReportRemovedListeners();

  // What the helpers ask (master_status.cc).
  void OnInquiry(const Helpers::Asker& asker, const Inquiry& inquiry);
  void OnCommand(const Helpers::Asker& asker, const Inquiry& inquiry);
  void AnswerCommands();
  ServerStatus Status();
  SlotStatus SlotTotals(int slot);
  std::vector<WorkerStatus> WorkersOf(int slot);
  bool IsServing(int slot) const;
  void NoteExit(const Link& link, ExitStatus status,
                const WorkerSnapshot& last);

  // Events.
  void Feed(Event event);
  void ArmTimer();
  void OnSignals();
  void OnChannel(WorkerId id);
  void OnExit(WorkerId id);
  void OnChildSignal();
  void LookAtHeartbeats();
  void LookAtHeartbeat(Link& link, std::vector<Event>& events);
  bool DumpsCore(const Link& link) const;
  void LookAtMemory();
  bool HasSettled(WorkerId id) const;
  // Whether there may be more to read.
  bool ReadMessage(Link& link);
  void OnMessage(Link& link, const ChannelMessage& message);
  void ReopenLog();
  void ReopenAccessLogs();
  void ForgetAccessLogs();
  void SwitchLog(UniqueFd fd, LogFormat format);

  // Actions.
  void Carry(const Action& action);
  void Do(const action::Fork& fork);
  void Do(const action::Serve& serve);
  void Do(const action::StopAccepting& stop);
  void Do(const action::Drain& drain);
  void Do(const action::StopWorker& stop);
  void Do(const action::HandOver& hand_over);
  void Do(const action::Kill& kill);
  void Do(const action::Adopt& adopt);
  void Do(const action::Release& release);
  void Do(const action::OpenSlots& open);
  void Do(const action::Steer& steer);
  void Do(const action::LoadConfig& load);
  void Do(const action::CommitConfig& commit);
  void Do(const action::DropConfig& drop);
  void Do(const action::CloseSlot& close);
  void Do(const action::CloseRemoved& close);
  void Do(const action::CloseListeners&);
  void Do(const action::CheckBinary&);
  void Do(const action::StartCanary& start);
  void Do(const action::StopCanary&);
  void Do(const action::KillTrial&);
  void Do(const action::AnnounceReady&);
  void Do(const action::Exit& exit);
  void Do(const action::Log& log);

  absl::Status Fork(const action::Fork& fork, pid_t& pid);

  // Another configuration (master_reload.cc).
  absl::Status StartProbe(std::string file_bytes);
  absl::StatusOr<SupervisorSettings> Load(const action::LoadConfig& load,
                                          absl::string_view file_bytes,
                                          const KnownNames& names);
  void EndLoading(absl::StatusOr<SupervisorSettings> settings);
  absl::StatusOr<std::shared_ptr<const Config>> ConfigOf(Generation generation);
  absl::Status LoadOld(Generation generation);
  absl::Status OpenFiles(Generation generation, const Config& config);
  void SwitchFiles(const Config& now);
  void CancelLoadingAtStop();
  void UpdateFlagFileWatch(const Config& config);
  void OnFlagFileChange();

  // Another binary (master_upgrade.cc), and what it is told (master_state.cc).
  absl::Status StartBinaryCheck();
  absl::Status StartCanary(Generation generation);
  absl::Status StartBinary(Handoff::Role role, nlohmann::json document,
                           std::vector<int> keep, absl::Duration patience,
                           std::function<void(const Trial::Result&)> done);
  void OnCanaryChannel();
  void BecomeOtherIfWanted();
  absl::Status BecomeOther(Supervisor::ExecTo to);
  nlohmann::json State(std::vector<int>& fds) const;
  void AddPending(nlohmann::json& state) const;
  absl::Status TakeUp();
  absl::Status TakeOver(const nlohmann::json& state);
  absl::Status TakeOverLinks(const nlohmann::json& links);
  absl::Status TakeOverFiles(const nlohmann::json& state);
  void TakeOverCounts(const nlohmann::json& state);

  void Send(WorkerId worker, const ChannelMessage& message);
  bool SendFds(WorkerId worker, const ChannelMessage& message,
               absl::Span<const int> fds);
  void SendUnsent(Link& link);
  FdChannel ChannelTo(WorkerId heir, uint64_t expected);
  bool AdoptSlot(WorkerId worker, SocketsId slot);
  bool AdoptRemoved(WorkerId worker, SocketsId removed);

  const Program& program_;
  const ConfigLoader& loader_;
  const Services& services_;
  LineLogSink& log_;

  // Open before the master opened anything: not its own.
  std::vector<int> not_ours_;
  std::optional<PidFile> pid_file_;
  ListenerSlots listeners_;
  AccessLogFiles access_logs_;
  // Those that a worker may be forked for: see ConfigOf().
  std::map<Generation, std::shared_ptr<const Config>> configs_;
  // Whose values the flags have now.
  std::shared_ptr<const Config> active_;
  bool listeners_closed_ = false;

  std::unique_ptr<EventLoop> loop_;
  std::optional<SignalFd> signals_;
  FdInlet<Master> signal_inlet_{this, &Master::OnSignals};
  std::optional<Timer> timer_;
  std::optional<Timer> heartbeat_timer_;
  std::optional<Timer> strangers_timer_;
  std::optional<Timer> unsent_timer_;
  std::optional<Timer> answer_timer_;
  std::map<WorkerId, std::unique_ptr<Link>> links_;

  // Asked for, and not answered: a child tries it out.
  std::optional<action::LoadConfig> loading_;
  std::optional<Trial> probe_;
  // As the configuration that serves has them.
  struct OpenFileNames {
    std::string log_file;
    LogFormat log_format = LogFormat::kText;
    std::string pid_file;
  };
  OpenFileNames open_files_;
  // Of a configuration that is loaded and not committed, if it has others.
  UniqueFd next_log_;
  std::optional<PidFile> next_pid_file_;
  std::optional<FlagFileWatch> flag_file_watch_;
  std::string last_file_bytes_;  // of the last attempt to load it

  struct Upgrade {
    // What this process was started with by the binary before, until it is
    // taken up.
    std::optional<Handoff> handoff;
    bool taking_up = false;
    // The flag file's bytes, of the binary that is tried or has been taken up,
    // and what that one has looked up for them.
    std::string file_bytes;
    KnownNames names;
    UniqueFd new_binary;
    FileVersion tried;  // of it
    // Of the binary before, until its successor serves.
    UniqueFd old_binary;
    std::string old_file_bytes;
    KnownNames old_names;
    // After a way back: the generation that serves, if its configuration was
    // refused this time.
    std::optional<Generation> refused;
    std::optional<Trial> trial;
    std::optional<Timer> exec_timer;
    FdChannel canary;
  };
  Upgrade upgrade_;
  FdInlet<Master> canary_inlet_{this, &Master::OnCanaryChannel};

  std::optional<Helpers> helpers_;
  absl::Time started_at_ = absl::Now();
  // What is left of workers that have ended, by slot. Also what workers of
  // other binaries have counted that this one does not know.
  struct Ended {
    WorkerSnapshot known;
    CountsByName unknown;
  };
  std::vector<Ended> ended_;
  // The supervisor forgets a slot that is closed, and may have it again.
  struct Restarts {
    uint64_t before = 0;
    uint64_t last = 0;
  };
  std::vector<Restarts> restarts_;
  std::map<std::string, uint64_t> crashes_;
  uint64_t oom_kills_ = 0;
  uint64_t adoptions_ = 0;
  uint64_t reloads_noted_ = 0;
  uint64_t log_lines_dropped_before_ = 0;  // by other binaries
  std::optional<ServerStatus::Reload> last_reload_;
  std::array<uint64_t, ServerStatus::kReloadOutcomes> reloads_ = {};
  struct PendingReload {
    Helpers::Asker asker;
    bool upgrade;
    uint64_t number;  // of the reload or upgrade that answers it
  };
  std::vector<PendingReload> pending_reloads_;
  struct PendingScale {
    Helpers::Asker asker;
    int workers;
    Instant deadline;
  };
  std::vector<PendingScale> pending_scales_;

  std::optional<Supervisor> supervisor_;
  std::deque<Event> events_;
  bool feeding_ = false;
  int exit_code_ = 1;
};

}  // namespace baton

#endif  // BATON_MASTER_MASTER_H_
