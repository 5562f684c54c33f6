#ifndef BATON_NET_SOCKET_IO_H_
#define BATON_NET_SOCKET_IO_H_

// recv(2) and send(2) as they are made for every request. In a process with
// threads, which a worker is for its job pool, those of glibc open and close a
// window for pthread_cancel around the call (pthreads(7), cancellation points):
// 60 instructions each, for something that is never used here. syscall(2) takes
// 30 to move its arguments, the call itself takes one. Sanitizers see memory
// through glibc's own.

#include <errno.h>
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

// The kernel's calling convention: syscall(2), "Architecture calling
// conventions".
inline ssize_t SocketCall(long number, int fd, const char* data, size_t size,
                          int flags) {
#if defined(__x86_64__)
  register long r10 asm("r10") = flags;
  register long r8 asm("r8") = 0;
  register long r9 asm("r9") = 0;
  long result = number;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(static_cast<long>(fd)), "S"(data), "d"(size), "r"(r10),
                 "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
#else
  return syscall(number, fd, data, size, flags, nullptr, 0);
#endif
}

inline ssize_t ReceiveFrom(int fd, char* data, size_t size) {
#ifdef BATON_SANITIZED
  return recv(fd, data, size, 0);
#else
  return SocketCall(SYS_recvfrom, fd, data, size, 0);
#endif
}

inline ssize_t SendTo(int fd, const char* data, size_t size) {
#ifdef BATON_SANITIZED
  return send(fd, data, size, MSG_NOSIGNAL);
#else
  return SocketCall(SYS_sendto, fd, data, size, MSG_NOSIGNAL);
#endif
}

#undef BATON_SANITIZED

}  // namespace baton::internal

#endif  // BATON_NET_SOCKET_IO_H_
