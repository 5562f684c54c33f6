#ifndef BATON_MASTER_MASTER_CLIENT_H_
#define BATON_MASTER_MASTER_CLIENT_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "master/inquiry.h"
#include "net/event_loop.h"
#include "net/fd_channel.h"
#include "net/task.h"

namespace baton {

// The admin's and the control child's line to their master. Belongs to the
// loop's thread, which has one; it lives as long as the process.
//
// However many clients ask, the master hears one question of each kind at a
// time: who asks meanwhile gets the same answer. Commands are each for
// themselves.
class MasterClient final : private EventHandler {
 public:
  // `channel` stays unused until Start.
  MasterClient(FdChannel channel, uid_t master_uid)
      : channel_(std::move(channel)), master_uid_(master_uid) {}

  // Of this process; CHECKs that there is one.
  static MasterClient& Current();
  void MakeCurrent();

  // On the loop.
  absl::Status Start();

  // The master's user.
  uid_t master_uid() const { return master_uid_; }

  // Answers 503 if the master does not within `patience`, or is gone.
  Task<Answer> Ask(Question question, uint32_t argument,
                   absl::Duration patience);

 private:
  class Wait;

  Task<Answer> AwaitAnswer(Question question, uint32_t argument);
  bool Send(const Inquiry& inquiry);
  void OnEvents(uint32_t events) override;
  void OnAnswer(const FdChannel::Received& received);
  void EndAll();

  FdChannel channel_;
  const uid_t master_uid_;
  FdWatch watch_;
  bool gone_ = false;
  uint64_t last_ticket_ = 0;
  std::multimap<uint64_t, Wait*> waits_;  // by ticket
  std::map<Question, uint64_t> asked_;    // of those that are no commands
};

}  // namespace baton

#endif  // BATON_MASTER_MASTER_CLIENT_H_
