#ifndef BATON_TOOLS_LOADGEN_ENGINE_H_
#define BATON_TOOLS_LOADGEN_ENGINE_H_

// Problem: whoever measures a server must not share its mistakes and must cost
// less than what it measures. So this is not built on net's event loop and
// coroutines but has a small driver of its own: if a change to the loop loses
// an edge or a byte, the client must see it, not have lost it as well.
//
// One thread, one epoll set, edge-triggered; a slot per connection, which is a
// small state machine:
//
//   kClosed -> kConnecting -> kIdle <-> kBusy -> (kEnding) -> kClosed
//
// and a few phases, one after the other:
//
//   kConnect   closed loop, constant rate: until each slot was tried once; only
//              then does the time of the run start
//   kExchange  closed loop, constant rate: the run; idle: one exchange each
//   kHold      idle: nothing but waiting
//   kVerify    idle: one more exchange each
//
// Costs: recv and send an exchange, a share of one epoll_pwait2 and one look at
// the clock. One read buffer for all. Time-outs are found by a sweep over all
// slots ten times per time-out, so an exchange pays nothing for having one.
//
// Contract
// * Run() once, on one thread. Nothing of a peer's doing makes it fail: that is
//   counted. It ends by itself when the options have a limit; an exchange that
//   has begun is carried to its end, a time-out at the latest.
// * When stop_fd becomes readable it ends at once, exchanges in progress are
//   `abandoned`.
// * A connection that fails before its first answer is tried again after 1 ms,
//   doubled up to 128 ms; one that fails later is replaced at once.

#include <sys/epoll.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <queue>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/unique_fd.h"
#include "tools/loadgen/conversation.h"
#include "tools/loadgen/histogram.h"
#include "tools/loadgen/load_options.h"
#include "tools/loadgen/pacer.h"
#include "tools/loadgen/report.h"
#include "tools/loadgen/tally.h"

namespace baton::loadgen {

class Engine {
 public:
  // Raises RLIMIT_NOFILE to its hard limit. Errors: InvalidArgument (see
  // CheckLoadOptions), ResourceExhausted when the connections do not fit under
  // that limit, an errno's status.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(LoadOptions options);

  Report Run();

 private:
  enum class Phase { kConnect, kExchange, kHold, kVerify };
  enum class State : uint8_t { kClosed, kConnecting, kIdle, kBusy, kEnding };

  struct Slot {
    UniqueFd fd;
    State state = State::kClosed;
    bool owes_exchange = false;  // the Pacer gave it one, which has not begun
    bool last = false;           // this exchange is the connection's last
    uint8_t failures = 0;        // in a row, of first exchanges
    uint64_t connection = 0;  // number of the current or the last one; 0: none
    int64_t exchanges = 0;    // on this connection, ended
    int64_t intended = 0;     // latency counts from here
    int64_t since = 0;        // the time-out counts from here
    int64_t wake_at = 0;      // the one entry of wake_ups_ that counts
    std::unique_ptr<Conversation> conversation;
  };

  // What stop_fd is in the epoll set; the others are slots.
  static constexpr uint64_t kStopCookie = ~uint64_t{0};

  // A slot's connection at some time: stale once the number has changed.
  struct Ticket {
    uint32_t slot;
    uint64_t connection;
  };
  struct WakeUp {
    int64_t at;
    Ticket ticket;
    bool operator>(const WakeUp& other) const { return at > other.at; }
  };
  struct Unfinished {
    Ticket ticket;
    uint32_t events;
  };

  Engine(LoadOptions options, UniqueFd epoll);

  // engine.cc: the phases.
  void RunPhase(Phase phase, Pacer* pacer);
  bool PhaseOver() const;
  void ConnectAll(Pacer* pacer);
  void RunIdle();
  void RecordUnsent(int64_t unsent);
  void HoldUntil(int64_t deadline);
  void EndConnections();
  Report MakeReport();

  // engine_turn.cc: time, and who begins when.
  void Turn(int64_t until);
  int Wait(int64_t nanos);
  int64_t NextDeadline(int64_t until) const;
  void RunTimers();
  void SweepTimeouts();
  void ReportProgress();
  void WakeAt(uint32_t index, int64_t at);
  void WakeSlots();
  bool MayOpenNext() const;
  void OpenConnections();
  void DispatchReady();
  void NextExchange(uint32_t index);
  void BecomeReady(uint32_t index);
  void AfterExchange(uint32_t index, bool may_begin);

  // engine_connection.cc: one slot.
  void Open(uint32_t index);
  void Connect(uint32_t index);
  void OnEvent(uint32_t index, uint32_t events);
  bool FinishConnect(uint32_t index, uint32_t events);
  void Begin(uint32_t index, int64_t intended);
  void Flush(uint32_t index);
  bool SendUrgent(uint32_t index);
  void Receive(uint32_t index, uint32_t events);
  bool ReceiveOnce(uint32_t index, size_t limit, bool until_end);
  bool ReceiveUrgent(uint32_t index, bool until_end);
  void OnBytes(uint32_t index, absl::string_view bytes);
  void OnEnd(uint32_t index);
  void Settle(uint32_t index, Verdict verdict, bool by_sending);
  void Complete(uint32_t index, bool refused, bool by_sending);
  void Retire(uint32_t index);
  void Reconnect(uint32_t index);
  void Close(uint32_t index);
  void SetState(Slot& slot, State state);
  void SetOwes(Slot& slot, bool owes);
  void RecordError(const Slot& slot, ErrorKind kind, absl::string_view what);
  void Fail(uint32_t index, ErrorKind kind, absl::string_view what);
  void FailErrno(uint32_t index, absl::string_view call, int error);

  bool Current(const Ticket& ticket) const {
    return slots_[ticket.slot].connection == ticket.connection;
  }
  Ticket TicketOf(uint32_t index) const {
    return {index, slots_[index].connection};
  }

  const LoadOptions options_;
  const int sources_;
  const std::unique_ptr<Protocol> protocol_;
  const UniqueFd epoll_;
  std::vector<Slot> slots_;
  std::vector<epoll_event> events_;
  std::vector<char> buffer_;  // what recv() fills

  Phase phase_ = Phase::kExchange;
  Pacer* pacer_ = nullptr;  // the phase's
  bool stopped_ = false;
  bool fine_wait_ = true;  // epoll_pwait2 is there: since Linux 5.11
  int64_t now_ = 0;        // of this turn

  std::deque<uint32_t> unconnected_;    // slots to connect
  std::deque<Ticket> ready_;            // idle, may begin an exchange
  std::vector<Unfinished> unfinished_;  // more to read: their edge is spent
  std::priority_queue<WakeUp, std::vector<WakeUp>, std::greater<>> wake_ups_;
  int64_t next_sweep_ = 0;
  int64_t next_progress_ = kNever;
  int64_t last_progress_ = 0;
  int64_t launched_ = 0;
  int64_t started_ = 0;  // when the time of the run did
  absl::Duration cpu_at_start_;

  uint64_t connections_begun_ = 0;
  int connecting_ = 0;
  int owed_ = 0;       // slots that owe an exchange
  int in_flight_ = 0;  // slots that are kConnecting, kBusy or kEnding
  int64_t open_ = 0;   // slots with an established connection

  Tally tally_;
  Histogram latency_;
  Histogram interval_;  // latency since the last progress report
  Histogram connect_;
  Histogram lag_;
  int64_t held_ = 0;
};

// Create and Run.
absl::StatusOr<Report> RunLoad(LoadOptions options);

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_ENGINE_H_
