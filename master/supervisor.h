#ifndef BATON_MASTER_SUPERVISOR_H_
#define BATON_MASTER_SUPERVISOR_H_

// Decides what the master does: whom to fork, drain, stop and kill, and when.
//
// Supervision goes wrong in the corners: a worker that dies while its successor
// starts, a reload that fails half-way, a second SIGTERM, a fork that fails
// just then. Corners can't be tested with real processes, so the decisions are
// a deterministic state machine with no I/O and no clock: time and events come
// in, actions come out, and a simulation drives it through more corners than
// any server will see. master.h is the shell that carries the actions out.
//
// How it decides: events only note what has happened. Then, after each event,
// the same rules bring what is towards what ought to be (Settle):
//   * a slot whose generation is not 0 has a serving worker of it, or one is on
//     its way, or a back-off runs;
//   * a roll moves one slot at a time to another generation; the new worker
//     serves before the old one is told to stop accepting;
//   * a worker that does not do in time what it was told is killed;
//   * a stop waits for nobody for ever.
//
// The rules:
//   * First start: every worker READY within ready_timeout or the server ends
//     with code 1; nobody accepts before all are ready. A fork that fails is
//     tried again until then.
//   * A death while serving: replaced at once if the worker was taken away
//     from outside or had served for a minute; else under the slot's back-off.
//   * A reload is a roll to a new generation. The first new worker is on
//     probation before it accepts. If one of its workers fails
//     before the roll is through, the slots that are done are rolled back. More
//     requests meanwhile make one more reload afterwards.
//   * A worker that asks for it is replaced like in a roll. Those that have
//     served or grown enough are, too, but one after the other.
//   * Whoever accepts no longer hands its connections over: to the worker that
//     serves in its slot, or if nobody is to serve there, to all others. While
//     nobody can take them it serves them itself.
//   * A worker that stalls is ended by SIGABRT, which is a failure of its own,
//     in whatever phase it is. Its successor does not wait for its exit.
//   * A slot whose worker is gone, full, stuck or stopped is adopted at once: a
//     sibling accepts from its sockets too, until they have a worker again.
//   * A listener that a reload removes is adopted whole until it has lingered,
//     and then closed.
//   * More workers: sockets first, then the worker, and new connections are
//     steered to it when it serves. Fewer: connections are steered away first;
//     the sockets linger, adopted, until no handshake can be under way in
//     them; then they are closed, the last slot's first, once nobody has
//     copies.
//   * An upgrade lets the new binary check itself, start a worker and come
//     through its probation; then the master becomes that binary, and the rest
//     is a reload. If that fails it becomes the old one again, to roll back.
//   * Too many failures in a minute (crash_loop_limit): like Terminate, and
//     exit code 4.
//   * Terminate: drain_delay, then accept no more, then drain within
//     stop_timeout. Again after more than a second, or Quit: at once.
//
// Trust: a worker's event about itself that does not fit its phase is ignored;
// an event of a worker changes nothing but its own slot and what it was told to
// adopt.
//
// Contract: Handle() is called with every event, and with Timer when
// next_deadline() has come. Actions are carried out in their order. After
// action::Exit it does nothing more. Not thread-safe.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "master/supervised.h"
#include "master/supervisor_state.h"
#include "master/supervisor_types.h"

namespace baton {

class Supervisor {
 public:
  // After StopWorker, until SIGKILL. A stop at once is over within a second.
  static constexpr absl::Duration kStopGrace = absl::Milliseconds(500);
  // After the time-out that a draining worker was given, until SIGKILL.
  static constexpr absl::Duration kDrainGrace = absl::Seconds(1);
  // After StopAccepting, until the supervisor goes on without an answer.
  static constexpr absl::Duration kAcceptStopTimeout = absl::Seconds(2);
  // After HandOver, until the roll goes on without an answer.
  static constexpr absl::Duration kPassTimeout = absl::Seconds(10);
  // After a handover was broken, until it is tried again.
  static constexpr absl::Duration kHandoverRetry = absl::Milliseconds(500);
  // More than any worker can have, so that no sum of them runs over.
  static constexpr uint64_t kMostConnectionsCut = uint64_t{1} << 32;
  // After StopCanary, until it is taken for stuck; and between two attempts to
  // become the old binary again.
  static constexpr absl::Duration kCanaryGrace = absl::Seconds(2);
  static constexpr absl::Duration kExecRetry = absl::Seconds(1);
  static constexpr int kExecAttempts = 10;
  // Between two reloads that a binary asks for by itself which can't go back.
  static constexpr absl::Duration kReloadAgain = absl::Seconds(10);
  // Between a worker's channel closing and its exit.
  static constexpr absl::Duration kBrokenGrace = absl::Milliseconds(500);
  // Between the SIGABRT for a worker that is stuck, of which its stack trace
  // comes, and SIGKILL; again after each sign that the kernel writes its core
  // file, up to the latter. Nobody waits for that but the memory it has.
  static constexpr absl::Duration kAbortGrace = absl::Seconds(2);
  static constexpr absl::Duration kCoreDumpLimit = absl::Seconds(60);
  // After SIGKILL, until a stop goes on without the exit (a process in
  // uninterruptible sleep).
  static constexpr absl::Duration kUnkillableTimeout = absl::Seconds(5);
  // A worker that asks to be replaced has served at least so long by then.
  static constexpr absl::Duration kMinReplaceAge = absl::Milliseconds(500);
  // A second Terminate counts as Quit after more than this: a terminal and a
  // wrapper often send it twice.
  static constexpr absl::Duration kSecondTerminate = absl::Seconds(1);
  // A worker that says that it is no longer full is believed after so long:
  // however often it changes its mind, siblings hear of it once a second.
  static constexpr absl::Duration kRoomLasts = absl::Seconds(1);
  // After a worker could not adopt what it should, or a Steer has failed, until
  // it is tried again.
  static constexpr absl::Duration kSocketsRetry = absl::Seconds(1);
  // After a removed listener has lingered, until it is closed though nobody
  // could empty its queues.
  static constexpr absl::Duration kRemovalPatience = absl::Seconds(10);
  // Failures further back do not count towards crash_loop_limit.
  static constexpr absl::Duration kCrashLoopWindow = absl::Seconds(60);

  // `settings` are those of generation 1.
  explicit Supervisor(const SupervisorSettings& settings);
  // Goes on where another one, of another binary perhaps, has given its State()
  // when its exec_wanted() said so. The first event is TakenUp.
  explicit Supervisor(const SupervisorState& state);

  std::vector<Action> Handle(Instant now, const Event& event);

  // When Handle() wants a Timer if nothing else happens before.
  Instant next_deadline() const;

  // --- What it looks like, for the status and for tests.

  ServerState state() const;
  // The last one that was committed.
  Generation generation() const { return generation_; }
  int wanted_workers() const { return settings_.workers; }
  int configured_workers() const { return configured_workers_; }
  absl::Duration ready_timeout() const { return settings_.ready_timeout; }
  const std::optional<ReloadResult>& last_reload() const {
    return last_reload_;
  }
  // A ReloadRequested now is answered by the reload after this one, counted
  // from 1, whether one is under way or not.
  uint64_t reloads_begun() const { return reloads_begun_; }
  // The last of these, or of the upgrades, has last_reload() as its result.
  uint64_t reloads_finished() const { return reloads_finished_; }
  // The same of an UpgradeRequested.
  uint64_t upgrades_begun() const { return upgrades_begun_; }
  uint64_t upgrades_finished() const { return upgrades_finished_; }
  // Not all requests for more or fewer workers have been carried out.
  bool scaling() const {
    return pending_scale_ != 0 || scale_to_.has_value() || opening_ != 0 ||
           scaling_;
  }
  // Why the last one could not be; empty if it could.
  const std::string& scale_error() const { return scale_error_; }
  // It neither stops nor has stopped: requests are taken.
  bool takes_requests() const {
    return phase_ == Phase::kStarting || phase_ == Phase::kUp;
  }
  const std::vector<SupervisedSlot>& slots() const { return slots_; }
  const std::map<SocketsId, RemovedListener>& removed() const {
    return removed_;
  }
  const std::map<WorkerId, SupervisedWorker>& workers() const {
    return workers_;
  }
  // Null for a worker that is gone.
  const SupervisedWorker* FindWorker(WorkerId id) const;
  // Ready, and watched for a while before it may accept.
  bool OnProbation(const SupervisedWorker& worker) const;
  // Requests that were cut off with workers that had left, not by a stop.
  uint64_t cut_while_leaving() const { return cut_while_leaving_; }
  uint64_t handovers_broken() const { return handovers_broken_; }
  bool exited() const { return phase_ == Phase::kExited; }

  // --- Upgrade.

  // When all actions have been carried out: become another binary, and take
  // State() along.
  enum class ExecTo { kNewBinary, kOldBinary };
  std::optional<ExecTo> exec_wanted() const;
  // Of a configuration for which this binary can't fork workers.
  bool IsForeign(Generation generation) const {
    return generation < own_from_ || generation == foreign_;
  }
  // Is wanted as soon as it can be, and nobody is forked before.
  bool exec_pending() const {
    return UpgradeIs(UpgradeStage::kExec) ||
           UpgradeIs(UpgradeStage::kGoingBack);
  }
  SupervisorState State() const;

 private:
  enum class Phase {
    kIdle,      // before Start
    kStarting,  // until every slot serves for the first time
    kUp,
    kDelaying,  // asked to stop, serves on for drain_delay
    kDraining,
    kQuitting,
    kExited,
  };

  // Events (in the file of their subject).
  void On(const event::Start&);
  void On(const event::Forked& event);
  void On(const event::ForkFailed& event);
  void On(const event::WorkerReady& event);
  void On(const event::WorkerServing& event);
  void On(const event::AcceptStopped& event);
  void On(const event::WorkerDrained& event);
  void On(const event::ReplaceRequested& event);
  void On(const event::RecycleRequested& event);
  void On(const event::ConnectionsPassed& event);
  void On(const event::HandoverBroken& event);
  void On(const event::WorkerPinned& event);
  void On(const event::SocketsReleased& event);
  void On(const event::AdoptFailed& event);
  void On(const event::WorkerImpaired& event);
  void On(const event::WorkerStalled& event);
  void On(const event::WorkerDumpsCore& event);
  void On(const event::WorkerBroken& event);
  void On(const event::WorkerExited& event);
  void On(const event::SteerFailed&);
  void On(const event::ListenersRemoved& event);
  void On(const event::ScaleRequested& event);
  void On(const event::SlotsOpened& event);
  void On(const event::SlotsRefused& event);
  void On(const event::ReloadRequested&);
  void On(const event::ConfigLoaded& event);
  void On(const event::ConfigRejected& event);
  void On(const event::UpgradeRequested&);
  void On(const event::BinaryChecked& event);
  void On(const event::CanaryReady&);
  void On(const event::CanaryEnded& event);
  void On(const event::ExecFailed& event);
  void On(const event::TakenUp&);
  void On(const event::TerminateRequested&);
  void On(const event::QuitRequested&);
  void On(const event::Timer&) {}

  // Brings what is towards what ought to be.
  void Settle();
  void ExpireDeadlines();
  void ExpireWorker(SupervisedWorker& worker);
  void ForkWhereWanted();
  void AdvanceStart();
  void AdvanceRoll();
  void AdvanceStop();

  // Start.
  std::string LateStartReason() const;
  void FailStart(const std::string& reason);

  // Sockets and who accepts from them (supervisor_sockets.cc).
  void ApplyScale();
  void ServeSlots(int count);
  void NoteScaled();
  void LeaveSlot(SupervisedSlot& slot);
  void UpdateSteering();
  static void SetImpaired(SupervisedWorker& worker, Impairment what, bool on);
  void EndImpairments();
  template <typename F>
  void ForEachSockets(F each);
  AdoptableSockets* FindSockets(SocketsId id);
  bool NeedsAdopter(const SupervisedSlot& slot) const;
  bool MayAdopt(WorkerId id) const;
  WorkerId ChooseAdopter(SocketsId sockets);
  WorkerId ReleaseAdopter(SocketsId id, AdoptableSockets& sockets);
  void UpdateAdopter(SocketsId id, AdoptableSockets& sockets);
  void UpdateAdoption();
  void EndAdoptions(WorkerId worker);
  bool ReleasedForClosing(SocketsId id, AdoptableSockets& sockets,
                          bool must_be_emptied);
  void CloseRemovedListeners();
  bool SomebodyMayHoldSockets() const;
  void CloseUnusedSlots();

  // Workers and slots (supervisor_workers.cc).
  SupervisedWorker* Find(WorkerId id);
  SupervisedSlot& SlotOf(const SupervisedWorker& worker) {
    return slots_[worker.slot];
  }
  const SupervisorSettings& SettingsOf(Generation generation) const;
  const SupervisorSettings& drain_settings() const;
  bool forks_allowed() const;
  bool stopping() const {
    return phase_ == Phase::kDraining || phase_ == Phase::kQuitting;
  }
  bool alone() const { return settings_.workers == 1; }
  bool WantsWorker(const SupervisedSlot& slot) const;
  void ForkWorker(int slot);
  void Serve(SupervisedWorker& worker);
  void Replace(SupervisedWorker& worker);
  // Neither current nor incoming any more.
  void Detach(SupervisedWorker& worker);
  void Retire(SupervisedWorker& worker, bool shut_down_listeners);
  void StartDrain(SupervisedWorker& worker);
  void CutBeyondMaxDraining(SupervisedSlot& slot);

  // Handover (supervisor_handover.cc).
  bool MayTakeOver(WorkerId id) const;
  std::vector<WorkerId> HeirsOf(const SupervisedWorker& worker) const;
  void StartPassing(SupervisedWorker& worker);
  void EndPassing(SupervisedWorker& worker);
  void UpdateHandovers();
  std::vector<std::pair<const char*, action::Log::Value>> PinnedFields(
      const SupervisedWorker& worker, const std::string& reason) const;
  // It accepts no longer, and has not been told to end.
  static bool Leaves(const SupervisedWorker& worker);
  int Draining(const SupervisedSlot& slot) const;
  bool StillPasses(const SupervisedSlot& slot) const;
  void RecycleOne();

  void EndWorker(SupervisedWorker& worker);
  static void EndSooner(SupervisedWorker& worker, Instant asked);
  void KillWorker(SupervisedWorker& worker);
  void Discard(SupervisedWorker& worker);
  void Forget(WorkerId id);
  // A worker has failed that was to serve, or served. Already detached.
  void IncomingFailed(const SupervisedWorker& worker, bool killed_from_outside,
                      const std::string& reason);
  void CurrentFailed(const SupervisedWorker& worker, bool killed_from_outside,
                     const std::string& reason);
  void Failed(SupervisedWorker& worker, bool killed_from_outside,
              const std::string& reason);

  // Reload (supervisor_reload.cc).
  void StartReload();
  bool StartProbation(SupervisedWorker& worker);
  void EndProbation(SupervisedWorker& worker);
  void BeginRollBack(const std::string& reason);
  Generation RollWants(int slot) const;
  int NextRollSlot() const;
  bool RollSlotDone(const SupervisedSlot& slot) const;
  bool RollSlotWaitsForFork() const;
  bool LeavingGenerationAccepts() const;
  void FinishRoll();
  void FinishReload(ReloadResult::Outcome outcome, const std::string& reason,
                    Generation generation);
  bool rolling_forward_to(Generation generation) const {
    return roll_.has_value() && !roll_->back && roll_->target == generation;
  }

  // Upgrade (supervisor_upgrade.cc).
  void StartUpgrade();
  void ExpireUpgrade();
  void SetUpgradeStage(UpgradeStage stage,
                       Instant deadline = absl::InfiniteDuration());
  void EndUpgrade(ReloadResult::Outcome outcome, const std::string& reason);
  void AbandonUpgrade();
  void GoBack(const std::string& reason);
  void StayInNewBinary();
  // In a binary that could not go back: there is no configuration to fork for.
  bool stays() const {
    return phase_ == Phase::kUp && IsForeign(generation_) &&
           !upgrade_.has_value();
  }
  bool UpgradeIs(UpgradeStage stage) const {
    return upgrade_.has_value() && upgrade_->stage == stage;
  }
  void ReplaceForeignWorkers();
  // Nothing else changes the configuration or the number of slots meanwhile.
  bool settled() const {
    return phase_ == Phase::kUp && !roll_.has_value() && loading_ == 0 &&
           opening_ == 0 && !upgrade_.has_value();
  }

  // Stop (supervisor_stop.cc).
  void CountFailure();
  void BeginDrain();
  void BeginQuit();
  void NoteWhoServes();
  void EndServing(SupervisedWorker& worker);
  void CountCut(SupervisedWorker& worker);

  void Emit(Action action) { actions_.push_back(std::move(action)); }
  void Log(action::Severity severity, const char* name,
           std::vector<std::pair<const char*, action::Log::Value>> fields);
  void LogWorker(
      action::Severity severity, const char* name,
      const SupervisedWorker& worker,
      std::vector<std::pair<const char*, action::Log::Value>> more = {});

  SupervisorSettings settings_;  // workers: as many as are wanted
  int configured_workers_;       // as the configuration has it
  Phase phase_ = Phase::kIdle;
  Instant now_ = absl::ZeroDuration();
  std::vector<Action> actions_;

  std::vector<SupervisedSlot> slots_;
  std::map<WorkerId, SupervisedWorker> workers_;
  WorkerId last_worker_ = 0;
  uint64_t last_ticket_ = 0;

  Generation generation_ = 1;
  Generation last_generation_ = 1;  // the highest number that is used up
  // The first generation that this binary has made, and one that another has
  // made since, while it is rolled back; 0 = none.
  Generation own_from_ = 1;
  Generation foreign_ = 0;
  Generation loading_ = 0;  // asked for by LoadConfig, 0 = none
  bool reload_pending_ = false;
  uint64_t reloads_begun_ = 0;
  uint64_t reloads_finished_ = 0;
  uint64_t upgrades_begun_ = 0;
  uint64_t upgrades_finished_ = 0;
  std::optional<int> scale_to_;  // instead of settings_.workers
  int pending_scale_ = 0;  // workers more or less, as soon as it can be done
  int opening_ = 0;        // asked for by OpenSlots, 0 = none
  bool scaling_ = false;
  std::string scale_error_;
  // New connections go to so many slots; 0: not of every listener, and it is
  // said again; kNotSteered: who knows, and it is tried again at steer_at_.
  static constexpr int kNotSteered = -1;
  int steered_ = 0;
  Instant steer_at_ = absl::ZeroDuration();
  std::map<SocketsId, RemovedListener> removed_;
  int removals_asked_ = 0;  // ListenersRemoved to come
  std::optional<SupervisedRoll> roll_;
  bool upgrade_pending_ = false;
  std::optional<SupervisedUpgrade> upgrade_;
  Instant retry_exec_at_ = absl::ZeroDuration();
  Instant reload_again_at_ = absl::ZeroDuration();
  std::optional<ReloadResult> last_reload_;

  Instant start_deadline_ = absl::InfiniteDuration();
  Instant stop_asked_at_ = absl::InfiniteDuration();
  Instant delay_until_ = absl::InfiniteDuration();
  Instant stop_deadline_ = absl::InfiniteDuration();
  bool listeners_closed_ = false;
  bool start_failed_ = false;
  std::deque<Instant> failures_;  // within kCrashLoopWindow
  bool crash_loop_ = false;
  uint64_t cut_while_leaving_ = 0;
  uint64_t handovers_broken_ = 0;
  // By a stop: with requests in progress; killed because they did not end.
  uint64_t connections_cut_ = 0;
  uint64_t workers_cut_ = 0;
  bool stop_timeout_cut_ = false;   // any of them; an immediate stop is to cut
  bool stop_timeout_over_ = false;  // when it became an immediate stop
};

}  // namespace baton

#endif  // BATON_MASTER_SUPERVISOR_H_
