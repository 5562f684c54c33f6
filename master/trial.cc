#include "master/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <utility>

#include "glog/logging.h"
#include "master/process.h"
#include "net/errno_status.h"
#include "net/fd_inlet.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

// A child that prints without end gets no more of a turn than this.
constexpr int kReadsPerTurn = 16;

// After SIGKILL, for a process that goes as soon as it may.
constexpr absl::Duration kEndTakes = absl::Milliseconds(500);

}  // namespace

struct Trial::Run {
  Run(Trial* trial, Process forked, UniqueFd pipe,
      std::function<void(const Result&)> on_done)
      : process(std::move(forked)),
        output_pipe(std::move(pipe)),
        done(std::move(on_done)),
        output_inlet(trial, &Trial::OnOutput),
        exit_inlet(trial, &Trial::OnExit, process.pid()) {}

  absl::Status Watch(EventLoop& loop) {
    absl::Status status = output_inlet.Watch(loop, output_pipe.get());
    if (status.ok()) status = exit_inlet.Watch(loop, process.pidfd());
    return status;
  }

  void KeepTail() {
    if (output.size() <= kMaxOutputBytes) return;
    output.erase(0, output.size() - kMaxOutputBytes);
    cut = true;
  }

  Process process;
  UniqueFd output_pipe;
  std::string output;
  bool cut = false;
  std::function<void(const Result&)> done;
  FdInlet<Trial> output_inlet;  // both watch what is above
  FdInlet<Trial, pid_t> exit_inlet;
};

Trial::Trial(EventLoop& loop, std::function<void()> on_reaped)
    : loop_(loop),
      on_reaped_(std::move(on_reaped)),
      patience_(loop, [this] { OnPatienceEnd(); }) {}

Trial::~Trial() {
  Cancel();
  for (const auto& [pid, run] : cancelled_) {
    // Nobody else would: but not for ever, for one that can't be killed.
    pollfd end = {.fd = run->process.pidfd(), .events = POLLIN, .revents = 0};
    poll(&end, 1, static_cast<int>(absl::ToInt64Milliseconds(kEndTakes)));
    run->process.Reap();
  }
}

absl::Status Trial::Start(absl::FunctionRef<int(int output)> child_main,
                          absl::Duration patience,
                          std::function<void(const Result&)> done) {
  CHECK(run_ == nullptr) << "a trial is under way";
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    return ErrnoStatus("pipe2", "", errno);
  UniqueFd ours(ends[0]);
  const UniqueFd childs(ends[1]);
  // Ours only: the two ends are two descriptions.
  if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus("fcntl(O_NONBLOCK)", "", errno);
  }
  absl::StatusOr<Process> process =
      Process::Fork([&] { return child_main(childs.get()); });
  if (!process.ok()) return process.status();
  auto run = std::make_unique<Run>(this, *std::move(process), std::move(ours),
                                   std::move(done));
  if (absl::Status status = run->Watch(loop_); !status.ok()) {
    // It has done nothing yet, and ends at once: no wait to speak of.
    run->process.Kill(SIGKILL);
    run->process.WaitAndReap();
    return status;
  }
  run_ = std::move(run);
  patience_.Start(patience);
  return absl::OkStatus();
}

void Trial::Cancel() {
  if (run_ == nullptr) return;
  patience_.Cancel();
  run_->process.Kill(SIGKILL);
  run_->output_inlet.Stop();
  // What it holds, it holds no longer.
  run_->done = nullptr;
  const pid_t dying = pid();
  cancelled_.emplace(dying, std::move(run_));
}

pid_t Trial::pid() const { return run_ == nullptr ? 0 : run_->process.pid(); }

bool Trial::IsChild(pid_t pid) const {
  return (run_ != nullptr && run_->process.pid() == pid) ||
         cancelled_.contains(pid);
}

// Its end is not waited for: one that waits for a disk can't be killed.
void Trial::OnPatienceEnd() {
  const std::function<void(const Result&)> done = std::move(run_->done);
  run_->KeepTail();
  const Result result{ExitStatus::Signalled(SIGKILL), /*timed_out=*/true,
                      std::move(run_->output), run_->cut};
  Cancel();
  done(result);
}

bool Trial::ReadOutput() {
  std::array<char, 4096> chunk;
  const ssize_t count =
      read(run_->output_pipe.get(), chunk.data(), chunk.size());
  if (count < 0 && errno == EINTR) return true;
  if (count <= 0) return false;
  // All is read: a full pipe would hold up the child.
  std::string& output = run_->output;
  output.append(chunk.data(), static_cast<size_t>(count));
  // Not each time, which would move all of it for a few bytes.
  if (output.size() > 2 * kMaxOutputBytes) run_->KeepTail();
  return true;
}

void Trial::OnOutput() {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (!ReadOutput()) return;
  }
  run_->output_inlet.Again();
}

void Trial::OnExit(pid_t pid) {
  const auto cancelled = cancelled_.find(pid);
  Process& process = cancelled == cancelled_.end() ? run_->process
                                                   : cancelled->second->process;
  const std::optional<ExitStatus> status = process.Reap();
  // A tracer (strace) is told first; the pidfd reports again when it is done.
  if (!status.has_value()) return;
  if (cancelled != cancelled_.end()) {
    cancelled_.erase(cancelled);
    return on_reaped_();
  }
  patience_.Cancel();
  for (int i = 0; i < kReadsPerTurn && ReadOutput(); ++i) {
  }
  // `done` may start the next one.
  const std::unique_ptr<Run> run = std::move(run_);
  on_reaped_();
  run->KeepTail();
  run->done({*status, /*timed_out=*/false, std::move(run->output), run->cut});
}

}  // namespace baton
