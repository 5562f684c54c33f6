#ifndef BATON_WORKER_HANDOVER_SENDER_H_
#define BATON_WORKER_HANDOVER_SENDER_H_

// Passes the connections of a worker that leaves on to others.
//
// At any time one process serves a connection. It leaves this one's epoll
// before its copy is sent, and is closed here only when the receiver says that
// it serves it. If the receiver refuses it or is gone, it goes back into epoll,
// and its client has noticed nothing. While a batch is unanswered its
// connections belong to whoever lives: there is no time-out after which both
// could believe so.
//
// Connections come from the table's safe points: all that are at one when it
// begins, and each other one when it gets there. They go to the channels of the
// newest *round*, in batches, to all alike. A channel of an older round is
// closed when its batch has been answered.
//
// Those in the middle of a file go in batches of their own, each with two
// descriptors: an older build refuses such a batch as a whole.
//
// What a receiver has no room for now is offered again by timer, in smaller
// batches; what it can't serve stays here until the next round, but one that
// was in the middle of a file only until that is sent.
//
// Belongs to the loop's thread.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "net/connection_table.h"
#include "net/event_loop.h"
#include "net/fd_channel.h"
#include "net/fd_inlet.h"
#include "net/unique_fd.h"
#include "worker/handover_messages.h"

namespace baton {

class HandoverSender final : private SafePointObserver, private LoopClient {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    // Every connection that was at a safe point when it began has been passed,
    // or is not taken, or not now; told once.
    virtual void OnPassed() = 0;
    // A channel of that round, the newest, has ended.
    virtual void OnChannelEnd(uint64_t round) = 0;
  };
  // After a refusal for lack of something, or a Send that has to wait; twice as
  // long each time in a row.
  static constexpr absl::Duration kRetry = absl::Milliseconds(50);
  static constexpr absl::Duration kLongestRetry = absl::Seconds(1);

  // Both outlive the sender.
  HandoverSender(ConnectionTable& table, Observer& observer);
  ~HandoverSender() override;

  // From now on connections go to the channels of this round, of which there
  // may be none yet.
  void BeginRound(uint64_t round);
  // Of that round, or ignored.
  void AddChannel(uint64_t round, FdChannel channel);
  // Nothing more is offered. What is unanswered is settled as it comes.
  void Stop();

 private:
  struct Moving {
    uint32_t index;
    uint32_t generation;
  };
  struct Line;

  void OnSafePoint(internal::ConnectionCore& core) override;
  void OnEvents(uint32_t /*index*/, uint32_t /*generation*/,
                uint32_t /*events*/) override;
  void OnTimer(TimerNode* /*node*/) override {}

  void EndIdleLines();
  void PumpSoon();
  void Pump();
  bool IsFree(const Line& line) const;
  void SendBatch(Line& line, size_t most);
  std::vector<int> FillBatch(HandoverBatch& batch, Line& line, size_t most);
  FdChannel::SendResult SendTo(Line& line, const HandoverBatch& batch,
                               std::vector<int>& fds);
  absl::string_view UrlOf(const internal::ConnectionCore& core);
  void OnLine(uint32_t id);
  bool OnAnswer(Line& line, absl::string_view message);
  void EndLine(uint32_t id);
  void PutBack(Line& line);
  void GiveAway(const Moving& moving);
  void Reattach(const Moving& moving, bool offer);
  void RetryStranded();
  void ReportPassed();

  ConnectionTable& table_;
  Observer& observer_;
  const uint8_t client_;
  bool pump_queued_ = false;
  bool stopped_ = false;
  bool passed_reported_ = false;
  uint64_t round_ = 0;
  uint64_t last_batch_ = 0;
  uint32_t last_line_ = 0;
  std::map<uint32_t, std::unique_ptr<Line>> lines_;
  std::deque<Moving> offered_;
  std::vector<Moving> stranded_;  // epoll has not taken them back yet
  Timer stranded_retry_;
  // By the number of the connection's settings: the URL as it is sent.
  std::vector<std::string> urls_;
};

}  // namespace baton

#endif  // BATON_WORKER_HANDOVER_SENDER_H_
