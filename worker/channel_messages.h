#ifndef BATON_WORKER_CHANNEL_MESSAGES_H_
#define BATON_WORKER_CHANNEL_MESSAGES_H_

// What a master and a worker say to each other over their channel.
//
// The two ends are not always the same build: workers of an old binary live on
// beside a new master until their last connection ends. And the ends do not
// trust each other alike: a worker that has run wild may write anything, so the
// master takes each message as a claim by that worker about itself, never as a
// length, a pointer or another worker's name.
//
// One message is one packet of a SOCK_SEQPACKET pair (net/fd_channel.h):
//
//   u16 type | u16 version | u32 payload length | payload
//
// little-endian. A version only ever appends fields to the payload, so a reader
// takes the fields that it knows and ignores the rest:
//   * a type that it does not know is an UnknownMessage: note it and go on;
//   * a version newer than its own decodes, and `newer` is set;
//   * less than what the version promises, or a length that is not the
//     packet's, is an error: the peer is broken.
//
// The order of a worker's life:
//   worker kReady -> master kServe -> worker kServing -> ...
//   master kStopAccepting -> worker kAcceptStopped
//   master kHandOver -> worker kPassed, kPinned, kHandoverBroken
//   when nothing is left, or after master kDrain: worker kDrained, and it exits
// and at any time worker kReplaceMe, kRecycleMe, kFull, master kReopenLog,
// kReopenAccessLog, kStop; while it serves, master kAdopt, kAdoptRemoved,
// kRelease and kTakeOver, worker kAdoptFailed and kReleased.
//
// Pure functions, thread-safe.

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "worker/log_line.h"
#include "worker/sockets_id.h"

namespace baton {

// --- master to worker

// Add your listeners to your epoll set and accept. Answered by kServing.
struct ServeMessage {
  bool operator==(const ServeMessage&) const = default;
};

// Accept until EAGAIN, then close the listeners. Answered by kAcceptStopped.
struct StopAcceptingMessage {
  // The server itself is stopping: shutdown(2) the listeners right after the
  // last EAGAIN, so that a late client is refused at once. Otherwise a
  // successor accepts from the same sockets, and shutdown would stop it too.
  bool shut_down_listeners = false;

  bool operator==(const StopAcceptingMessage&) const = default;
};

// End each connection as it becomes idle, then say kDrained and exit 0. What is
// left after `timeout` is shut down. InfiniteDuration() = as long as it takes.
struct DrainMessage {
  absl::Duration timeout = absl::InfiniteDuration();

  bool operator==(const DrainMessage&) const = default;
};

// Pass each connection on as it becomes idle, serve those that do not, and when
// none is left say kDrained and exit 0. The channels that come with this
// message lead to other workers (worker/handover_messages.h), to all alike. A
// message of a newer round ends the channels of older ones; one without a
// channel says that there is nobody yet.
struct HandOverMessage {
  uint64_t round = 0;
  // Counted from the first of these, and what is left then is shut down.
  // InfiniteDuration() = as long as it takes.
  absl::Duration timeout = absl::InfiniteDuration();

  bool operator==(const HandOverMessage&) const = default;
};

// The channel that comes with this message brings connections of another
// worker, which has so many.
struct TakeOverMessage {
  uint64_t expected = 0;

  bool operator==(const TakeOverMessage&) const = default;
};

// Shut everything down and exit, at once.
struct StopMessage {
  bool operator==(const StopMessage&) const = default;
};

// Log to the one descriptor that comes with this message from now on, like
// this.
struct ReopenLogMessage {
  LogFormat format = LogFormat::kText;

  bool operator==(const ReopenLogMessage&) const = default;
};

// The access log that your listeners have under this path is the one descriptor
// that comes with this message from now on.
struct ReopenAccessLogMessage {
  std::string path;  // shorter than kMaxListenUrlBytes

  bool operator==(const ReopenAccessLogMessage&) const = default;
};

// Accept from these sockets of another slot too: one descriptor for each of
// your TCP and UDP listeners from number `first` on, in your order. Long lists
// come in several messages.
struct AdoptMessage {
  SocketsId slot = 0;
  uint32_t first = 0;

  bool operator==(const AdoptMessage&) const = default;
};

// Accept from these sockets of a listener that your configuration has no more.
// Several of them, and several messages for one, belong to the same removal.
struct AdoptRemovedMessage {
  SocketsId sockets = kFirstRemoved;
  std::string url;  // at most kMaxListenUrlBytes

  bool operator==(const AdoptRemovedMessage&) const = default;
};

// Accept until EAGAIN, then close what you have of these. Answered by
// kReleased.
struct ReleaseMessage {
  SocketsId sockets = 0;
  uint64_t ticket = 0;  // for the answer

  bool operator==(const ReleaseMessage&) const = default;
};

// --- worker to master

// Services are built and the loop turns; nothing is accepted yet.
struct ReadyMessage {
  bool operator==(const ReadyMessage&) const = default;
};

// All listeners are in the epoll set.
struct ServingMessage {
  bool operator==(const ServingMessage&) const = default;
};

struct AcceptStoppedMessage {
  bool operator==(const AcceptStoppedMessage&) const = default;
};

// The last message before the exit. A connection counts as cut when a request
// was in progress on it; closing an idle one is no cut.
struct DrainedMessage {
  uint64_t connections_cut = 0;

  bool operator==(const DrainedMessage&) const = default;
};

// The worker was asked (SIGTERM) to be replaced; it goes on until told.
struct ReplaceMeMessage {
  bool operator==(const ReplaceMeMessage&) const = default;
};

// It has served as many requests as --max_requests says: any time will do.
struct RecycleMeMessage {
  bool operator==(const RecycleMeMessage&) const = default;
};

// After kHandOver: the connections that were idle have been passed on, or will
// not be taken. So many are left.
struct PassedMessage {
  uint64_t left = 0;

  bool operator==(const PassedMessage&) const = default;
};

// A channel of this round has ended. The worker serves on.
struct HandoverBrokenMessage {
  uint64_t round = 0;

  bool operator==(const HandoverBrokenMessage&) const = default;
};

// After kHandOver, when it changes: what keeps the worker.
struct PinnedMessage {
  uint64_t connections = 0;
  // Of the oldest one: since when it is open, in which service, who it is with.
  absl::Duration oldest_age;
  std::string service;
  std::string peer;
  uint64_t handlers = 0;  // that have no connection any more
  uint64_t jobs = 0;      // of the pool, that somebody waits for

  bool operator==(const PinnedMessage&) const = default;
};

// `emptied`: it came to EAGAIN everywhere. If not (it is full, say), somebody
// else has to see to what is still queued.
struct ReleasedMessage {
  SocketsId sockets = 0;
  uint64_t ticket = 0;
  bool emptied = false;

  bool operator==(const ReleasedMessage&) const = default;
};

// From some of what kAdopt or kAdoptRemoved brought it does not accept: no
// descriptor or memory was left, or its services do not have that listener.
struct AdoptFailedMessage {
  SocketsId sockets = 0;

  bool operator==(const AdoptFailedMessage&) const = default;
};

// At least one listener waits: a limit is reached, or descriptors or memory are
// out; or none does any more.
struct FullMessage {
  bool full = false;

  bool operator==(const FullMessage&) const = default;
};

// --- either way

struct UnknownMessage {
  uint16_t type = 0;

  bool operator==(const UnknownMessage&) const = default;
};

using ChannelMessage = std::variant<
    ServeMessage, StopAcceptingMessage, DrainMessage, StopMessage,
    ReopenLogMessage, ReopenAccessLogMessage, AdoptMessage, AdoptRemovedMessage,
    ReleaseMessage, HandOverMessage, TakeOverMessage, ReadyMessage,
    ServingMessage, AcceptStoppedMessage, DrainedMessage, ReplaceMeMessage,
    RecycleMeMessage, PassedMessage, HandoverBrokenMessage, PinnedMessage,
    ReleasedMessage, AdoptFailedMessage, FullMessage, UnknownMessage>;

// The version of every type so far.
inline constexpr uint16_t kChannelVersion = 1;
inline constexpr uint16_t kOldestChannelVersion = 1;  // that this build reads

// Longer packets are not ours.
inline constexpr size_t kMaxChannelMessageBytes = 4096;

// An UnknownMessage can't be encoded (CHECKs).
std::string EncodeMessage(const ChannelMessage& message);

struct DecodedMessage {
  ChannelMessage message;
  bool newer = false;  // of a version that this build does not know in full
};
absl::StatusOr<DecodedMessage> DecodeMessage(absl::string_view packet);

// "serve", "drained", "unknown 77": for logs.
std::string MessageName(const ChannelMessage& message);

}  // namespace baton

#endif  // BATON_WORKER_CHANNEL_MESSAGES_H_
