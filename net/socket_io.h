#ifndef BATON_NET_SOCKET_IO_H_
#define BATON_NET_SOCKET_IO_H_

// recv(2) and send(2) as they are made for every request. In a process with
// threads, which a worker is for its job pool, those of glibc open and close a
// window for pthread_cancel around the call (pthreads(7), cancellation points):
// 60 instructions each, for something that is never used here. Sanitizers see
// memory through glibc's own.

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstddef>

namespace baton::internal {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BATON_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BATON_SANITIZED 1
#endif
#endif

inline ssize_t ReceiveFrom(int fd, char* data, size_t size) {
#ifdef BATON_SANITIZED
  return recv(fd, data, size, 0);
#else
  return syscall(SYS_recvfrom, fd, data, size, 0, nullptr, nullptr);
#endif
}

inline ssize_t SendTo(int fd, const char* data, size_t size) {
#ifdef BATON_SANITIZED
  return send(fd, data, size, MSG_NOSIGNAL);
#else
  return syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, nullptr, 0);
#endif
}

#undef BATON_SANITIZED

}  // namespace baton::internal

#endif  // BATON_NET_SOCKET_IO_H_
