#ifndef BATON_MASTER_EXIT_STATUS_H_
#define BATON_MASTER_EXIT_STATUS_H_

// How a worker process ended, as the kernel told it, and whose fault that was.
//
// Whoever replaces a dead worker must guess whether the next one will die too.
// A worker never leaves of its own accord while it serves, and it ignores or
// handles every signal that an operator sends to end things politely; so one
// that ends by SIGKILL was taken away from outside (kill -9, the OOM killer),
// and one that exits or crashes did it itself.

#include <csignal>
#include <string>

namespace baton {

class ExitStatus {
 public:
  static ExitStatus Exited(int code) { return ExitStatus(code, 0, false); }
  static ExitStatus Signalled(int signal, bool core_dumped = false) {
    return ExitStatus(0, signal, core_dumped);
  }

  bool clean() const { return signal_ == 0 && code_ == 0; }
  bool killed_from_outside() const { return signal_ == SIGKILL; }
  int code() const { return code_; }      // 0 if signalled
  int signal() const { return signal_; }  // 0 if exited
  bool core_dumped() const { return core_dumped_; }

  // "exit code 3", "SIGSEGV (core dumped)".
  std::string ToString() const;

  bool operator==(const ExitStatus&) const = default;

 private:
  ExitStatus(int code, int signal, bool core_dumped)
      : code_(code), signal_(signal), core_dumped_(core_dumped) {}

  int code_;
  int signal_;
  bool core_dumped_;
};

}  // namespace baton

#endif  // BATON_MASTER_EXIT_STATUS_H_
