#ifndef BATON_TESTS_CHAOS_LEDGER_H_
#define BATON_TESTS_CHAOS_LEDGER_H_

// Who lost which connection, and whether somebody has to answer for it.
//
// The rule: a client's connection may end only because the worker that held it
// died, and that death was ours. So every death that the test brings about is
// written down before it happens, with the connections that the worker holds
// while it does not move any more (chaos_sockets.h; a worker that is made to
// crash does that itself). A loss is explained if such a death fell between the
// opening of the connection and the moment in which its client saw the end, and
// the connection is on that list. Everything else is a failure: a refused
// connection, a byte that should not be there, a "Connection: close", an answer
// that does not come.
//
// Thread-safe.

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "tests/chaos_sockets.h"

namespace baton {

class ChaosLedger {
 public:
  // `folder`: where crashing workers leave their lists.
  explicit ChaosLedger(std::string folder);

  // Since the beginning, on a clock that does not jump.
  absl::Duration now() const;

  // --- the driver's

  void NoteOperation(const std::string& text);
  void NoteDeath(pid_t pid, const std::vector<ConnectionKey>& held);
  bool Killed(pid_t pid) const;
  // Says who holds a connection, for a failure's report.
  void SetWitness(absl::AnyInvocable<std::string(ConnectionKey)> witness);

  // --- the clients'

  void Lost(const ConnectionKey& key, absl::Duration opened,
            const std::string& whose);
  void Answered(pid_t by);

  // --- everybody's

  // Prints it at once, with the last operations.
  void Fail(const std::string& what);
  std::vector<std::string> failures() const;
  bool failed() const { return failed_; }

  std::set<pid_t> answered_by() const;
  int explained() const { return explained_; }
  int unexplained() const { return unexplained_; }
  std::atomic<int64_t> requests{0}, connections{0}, moves{0};

 private:
  struct Death {
    absl::Duration at;
    pid_t pid;
    std::set<ConnectionKey> held;
  };

  // With the mutex held:
  void ReadCrashes();
  bool Explained(const ConnectionKey& key, absl::Duration opened) const;
  std::string Deaths() const;
  std::string History() const;

  const std::string folder_;
  const int64_t started_nanos_;
  // Not absl::Mutex, which ThreadSanitizer does not see through: Abseil is the
  // system's.
  mutable std::mutex mutex_;  // of all below
  std::vector<Death> deaths_;
  std::set<std::string> crashes_read_;
  std::deque<std::string> history_;
  std::vector<std::string> failures_;
  std::set<pid_t> answered_by_;
  absl::AnyInvocable<std::string(ConnectionKey)> witness_;
  std::atomic<int> explained_{0}, unexplained_{0};
  std::atomic<bool> failed_{false};
};

}  // namespace baton

#endif  // BATON_TESTS_CHAOS_LEDGER_H_
