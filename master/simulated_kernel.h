#ifndef BATON_MASTER_SIMULATED_KERNEL_H_
#define BATON_MASTER_SIMULATED_KERNEL_H_

// A small model of what the supervisor acts on: processes, their channels, the
// slots' sockets, a configuration file. It carries actions out, makes workers
// live and fail at random, and checks after each step what must never be
// otherwise (the functions named Check...). All chance comes from one seed.
//
// A violated invariant is a CHECK failure: the log line before it names the
// seed to replay.

#include <deque>
#include <list>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "master/supervisor.h"

namespace baton {

class SimulatedKernel {
 public:
  explicit SimulatedKernel(uint32_t seed);

  // One random step: something is delivered, a worker gets on, something
  // fails, an operator does something, or time passes.
  void Step();

  // Nothing fails any more and nobody asks for anything; all goes on until
  // nothing is left to do. CHECKs that this ends, with all workers of one
  // generation serving, or with the server gone if it was stopping.
  void Heal();

  // Asks for a stop and lets it end, amid faults.
  void Stop();

  const Supervisor& supervisor() const { return supervisor_; }
  int steps() const { return steps_; }
  int upgrades_taken_back() const { return upgrades_taken_back_; }

 private:
  static constexpr int kMostDraining = 4;  // that a configuration allows

  struct Process {
    WorkerId id = 0;
    int slot = 0;
    Generation generation = 0;
    bool forked = false;  // the fork is answered
    bool serve_told = false;
    bool alive = true;
    bool stop_told = false;  // StopAccepting
    bool hung = false;
    bool unkillable = false;      // in uninterruptible sleep
    bool accepting = false;       // told to serve and not yet stopped
    bool holds_own = true;        // has copies of its slot's sockets
    std::set<SocketsId> adopted;  // what it accepts from beside its own
    uint8_t impairments = 0;
    std::set<int> connections;  // that it serves
    std::set<int> busy;         // of these: not at a safe point
    std::set<int> kept;         // of these: refused, until the next round
    uint64_t round = 0;         // of its last HandOver; 0: it has not got any
    Instant cut_at = absl::InfiniteDuration();
    bool passed_told = false;
    bool kill_pending = false;         // SIGKILL sent, takes effect later
    bool stalled = false;              // hung, and the master has been told
    bool abort_pending = false;        // SIGABRT sent, takes effect or not
    std::deque<Action> inbox;          // from the master, in order
    std::deque<Event> outbox;          // to the master, in order
    std::optional<ExitStatus> status;  // dead, not yet reaped
  };

  // Between one that leaves and one that takes its connections. What is sent
  // stays in the channel while one of them lives.
  struct Channel {
    WorkerId from = 0;
    WorkerId to = 0;
    uint64_t round = 0;
    bool from_has = false;  // has got its end
    bool to_has = false;
    bool from_closed = false;  // or dead
    bool to_closed = false;
    std::set<int> moving;  // sent, and the answer has not been seen
    bool answered = false;
    std::set<int> refused;  // in the answer
    std::set<int> later;    // of these: only for now
  };

  bool Chance(int percent) {
    return static_cast<int>(random_() % 100) < percent;
  }
  int Below(int limit) { return static_cast<int>(random_() % limit); }
  Process* AnyProcess();

  // Steps.
  void AnswerFork(Process& process);
  void AnswerLoad();
  void AnswerOpen();
  void Impair(Process& process, Impairment what, bool on);
  void OpenUpTo(int slots);
  void WorkerGetsOn(Process& process);
  void WorkerHandles(Process& process, const Action& message);
  void Deliver(Process& process);
  void Fault();
  void FaultOf(Process& process);
  void HostileMessage(Process& process);
  void Operator();
  void TimePasses();
  void Die(Process& process, ExitStatus status);
  // Clients and handover (simulated_handover.cc).
  void ClientStep();
  void BeginRound(Process& process, const action::HandOver& hand_over);
  void HandoverStep(Process& process);
  bool HandoverPending(const Process& process) const;
  bool MayTakeStep(const Channel& channel, const Process& process) const;
  void StepAsSender(Channel& channel, Process& process);
  void StepAsReceiver(Channel& channel, Process& process);
  void StopReceiving(Process& process);
  void EndIfNothingIsLeft(Process& process);
  bool HasMoving(const Process& process) const;
  static std::vector<int> IdleOf(const Process& process);
  void LoseConnections(Process& process);
  void CheckConnections() const;
  SupervisorSettings RandomSettings();
  // Upgrade (simulated_upgrade.cc).
  bool TrialUnderWay() const { return check_asked_ || canary_.has_value(); }
  void TrialStep();
  void BecomeOtherBinary();
  void AnswerLoadAtOnce();

  void Feed(const Event& event);
  void Carry(const Action& action);
  void Do(const action::Fork& fork);
  void Do(const action::Serve& serve);
  void Do(const action::StopAccepting& stop);
  void Do(const action::Drain& drain) { Send(drain.worker, drain); }
  void Do(const action::StopWorker& stop);
  void Do(const action::HandOver& hand_over);
  void Do(const action::Kill& kill);
  void Do(const action::Adopt& adopt);
  void Do(const action::Release& release) { Send(release.worker, release); }
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
  void Send(WorkerId worker, const Action& message);
  void RemoveListeners();
  void CheckEmptied(SocketsId sockets, Instant left) const;
  void CheckStopped(const action::Log& log) const;

  // Invariants.
  void CheckAfterStep();
  void CheckRoles();
  void CheckSlotsServed();
  void CheckAdoption();
  void CheckAdopted(SocketsId id, const AdoptableSockets& sockets) const;
  void CheckNewConnections();
  void CheckSettled();

  uint32_t seed_;
  std::mt19937 random_;
  const bool honest_;       // no worker says what is not so
  const bool no_way_back_;  // an exec of the old binary never succeeds
  const absl::Duration linger_;
  SupervisorSettings first_settings_;
  Supervisor supervisor_;
  Instant now_ = absl::Seconds(100);
  int steps_ = 0;
  bool healing_ = false;
  bool stop_asked_ = false;
  bool crash_loop_ = false;

  std::map<WorkerId, Process> processes_;
  std::list<Channel> channels_;
  std::set<int> connections_;  // that clients have
  int last_connection_ = 0;
  std::set<WorkerId> cut_;  // workers with too many of their slot beside them
  WorkerId highest_worker_ = 0;
  // The reuseport group: the slots of its sockets, by index. New connections go
  // to the first `steered_` ones, or to all if there is no program.
  std::vector<int> group_;
  std::optional<int> steered_;
  std::map<int, Instant> left_;  // since when a slot gets no new connections
  bool steer_failed_ = false;
  struct Removed {
    Instant since;
    absl::Duration linger;
  };
  std::map<SocketsId, Removed> removed_;  // listeners, still open
  SocketsId next_removed_ = kFirstRemoved;
  std::map<SocketsId, Instant> emptied_;  // when an adopter took all queued
  std::optional<int> open_asked_;         // OpenSlots, not answered
  bool listeners_open_ = true;
  bool announced_ = false;
  std::optional<int> exit_code_;

  std::deque<Event> answers_;  // to the actions that are being carried out
  bool dropped_in_use_ = false;
  std::set<WorkerId> ended_in_stop_;  // by a signal, and had been told to serve
  std::set<WorkerId> served_before_;  // the event that is being handled
  std::set<int> stopped_now_;         // slots, by that event
  std::optional<action::LoadConfig> load_asked_;  // not answered
  std::optional<Generation> reload_going_;  // until commit, drop or rejection

  // Which binary this is, which one it was made from, and which one has made
  // each configuration.
  int binary_ = 1;
  int old_binary_ = 0;
  int last_binary_ = 1;
  std::map<Generation, int> made_by_ = {{1, 1}};
  bool taking_up_ = false;
  int upgrades_taken_back_ = 0;
  // Of the binary that is tried: its check, its canary.
  enum class Canary { kStarts, kReady, kEnds };
  bool check_asked_ = false;
  std::optional<Canary> canary_;
};

}  // namespace baton

#endif  // BATON_MASTER_SIMULATED_KERNEL_H_
