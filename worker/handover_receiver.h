#ifndef BATON_WORKER_HANDOVER_RECEIVER_H_
#define BATON_WORKER_HANDOVER_RECEIVER_H_

// Takes over the connections of workers that leave.
//
// A batch is first made ready as a whole: each connection gets its place, its
// listener, its state, its unread bytes, the file in whose middle it is, and
// stands in epoll. Then it is answered, and only then does a handler read:
// until the answer is on its way they are the sender's. What can't be made
// ready is closed here and refused; the sender has kept its copy.
//
// Limits on admission do not apply: these clients were admitted before. But for
// a while so many places are kept free of new ones as the sender is said to
// have connections.
//
// It trusts a sender no more than a client: whatever the bytes, the connection
// is refused or the channel closed.
//
// Belongs to the loop's thread.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/connection_table.h"
#include "net/event_loop.h"
#include "net/fd_channel.h"
#include "net/scope.h"
#include "net/unique_fd.h"
#include "worker/connection_limits.h"
#include "worker/handover_messages.h"
#include "worker/listener_set.h"

namespace baton {

class HandoverReceiver {
 public:
  // What received connections live in; outlives the receiver.
  struct Home {
    ListenerSet& listeners;
    ConnectionLimits& limits;
    ConnectionTable& table;
    Scope& connections;
    // More than its descriptors allow it has no room for; this one limit holds
    // for received connections, too.
    int64_t most_connections;
  };
  // How long places are kept.
  static constexpr absl::Duration kReservationLasts = absl::Seconds(2);
  // After an answer that could not be sent.
  static constexpr absl::Duration kRetry = absl::Milliseconds(50);

  explicit HandoverReceiver(const Home& home);
  ~HandoverReceiver();

  // A worker with `expected` connections has the other end.
  void Take(FdChannel channel, int64_t expected);
  // Takes what has been sent, and no further batch: who sends one keeps what is
  // in it.
  void Stop();

 private:
  struct Line;
  // One that is taken, and starts when that is said.
  struct Taken {
    internal::ConnectionCore* core;
    StreamHandler handler;
  };

  void OnLine(uint32_t id);
  void ReadLine(uint32_t id);
  bool OnBatch(Line& line, absl::string_view message,
               std::vector<UniqueFd> fds);
  std::vector<HandoverResult> TakeAll(
      Line& line, const std::vector<HandoverConnection>& connections,
      std::vector<UniqueFd> fds);
  const std::optional<ListenerSet::Admission>& AdmissionFor(
      Line& line, const std::string& listener);
  HandoverResult TakeOne(Line& line, const HandoverConnection& connection,
                         const ListenerSet::Admission& admission, UniqueFd fd,
                         UniqueFd file);
  bool RefuseAll(Line& line, const HandoverHeader& header,
                 HandoverResult result);
  bool SendAnswer(Line& line);
  void StartTaken(Line& line);
  void EndLine(uint32_t id);
  void Unreserve(Line& line, int64_t count);

  const Home home_;
  uint32_t last_line_ = 0;
  std::map<uint32_t, std::unique_ptr<Line>> lines_;
  bool stopped_ = false;
  Timer retry_;
};

}  // namespace baton

#endif  // BATON_WORKER_HANDOVER_RECEIVER_H_
