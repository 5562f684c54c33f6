#ifndef BATON_NET_TRANSPORT_H_
#define BATON_NET_TRANSPORT_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace baton {

// What a connection reads from and writes to when it is not a plain socket:
// memory in tests, TLS later. A plain socket has no Transport object; the
// connection makes the system calls itself, at the price of one flag test.
//
// Calls behave like the non-blocking system calls: a count, 0 from Read at the
// end, or -errno (-EAGAIN: an edge will follow, told by
// ConnectionTable::OnEvents of the connection).
class Transport {
 public:
  virtual ~Transport() = default;
  virtual ssize_t Read(char* data, size_t size) = 0;
  virtual ssize_t Write(const iovec* parts, int count) = 0;
  // The byte out of band, if there is one: 1 or -errno. See recv(2), MSG_OOB.
  virtual ssize_t ReadUrgent(char* byte) = 0;
  virtual ssize_t WriteUrgent(char byte) = 0;
  // Bytes that were taken but have not reached the peer.
  virtual int64_t Unsent() = 0;
  virtual void ShutdownWrite() = 0;
};

}  // namespace baton

#endif  // BATON_NET_TRANSPORT_H_
