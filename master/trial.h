#ifndef BATON_MASTER_TRIAL_H_
#define BATON_MASTER_TRIAL_H_

// A child that tries something out, so that the master need not.
//
// What a new configuration or a new binary does when it comes up may be
// anything: fail, crash, hang, print without end. A forked child finds that
// out. What it says is caught by a pipe, bounded; when its patience is over it
// is killed; its end is told once.
//
//     Trial trial(loop, on_reaped);
//     trial.Start([&](int output) { return TryIt(output); }, patience,
//                 [](const Trial::Result& result) { ... });
//
// Contract
// * The child runs `child_main` with the end of a pipe that it writes its
//   findings to: as it is, or in place of its stdout and stderr before an exec.
//   That it becomes a process of its own (child_process.h) is its business.
// * `done` is called once, from the loop, after the child has been reaped, or
//   when its patience is over: then it is killed, and not waited for. It
//   may start the trial again. Of the output it has the last kMaxOutputBytes:
//   the findings come after whatever a start prints. A process that the child
//   leaves behind with a copy of the pipe does not hold it up.
// * One child at a time: Start() on a running() trial is a bug and CHECKs.
// * Cancel() kills the child and waits for nothing: `done` is not called, and
//   the trial may be started again at once. The loop reaps what is dying.
// * `on_reaped` is called for each child that has been reaped, cancelled or
//   not, before `done`.
// * To destroy a trial is to cancel it, and to wait a moment for its children.
// * Not thread-safe; belongs to the loop.

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "master/exit_status.h"
#include "net/event_loop.h"

namespace baton {

class Trial {
 public:
  static constexpr size_t kMaxOutputBytes = size_t{256} * 1024;

  struct Result {
    ExitStatus status;
    bool timed_out;  // and so it was killed
    std::string output;
    bool cut = false;  // the output has lost its beginning
  };

  Trial(EventLoop& loop, std::function<void()> on_reaped);
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  // Errors: the errno's code, naming the call that failed; then nothing runs.
  absl::Status Start(absl::FunctionRef<int(int output)> child_main,
                     absl::Duration patience,
                     std::function<void(const Result&)> done);

  void Cancel();

  bool running() const { return run_ != nullptr; }
  // Of the child of this run; 0 = there is none.
  pid_t pid() const;
  // Also of a run that has been cancelled, until it is reaped.
  bool IsChild(pid_t pid) const;

 private:
  struct Run;

  void OnOutput();
  void OnExit(pid_t pid);
  void OnPatienceEnd();
  // False at its end, for now or for good.
  bool ReadOutput();

  EventLoop& loop_;
  const std::function<void()> on_reaped_;
  Timer patience_;
  std::unique_ptr<Run> run_;
  std::map<pid_t, std::unique_ptr<Run>> cancelled_;  // dying
};

}  // namespace baton

#endif  // BATON_MASTER_TRIAL_H_
