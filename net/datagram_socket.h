#ifndef BATON_NET_DATAGRAM_SOCKET_H_
#define BATON_NET_DATAGRAM_SOCKET_H_

// Problem: with a system call for each datagram in and one for each answer, the
// calls cost more than the work; and a server bound to 0.0.0.0 on a host with
// several addresses answers from one that the client did not ask, which drops
// the answer.
//
// DatagramBatch serves bound datagram sockets: one recvmmsg brings up to
// kBatch datagrams, a handler sees each, and their answers leave by one
// sendmmsg. A worker has one of these for all its datagram sockets, and with it
// all the memory: nothing is allocated a datagram.
//
// Contract
// * Serve() handles at most one batch, so that a turn of the loop is bounded,
//   and says whether there may be more. With edge-triggered epoll, kMore means
//   that the loop comes back without a new event.
// * The handler gets the bytes (none is a valid datagram) and the peer; both
//   are valid during the call only. It may answer any number of times. Answers
//   leave at the end of Serve(), earlier when kBatch of them wait.
// * Sending never waits. What the kernel does not take (its queue is full, the
//   answer is too long, a firewall refuses) is dropped and counted: to a
//   datagram's sender that is one lost on the way. A failed answer does not
//   keep the others back.
// * An answer leaves from the address that the question was sent to, on sockets
//   with SetReceivePacketInfo (OpenListener sets it for wildcards).
// * No datagram of UDP is longer than kMaxBytes, so none is cut off.
// * The descriptors are used, not owned. One thread.

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "net/endpoint.h"
#include "net/traffic_counters.h"

namespace baton {

class DatagramBatch;

// Who sent the datagram at hand.
class DatagramPeer {
 public:
  Endpoint endpoint() const;

  // Queues an answer. Bytes that lie within the datagram at hand are sent from
  // where they are; others are copied, so they need not outlive the call.
  void Reply(absl::string_view bytes);

 private:
  friend class DatagramBatch;
  DatagramPeer(DatagramBatch& batch, size_t index)
      : batch_(batch), index_(index) {}

  DatagramBatch& batch_;
  const size_t index_;
};

class DatagramBatch {
 public:
  static constexpr size_t kBatch = 32;
  // The length field of UDP has 16 bits - RFC 768.
  static constexpr size_t kMaxBytes = 65536;

  using Handler =
      absl::FunctionRef<void(absl::string_view bytes, DatagramPeer& peer)>;

  enum class Turn {
    kDrained,  // nothing is left: wait for EPOLLIN
    kMore,     // the batch was full: come back
    kError,    // recvmmsg failed with `errnum`: come back by timer, for it may
               // fail again
  };
  struct Result {
    Turn turn;
    int errnum = 0;
  };

  DatagramBatch();
  DatagramBatch(const DatagramBatch&) = delete;
  DatagramBatch& operator=(const DatagramBatch&) = delete;

  // `fd` is non-blocking and bound. Not from within a handler.
  Result Serve(int fd, Handler handler, TrafficCounters& counters);

 private:
  friend class DatagramPeer;

  // One datagram in: where the kernel writes it, its sender and the local
  // address. An answer's message header points into these.
  struct In {
    sockaddr_storage name;
    alignas(cmsghdr) std::array<char, 64> control;
    iovec bytes;
  };

  char* InBytes(size_t index) { return in_bytes_.get() + index * kMaxBytes; }
  char* OutBytes(size_t index) { return out_bytes_.get() + index * kMaxBytes; }

  void PrepareIn(size_t index);
  void QueueReply(size_t index, absl::string_view bytes);
  void Flush();

  // Pages of these are touched only as datagrams need them.
  const std::unique_ptr<char[]> in_bytes_;
  const std::unique_ptr<char[]> out_bytes_;
  std::array<In, kBatch> in_;
  std::array<mmsghdr, kBatch> in_headers_ = {};
  std::array<iovec, kBatch> out_;
  std::array<mmsghdr, kBatch> out_headers_ = {};
  size_t queued_ = 0;  // answers in out_

  // Of the Serve() that runs.
  int fd_ = -1;
  TrafficCounters* counters_ = nullptr;
};

}  // namespace baton

#endif  // BATON_NET_DATAGRAM_SOCKET_H_
