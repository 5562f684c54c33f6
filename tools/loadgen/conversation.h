#ifndef BATON_TOOLS_LOADGEN_CONVERSATION_H_
#define BATON_TOOLS_LOADGEN_CONVERSATION_H_

// Problem: the engine moves bytes, keeps time and counts; what the bytes are
// and whether an answer is right differs by protocol. The two meet here.
//
// A Conversation is the protocol's side of one connection: one exchange after
// the other, each a message to send and an answer to check. It does no I/O.
// The engine calls
//
//   Begin()                          once an exchange
//   Pending(), Sent()                while there is something to send
//   Received() / UrgentReceived()    as bytes arrive, in any pieces
//   Ended()                          when the peer has closed its direction
//
// until Sent() or one of the last three gives a verdict other than kMore. After
// that nothing but Begin(), complaint() or peer_closes() may be called.
//
// Contract
// * Begin() starts afresh whatever came before, also in mid-exchange: a
//   Conversation outlives the connections it is used for.
// * A Conversation borrows from the Protocol that made it, which must live
//   longer. Views it returns are valid until the next call.
// * What the peer does is never an error of these functions but a verdict.
// * Not thread-safe.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "tools/loadgen/load_target.h"

namespace baton::loadgen {

enum class Verdict {
  kMore,     // the exchange is not over
  kDone,     // over, and the answer is right
  kRefused,  // over, a proper answer, but not of success (an HTTP status)
  kWrong,    // not what was to be answered: the connection is of no use now
};

struct Exchange {
  uint64_t connection = 0;  // unique in the run
  uint64_t sequence = 0;    // on this connection, from 0
  bool last = false;        // the connection ends after it
};

class Conversation {
 public:
  virtual ~Conversation() = default;

  virtual void Begin(const Exchange& exchange) = 0;
  // The next bytes to send; empty when all are sent (up to a due urgent byte).
  virtual absl::string_view Pending() = 0;
  virtual Verdict Sent(int64_t bytes) = 0;
  virtual Verdict Received(absl::string_view bytes) = 0;
  // By default an answer that ends here is cut short; the engine counts kMore
  // as end of file.
  virtual Verdict Ended() { return Verdict::kMore; }

  // An urgent byte has to go before what Pending() gives; then UrgentSent().
  virtual bool UrgentDue() const { return false; }
  virtual char UrgentByte() const { return 0; }
  virtual void UrgentSent() {}
  virtual bool UrgentAwaited() const { return false; }
  virtual Verdict UrgentReceived(char) { return Verdict::kWrong; }

  // After kDone and kRefused: the peer said that it will close.
  virtual bool peer_closes() const { return false; }
  // After kWrong and kRefused: what was the matter, for people.
  virtual std::string complaint() const = 0;
};

class Protocol {
 public:
  virtual ~Protocol() = default;

  virtual std::unique_ptr<Conversation> NewConversation() = 0;
  // A connection is not just closed at its end: the client shuts its direction
  // down and the server must close in answer, without a byte. Where nothing is
  // answered this is the only proof that all of it was read: a socket closed
  // with unread bytes sends a reset, not an end (tcp(7), RFC 2525 2.17).
  virtual bool ends_by_half_close() const { return false; }
};

struct MessageShape {
  int64_t bytes = 64;
  // Stream echo: an urgent byte goes in the middle of each message, and must
  // come back urgent.
  bool urgent = false;
};

std::unique_ptr<Protocol> MakeEchoProtocol(const MessageShape& shape);
std::unique_ptr<Protocol> MakeDiscardProtocol(const MessageShape& shape);
// GET of target.path, keep-alive; "Connection: close" on the last exchange.
std::unique_ptr<Protocol> MakeHttpProtocol(const LoadTarget& target);

}  // namespace baton::loadgen

#endif  // BATON_TOOLS_LOADGEN_CONVERSATION_H_
