#include "worker/channel_messages.h"

#include <cstddef>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/wire.h"

namespace baton {
namespace {

// Numbers on the wire: never reuse one.
enum class Type : uint16_t {
  kServe = 1,
  kStopAccepting = 2,
  kDrain = 3,
  kStop = 4,
  kReopenLog = 5,
  kAdopt = 6,
  kRelease = 7,
  kAdoptRemoved = 8,
  kHandOver = 9,
  kTakeOver = 10,
  kReopenAccessLog = 11,
  kReady = 65,
  kServing = 66,
  kAcceptStopped = 67,
  kDrained = 68,
  kReplaceMe = 69,
  kReleased = 70,
  kFull = 71,
  kAdoptFailed = 72,
  kRecycleMe = 73,
  kPassed = 74,
  kHandoverBroken = 75,
  kPinned = 76,
};

constexpr size_t kHeaderBytes = 8;
constexpr uint64_t kForeverMs = std::numeric_limits<uint64_t>::max();

uint64_t DurationToWire(absl::Duration timeout) {
  if (timeout == absl::InfiniteDuration()) return kForeverMs;
  CHECK_GE(timeout, absl::ZeroDuration());
  // Rounded up: a time-out of 0.3 ms is not "at once".
  return static_cast<uint64_t>(
      absl::ToInt64Milliseconds(absl::Ceil(timeout, absl::Milliseconds(1))));
}

absl::Duration DurationFromWire(uint64_t ms) {
  if (ms > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return absl::InfiniteDuration();
  }
  return absl::Milliseconds(static_cast<int64_t>(ms));
}

struct Encoded {
  Type type;
  std::string payload;
};

struct Encoder {
  Encoded operator()(const ServeMessage&) { return {Type::kServe, ""}; }
  Encoded operator()(const StopAcceptingMessage& message) {
    Encoded out{Type::kStopAccepting, ""};
    PutInt<uint8_t>(out.payload, message.shut_down_listeners ? 1 : 0);
    return out;
  }
  Encoded operator()(const DrainMessage& message) {
    Encoded out{Type::kDrain, ""};
    PutInt<uint64_t>(out.payload, DurationToWire(message.timeout));
    return out;
  }
  Encoded operator()(const StopMessage&) { return {Type::kStop, ""}; }
  Encoded operator()(const ReopenLogMessage& message) {
    Encoded out{Type::kReopenLog, ""};
    PutInt<uint8_t>(out.payload, message.format == LogFormat::kJson ? 1 : 0);
    return out;
  }
  Encoded operator()(const ReopenAccessLogMessage& message) {
    Encoded out{Type::kReopenAccessLog, ""};
    PutText(out.payload, message.path);
    return out;
  }
  Encoded operator()(const AdoptMessage& message) {
    Encoded out{Type::kAdopt, ""};
    PutInt<uint32_t>(out.payload, message.slot);
    PutInt<uint32_t>(out.payload, message.first);
    return out;
  }
  Encoded operator()(const AdoptRemovedMessage& message) {
    Encoded out{Type::kAdoptRemoved, ""};
    PutInt<uint32_t>(out.payload, message.sockets);
    PutText(out.payload, message.url);
    return out;
  }
  Encoded operator()(const ReleaseMessage& message) {
    Encoded out{Type::kRelease, ""};
    PutInt<uint32_t>(out.payload, message.sockets);
    PutInt<uint64_t>(out.payload, message.ticket);
    return out;
  }
  Encoded operator()(const ReleasedMessage& message) {
    Encoded out{Type::kReleased, ""};
    PutInt<uint32_t>(out.payload, message.sockets);
    PutInt<uint64_t>(out.payload, message.ticket);
    PutInt<uint8_t>(out.payload, message.emptied ? 1 : 0);
    return out;
  }
  Encoded operator()(const AdoptFailedMessage& message) {
    Encoded out{Type::kAdoptFailed, ""};
    PutInt<uint32_t>(out.payload, message.sockets);
    return out;
  }
  Encoded operator()(const FullMessage& message) {
    Encoded out{Type::kFull, ""};
    PutInt<uint8_t>(out.payload, message.full ? 1 : 0);
    return out;
  }
  Encoded operator()(const ReadyMessage&) { return {Type::kReady, ""}; }
  Encoded operator()(const ServingMessage&) { return {Type::kServing, ""}; }
  Encoded operator()(const AcceptStoppedMessage&) {
    return {Type::kAcceptStopped, ""};
  }
  Encoded operator()(const DrainedMessage& message) {
    Encoded out{Type::kDrained, ""};
    PutInt<uint64_t>(out.payload, message.connections_cut);
    return out;
  }
  Encoded operator()(const ReplaceMeMessage&) { return {Type::kReplaceMe, ""}; }
  Encoded operator()(const RecycleMeMessage&) { return {Type::kRecycleMe, ""}; }
  Encoded operator()(const HandOverMessage& message) {
    Encoded out{Type::kHandOver, ""};
    PutInt<uint64_t>(out.payload, message.round);
    PutInt<uint64_t>(out.payload, DurationToWire(message.timeout));
    return out;
  }
  Encoded operator()(const TakeOverMessage& message) {
    Encoded out{Type::kTakeOver, ""};
    PutInt<uint64_t>(out.payload, message.expected);
    return out;
  }
  Encoded operator()(const PassedMessage& message) {
    Encoded out{Type::kPassed, ""};
    PutInt<uint64_t>(out.payload, message.left);
    return out;
  }
  Encoded operator()(const HandoverBrokenMessage& message) {
    Encoded out{Type::kHandoverBroken, ""};
    PutInt<uint64_t>(out.payload, message.round);
    return out;
  }
  Encoded operator()(const PinnedMessage& message) {
    Encoded out{Type::kPinned, ""};
    PutInt<uint64_t>(out.payload, message.connections);
    PutInt<uint64_t>(out.payload, DurationToWire(message.oldest_age));
    PutText(out.payload, message.service);
    PutText(out.payload, message.peer);
    PutInt<uint64_t>(out.payload, message.handlers);
    PutInt<uint64_t>(out.payload, message.jobs);
    return out;
  }
  Encoded operator()(const UnknownMessage& message) {
    LOG(FATAL) << "encoding a message of unknown type " << message.type;
    return {};
  }
};

PinnedMessage DecodePinned(WireReader& fields) {
  PinnedMessage pinned;
  pinned.connections = fields.TakeInt<uint64_t>();
  pinned.oldest_age = DurationFromWire(fields.TakeInt<uint64_t>());
  pinned.service = fields.TakeText();
  pinned.peer = fields.TakeText();
  pinned.handlers = fields.TakeInt<uint64_t>();
  pinned.jobs = fields.TakeInt<uint64_t>();
  return pinned;
}

ChannelMessage DecodePayload(uint16_t type, WireReader& fields) {
  switch (static_cast<Type>(type)) {
    case Type::kServe:
      return ServeMessage{};
    case Type::kStopAccepting:
      return StopAcceptingMessage{fields.TakeInt<uint8_t>() != 0};
    case Type::kDrain:
      return DrainMessage{DurationFromWire(fields.TakeInt<uint64_t>())};
    case Type::kStop:
      return StopMessage{};
    case Type::kReopenLog:
      return ReopenLogMessage{
          fields.TakeInt<uint8_t>() == 1 ? LogFormat::kJson : LogFormat::kText};
    case Type::kReopenAccessLog:
      return ReopenAccessLogMessage{fields.TakeText()};
    case Type::kAdopt: {
      const auto slot = fields.TakeInt<uint32_t>();
      return AdoptMessage{slot, fields.TakeInt<uint32_t>()};
    }
    case Type::kAdoptRemoved: {
      const auto sockets = fields.TakeInt<uint32_t>();
      return AdoptRemovedMessage{sockets, fields.TakeText()};
    }
    case Type::kRelease: {
      const auto sockets = fields.TakeInt<uint32_t>();
      return ReleaseMessage{sockets, fields.TakeInt<uint64_t>()};
    }
    case Type::kReleased: {
      const auto sockets = fields.TakeInt<uint32_t>();
      const auto ticket = fields.TakeInt<uint64_t>();
      return ReleasedMessage{sockets, ticket, fields.TakeInt<uint8_t>() != 0};
    }
    case Type::kAdoptFailed:
      return AdoptFailedMessage{fields.TakeInt<uint32_t>()};
    case Type::kFull:
      return FullMessage{fields.TakeInt<uint8_t>() != 0};
    case Type::kReady:
      return ReadyMessage{};
    case Type::kServing:
      return ServingMessage{};
    case Type::kAcceptStopped:
      return AcceptStoppedMessage{};
    case Type::kDrained:
      return DrainedMessage{fields.TakeInt<uint64_t>()};
    case Type::kReplaceMe:
      return ReplaceMeMessage{};
    case Type::kRecycleMe:
      return RecycleMeMessage{};
    case Type::kHandOver: {
      const auto round = fields.TakeInt<uint64_t>();
      return HandOverMessage{round,
                             DurationFromWire(fields.TakeInt<uint64_t>())};
    }
    case Type::kTakeOver:
      return TakeOverMessage{fields.TakeInt<uint64_t>()};
    case Type::kPassed:
      return PassedMessage{fields.TakeInt<uint64_t>()};
    case Type::kHandoverBroken:
      return HandoverBrokenMessage{fields.TakeInt<uint64_t>()};
    case Type::kPinned:
      return DecodePinned(fields);
  }
  return UnknownMessage{type};
}

}  // namespace

std::string EncodeMessage(const ChannelMessage& message) {
  const Encoded encoded = std::visit(Encoder{}, message);
  std::string out;
  PutInt<uint16_t>(out, static_cast<uint16_t>(encoded.type));
  PutInt<uint16_t>(out, kChannelVersion);
  PutInt<uint32_t>(out, static_cast<uint32_t>(encoded.payload.size()));
  return out + encoded.payload;
}

absl::StatusOr<DecodedMessage> DecodeMessage(absl::string_view packet) {
  WireReader header(packet);
  const auto type = header.TakeInt<uint16_t>();
  const auto version = header.TakeInt<uint16_t>();
  const auto length = header.TakeInt<uint32_t>();
  if (header.failed()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "channel message of ", packet.size(), " bytes: shorter than its ",
        kHeaderBytes, "-byte header"));
  }
  if (length != header.rest().size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("channel message of type ", type, " announces ", length,
                     " bytes of payload and brings ", header.rest().size()));
  }
  if (version == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("channel message of type ", type, " has version 0"));
  }
  WireReader fields(header.rest());
  DecodedMessage decoded{DecodePayload(type, fields),
                         version > kChannelVersion};
  if (fields.failed()) {
    return absl::InvalidArgumentError(
        absl::StrCat("channel message ", MessageName(decoded.message),
                     " ends in the middle of a field"));
  }
  return decoded;
}

std::string MessageName(const ChannelMessage& message) {
  struct Namer {
    std::string operator()(const ServeMessage&) { return "serve"; }
    std::string operator()(const StopAcceptingMessage&) {
      return "stop_accepting";
    }
    std::string operator()(const DrainMessage&) { return "drain"; }
    std::string operator()(const StopMessage&) { return "stop"; }
    std::string operator()(const ReopenLogMessage&) { return "reopen_log"; }
    std::string operator()(const ReopenAccessLogMessage&) {
      return "reopen_access_log";
    }
    std::string operator()(const AdoptMessage&) { return "adopt"; }
    std::string operator()(const AdoptRemovedMessage&) {
      return "adopt_removed";
    }
    std::string operator()(const AdoptFailedMessage&) { return "adopt_failed"; }
    std::string operator()(const ReleaseMessage&) { return "release"; }
    std::string operator()(const ReleasedMessage&) { return "released"; }
    std::string operator()(const FullMessage&) { return "full"; }
    std::string operator()(const ReadyMessage&) { return "ready"; }
    std::string operator()(const ServingMessage&) { return "serving"; }
    std::string operator()(const AcceptStoppedMessage&) {
      return "accept_stopped";
    }
    std::string operator()(const DrainedMessage&) { return "drained"; }
    std::string operator()(const ReplaceMeMessage&) { return "replace_me"; }
    std::string operator()(const RecycleMeMessage&) { return "recycle_me"; }
    std::string operator()(const HandOverMessage&) { return "hand_over"; }
    std::string operator()(const TakeOverMessage&) { return "take_over"; }
    std::string operator()(const PassedMessage&) { return "passed"; }
    std::string operator()(const HandoverBrokenMessage&) {
      return "handover_broken";
    }
    std::string operator()(const PinnedMessage&) { return "pinned"; }
    std::string operator()(const UnknownMessage& unknown) {
      return absl::StrCat("unknown ", unknown.type);
    }
  };
  return std::visit(Namer{}, message);
}

}  // namespace baton
