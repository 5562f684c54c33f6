#ifndef BATON_NET_FD_CHANNEL_H_
#define BATON_NET_FD_CHANNEL_H_

// Problem: processes hand each other descriptors, and every way in which that
// fails is silent. A stream splits messages and loses track of which
// descriptors belong to which; a receiver without room in its table gets some
// of them and the kernel closes the rest; a received descriptor that nobody
// looks at is leaked; an empty message looks like the end.
//
// FdChannel is one end of a connected AF_UNIX SOCK_SEQPACKET pair: whole
// messages, each with up to 253 descriptors, in order, and an end that is told
// apart from "nothing yet".
//
// Contract
// * A message is 1 to kMaxMessageBytes bytes and at most kMaxFds descriptors;
//   to send anything else is a bug and CHECKs. 254 descriptors would be EINVAL
//   (SCM_MAX_FD), and an empty message would read as the end - unix(7).
// * Send copies nothing and keeps nothing: the caller's descriptors stay his,
//   the receiver gets copies. While a message is in the queue, it holds them
//   open.
// * Receive owns what it took: each descriptor comes as a UniqueFd,
//   close-on-exec. If one did not fit (MSG_CTRUNC: no room in this process's
//   table), or the bytes did not, the message is kTruncated: its bytes are
//   there, so that it can be refused by name, and its descriptors are closed.
// * Never blocks. After kAgain wait for EPOLLOUT or EPOLLIN; kLater has no
//   event that ends it: try again by timer.
// * What the peer sent before it died is received before kEof.
// * Trusts nothing: bytes and number of descriptors are what the peer chose.
// * One thread at a time. Moving keeps `bytes` of the last message valid.

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "net/unique_fd.h"

namespace baton {

class FdChannel {
 public:
  static constexpr size_t kMaxMessageBytes = 64 * 1024;
  static constexpr size_t kMaxFds = 253;

  enum class SendCode {
    kSent,
    kAgain,  // the peer's queue is full: wait for EPOLLOUT
    kLater,  // too many descriptors of this user in flight, or no memory
    kEof,    // the peer is gone
    kError,  // `errnum` says what
  };
  struct SendResult {
    SendCode code;
    int errnum = 0;  // of kLater and kError
  };

  enum class ReceiveCode {
    kMessage,
    kAgain,      // nothing there: wait for EPOLLIN
    kEof,        // the peer is gone and everything it sent was received
    kTruncated,  // `bytes` are there (perhaps cut), the descriptors are not
    kError,      // `errnum` says what
  };
  struct Received {
    ReceiveCode code;
    int errnum = 0;
    // In a buffer of the channel: valid until the next Receive.
    absl::string_view bytes = {};
    std::vector<UniqueFd> fds = {};
  };

  // Two connected ends, non-blocking and close-on-exec.
  // Errors: the errno's code (no descriptors left, for one).
  static absl::StatusOr<std::pair<FdChannel, FdChannel>> CreatePair();

  // An end that does not exist: fd() is -1, and Send and Receive CHECK.
  FdChannel() = default;
  // Takes over one end of a pair that CreatePair made, here or in the process
  // that this one was forked or executed from.
  explicit FdChannel(UniqueFd fd) : fd_(std::move(fd)) {}

  FdChannel(FdChannel&&) = default;
  FdChannel& operator=(FdChannel&&) = default;

  // For epoll; still owned here.
  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }

  SendResult Send(absl::string_view bytes, absl::Span<const int> fds = {});
  Received Receive();

 private:
  UniqueFd fd_;
  // Made by the first Receive; the kernel touches only the pages it fills.
  std::unique_ptr<char[]> buffer_;
};

}  // namespace baton

#endif  // BATON_NET_FD_CHANNEL_H_
