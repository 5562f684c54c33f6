#ifndef BATON_TESTS_CHAOS_OPERATIONS_H_
#define BATON_TESTS_CHAOS_OPERATIONS_H_

// The steps of a script, carried out on a running server. Those that are a
// fault for a while (a stopped worker, no descriptors) end it themselves, some
// steps later: Tick() sees to that.
//
// What makes forks fail is the master's limit of descriptors, lowered to what
// it has just now and a few more: a channel, a scoreboard or the pidfd of a
// process that has been forked already can't be had, as on a machine that has
// run out of them. (RLIMIT_NPROC does not count for root, and a control group
// that could be written to is not there in a sandbox.)

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "tests/chaos_ledger.h"
#include "tests/chaos_log.h"
#include "tests/chaos_script.h"

namespace baton {

class ChaosOperations {
 public:
  static constexpr int kWorkers = 2;

  // `folder` has what the test makes: the flag file, the control socket, the
  // binary's name.
  ChaosOperations(std::string folder, ChaosLedger* ledger, ChaosLog* log);

  // The configuration to begin with.
  void WriteFirstFlags() { WriteFlags("--probation=100ms"); }
  // Before the first step.
  void SetMaster(pid_t master);

  void Run(const ChaosStep& step);
  // Now and then between two steps.
  void Tick();
  // Every fault ends, and the configuration is a good one.
  void HealAll();

  // One of the two builds of tests/chaos_server.cc.
  static std::string BuildOfServer(bool second);

  std::string binary() const { return folder_ + "/server"; }
  std::string flag_file() const { return folder_ + "/flags"; }
  std::string control() const { return folder_ + "/control"; }
  int Count(ChaosOperation operation) const;
  // "reload 12, kill worker 3, ..."
  std::string Counts() const;

 private:
  // A command on the control socket that is not answered yet.
  struct Command {
    std::string what;
    absl::Duration asked;
    UniqueFd socket;
    std::string answer;
  };

  void Note(const std::string& what);
  void After(absl::Duration delay, absl::AnyInvocable<void()> heal);
  // One of those that live; 0 if there is none.
  pid_t SomeWorker(uint64_t argument) const;
  void Signal(pid_t pid, int signal, const std::string& what);

  void WriteFlags(absl::string_view more);
  void WriteFile(const std::string& text);
  std::string GoodFlags(uint64_t argument) const;
  void Reload(uint64_t argument, bool by_control);
  void BadReload(uint64_t argument);
  void CrashingReload(bool later);
  void ToggleExtraListener(uint64_t argument);
  void Scale(int by, uint64_t argument);
  void KillWorker(pid_t pid);
  void KillInHandover(uint64_t argument);
  void KillHelper(uint64_t argument);
  void Stop(pid_t pid, const std::string& whose, uint64_t argument);
  void ReopenLog();
  void TakeDescriptors(pid_t pid, const std::string& whose, uint64_t argument);
  void FailForks(uint64_t argument);
  // From now on the server's binary is a link to this one.
  void PutBinary(const std::string& binary);
  void Upgrade(uint64_t argument);

  void Ask(const std::string& target);
  // Whether it is over.
  bool ReadAnswer(Command& command);

  const std::string folder_;
  ChaosLedger* const ledger_;
  ChaosLog* const log_;
  pid_t master_ = 0;
  rlim_t masters_descriptors_ = 0;
  // Somebody else's: a configuration that wants its port is no good.
  UniqueFd taken_;
  std::string taken_address_;
  bool extra_ = false;
  bool second_build_ = false;
  int wanted_ = kWorkers;
  std::multimap<absl::Duration, absl::AnyInvocable<void()>> heals_;
  std::vector<Command> commands_;
  absl::Duration helper_killed_ = absl::ZeroDuration();
  std::map<ChaosOperation, int> counts_;
};

}  // namespace baton

#endif  // BATON_TESTS_CHAOS_OPERATIONS_H_
