#ifndef BATON_NET_UNIQUE_FD_H_
#define BATON_NET_UNIQUE_FD_H_

// Problem: a descriptor is a number that anybody can close, and a number that
// was closed once too often is by then somebody else's file.
//
// UniqueFd owns one descriptor and closes it exactly once. It moves and does
// not copy, so at each moment one owner is named by the program text; whoever
// only uses a descriptor takes an `int` and promises not to close it.
//
// Contract
// * Empty is -1. A negative number is never stored as anything else.
// * close() is called once and never retried: on Linux the number is free
//   again even when close() reports EINTR or EIO - close(2). EBADF is a double
//   close, that is a bug of the program, and CHECKs.
// * The destructor and reset() leave errno alone, so that
//   `if (bind(fd.get(), ...) < 0) return ErrnoStatus(..., errno)` stays true
//   however the scope is left.
// * Closing drops this process's reference only. The socket lives on while
//   another process (after fork) or a copy (dup, SCM_RIGHTS) holds it, and so
//   does its registration in an epoll set.
// * No thread safety: one owner, one thread at a time.

#include <utility>

namespace baton {

class [[nodiscard]] UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd < 0 ? -1 : fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() {
    if (fd_ >= 0) Close(fd_);
  }

  // The descriptor, still owned here; -1 when empty.
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

  // Hands ownership to the caller and leaves this empty.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

  // Closes what is owned and owns `fd` instead. `fd` must not be the one
  // already owned: that would own a closed number (CHECKs).
  void reset(int fd = -1);

 private:
  static void Close(int fd);

  int fd_ = -1;
};

}  // namespace baton

#endif  // BATON_NET_UNIQUE_FD_H_
