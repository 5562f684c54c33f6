// How the master tries another binary and becomes it.
//
// What is tried is opened once: whatever happens on disk meanwhile, what the
// check and the canary have run is what the master becomes.

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "master/master.h"
#include "master/master_link.h"
#include "master/version.h"
#include "net/errno_status.h"
#include "net/quote.h"
#include "net/units.h"
#include "worker/log_event.h"

namespace baton {
namespace {

constexpr int kExecFailed = 127;  // as shells have it
constexpr size_t kMaxReasonBytes = 4096;

// The child's part: it is about to be another program, which minds its own
// descriptors and rights.
absl::Status PrepareForExec(int output, bool speaks, pid_t master) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    return ErrnoStatus("prctl(PR_SET_PDEATHSIG)", "", errno);
  }
  if (getppid() != master) return absl::AbortedError("the master is gone");
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  PCHECK(sigprocmask(SIG_UNBLOCK, &child, nullptr) == 0);
  if (!speaks) return absl::OkStatus();
  for (const int standard : {STDOUT_FILENO, STDERR_FILENO}) {
    if (dup2(output, standard) < 0) return ErrnoStatus("dup2", "", errno);
  }
  return absl::OkStatus();
}

// The last line of it: before that, a linker or a service may have said
// anything.
std::string LastLine(absl::string_view printed) {
  printed = absl::StripTrailingAsciiWhitespace(printed);
  absl::string_view line = printed.substr(printed.rfind('\n') + 1);
  absl::ConsumePrefix(&line, "baton: ");
  return std::string(line.substr(0, kMaxReasonBytes));
}

std::string HowItEnded(const Trial::Result& result) {
  const std::string said = LastLine(result.output);
  if (result.status.signal() != 0 || said.empty()) {
    return result.status.ToString();
  }
  return absl::StrCat(said, " (", result.status.ToString(), ")");
}

// Why the binary can't take over, by its check's end; empty if it can.
std::string Refusal(const std::string& path, const Trial::Result& result,
                    absl::Duration patience) {
  if (result.timed_out) {
    return absl::StrCat(
        "the new binary's --check was not done within ready_timeout (",
        DurationToString(patience), ")");
  }
  if (!result.status.clean()) {
    return absl::StrCat("the new binary's --check: ", HowItEnded(result));
  }
  const std::vector<std::string> offers = FindOffers(result.output);
  if (CanTakeOver(offers)) return "";
  if (offers.empty()) {
    return absl::StrCat(path,
                        ": its --check ended with exit code 0 and without \"",
                        HandoffOffer(), "\": is it a baton?");
  }
  return absl::StrCat("the new binary says ",
                      Quote(absl::StrJoin(offers, "; ")), ", this one \"",
                      HandoffOffer(), "\": it can't take over");
}

// Executed by descriptor, which its interpreter would not have, it would only
// be said not to be there - execveat(2).
bool IsScript(int fd) {
  std::array<char, 2> begin;
  return pread(fd, begin.data(), begin.size(), 0) ==
             static_cast<ssize_t>(begin.size()) &&
         begin[0] == '#' && begin[1] == '!';
}

}  // namespace

void Master::Do(const action::CheckBinary&) {
  if (absl::Status status = StartBinaryCheck(); !status.ok()) {
    Feed(event::BinaryChecked{std::string(status.message())});
  }
}

absl::Status Master::StartBinaryCheck() {
  absl::StatusOr<UniqueFd> binary = program_.OpenOnDisk();
  if (!binary.ok()) return binary.status();
  if (IsScript(binary->get())) {
    return absl::InvalidArgumentError(
        absl::StrCat(program_.path(), ": it is a script (#!), not a program"));
  }
  absl::StatusOr<std::string> bytes = loader_.ReadFile();
  if (!bytes.ok()) return bytes.status();
  upgrade_.tried = FileVersion::Of(binary->get());
  upgrade_.new_binary = *std::move(binary);
  upgrade_.file_bytes = *std::move(bytes);
  const absl::Duration patience = supervisor_->ready_timeout();
  return StartBinary(
      Handoff::Role::kCheck, nlohmann::json::object(), {}, patience,
      [this, patience](const Trial::Result& result) {
        Trial::Result rest = result;
        upgrade_.names = TakeNamesLine(rest.output);
        if (rest.cut) upgrade_.names = KnownNames();
        Feed(event::BinaryChecked{Refusal(program_.path(), rest, patience)});
      });
}

void Master::Do(const action::StartCanary& start) {
  if (absl::Status status = StartCanary(start.generation); !status.ok()) {
    canary_inlet_.Stop();
    upgrade_.canary = FdChannel();
    Feed(event::CanaryEnded{false, std::string(status.message())});
  }
}

absl::Status Master::StartCanary(Generation generation) {
  absl::StatusOr<std::pair<FdChannel, FdChannel>> ends =
      FdChannel::CreatePair();
  if (!ends.ok()) return ends.status();
  const int theirs = ends->second.fd();
  upgrade_.canary = std::move(ends->first);
  if (absl::Status status = canary_inlet_.Watch(*loop_, upgrade_.canary.fd());
      !status.ok()) {
    return status;
  }
  return StartBinary(
      Handoff::Role::kCanary,
      {{"generation", generation},
       {"channel", theirs},
       {"log", log_.fd()},
       {"log_format", open_files_.log_format},
       {"master", getpid()},
       {"names", upgrade_.names.ToJson()}},
      {theirs, log_.fd()}, absl::InfiniteDuration(),
      [this](const Trial::Result& result) {
        canary_inlet_.Stop();
        upgrade_.canary = FdChannel();
        Feed(event::CanaryEnded{result.status.clean(), HowItEnded(result)});
      });
}

absl::Status Master::StartBinary(
    Handoff::Role role, nlohmann::json document, std::vector<int> keep,
    absl::Duration patience, std::function<void(const Trial::Result&)> done) {
  document["version"] = kHandoffVersion;
  document["flag_file"] = upgrade_.file_bytes;
  absl::StatusOr<UniqueFd> file = WriteHandoff(document);
  if (!file.ok()) return file.status();
  keep.push_back(file->get());
  const bool checks = role == Handoff::Role::kCheck;
  const std::vector<std::string> more_args =
      checks ? std::vector<std::string>{"--check"} : std::vector<std::string>();
  const pid_t master = getpid();
  return upgrade_.trial->Start(
      [&](int output) {
        absl::Status status = PrepareForExec(output, checks, master);
        if (status.ok()) {
          status = program_.Exec(upgrade_.new_binary.get(), more_args,
                                 HandoffText(role, file->get()), keep);
        }
        const std::string why(status.message());
        const ssize_t written = write(output, why.data(), why.size());
        static_cast<void>(written);  // the exit code says enough
        return kExecFailed;
      },
      patience, std::move(done));
}

// It is of a binary that nobody knows yet.
void Master::OnCanaryChannel() {
  constexpr int kCanaryMessagesPerTurn = 16;
  for (int i = 0; i < kCanaryMessagesPerTurn; ++i) {
    const FdChannel::Received received = upgrade_.canary.Receive();
    if (received.code == FdChannel::ReceiveCode::kAgain) return;
    // Its end is about to be told.
    if (received.code == FdChannel::ReceiveCode::kEof) {
      return canary_inlet_.Stop();
    }
    const absl::StatusOr<DecodedMessage> decoded =
        received.code == FdChannel::ReceiveCode::kMessage
            ? DecodeMessage(received.bytes)
            : absl::UnavailableError("its channel is broken");
    if (!decoded.ok()) {
      Do(action::KillTrial{});
      return Feed(event::CanaryEnded{
          false, absl::StrCat("it says what no worker says: ",
                              decoded.status().message())});
    }
    if (std::holds_alternative<ReadyMessage>(decoded->message)) {
      Feed(event::CanaryReady{});
      // What follows from that may have ended it.
      if (!upgrade_.canary) return;
    }
  }
  canary_inlet_.Again();
}

void Master::Do(const action::StopCanary&) {
  if (upgrade_.canary) upgrade_.canary.Send(EncodeMessage(StopMessage{}));
}

void Master::Do(const action::KillTrial&) {
  canary_inlet_.Stop();
  upgrade_.canary = FdChannel();
  upgrade_.trial->Cancel();
}

void Master::BecomeOtherIfWanted() {
  const auto to = supervisor_->exec_wanted();
  if (!to.has_value()) return;
  Feed(event::ExecFailed{std::string(BecomeOther(*to).message())});
}

// Returns if it could not be done, and nothing has changed but that what the
// configuration that fails has opened is closed.
absl::Status Master::BecomeOther(Supervisor::ExecTo to) {
  const bool back = to == Supervisor::ExecTo::kOldBinary;
  absl::StatusOr<UniqueFd> running = Program::OpenRunning();
  if (!running.ok()) return running.status();
  UniqueFd& binary = back ? upgrade_.old_binary : upgrade_.new_binary;
  if (!back && !upgrade_.tried.Is(upgrade_.new_binary.get())) {
    return absl::AbortedError(absl::StrCat(
        program_.path(), ": it was written to after it had been checked"));
  }
  if (back) {
    next_log_.reset();
    next_pid_file_.reset();
  }
  std::vector<int> fds;
  nlohmann::json document = State(fds);
  if (!back) {
    document["next_flag_file"] = upgrade_.file_bytes;
    document["next_names"] = upgrade_.names.ToJson();
    document["old_binary"] = running->get();
    fds.push_back(running->get());
  }
  document["fds"] = fds;
  absl::StatusOr<UniqueFd> file = WriteHandoff(document);
  if (!file.ok()) return file.status();
  fds.push_back(file->get());
  LogEvent(back ? "going_back" : "becoming_new_binary")
      .Field("path", program_.path());
  google::FlushLogFiles(google::GLOG_INFO);
  return program_.Exec(binary.get(), {},
                       HandoffText(Handoff::Role::kMaster, file->get()), fds);
}

// The binary before has stopped at a moment when nothing was under way.
absl::Status Master::TakeUp() {
  Handoff& handoff = *upgrade_.handoff;
  absl::Status status;
  try {
    status = TakeOver(handoff.document);
  } catch (const std::exception& error) {  // the library's only way
    status = absl::InvalidArgumentError(
        absl::StrCat("the handoff of the binary before: ", error.what()));
  }
  if (!status.ok()) {
    // Nothing has been done that the binary before could not go on from.
    program_.GiveBack(handoff, status);
    return status;
  }
  LogEvent("taken_up")
      .Field("version", kVersion)
      .Field("workers", static_cast<int64_t>(links_.size()));
  upgrade_.handoff.reset();
  upgrade_.taking_up = true;
  Feed(event::TakenUp{});
  upgrade_.taking_up = false;
  heartbeat_timer_->Start(TurnWatch::kPeriod);
  // Only after a way back; that of a new binary is watched when it serves.
  if (const auto serves = configs_.find(supervisor_->generation());
      serves != configs_.end()) {
    UpdateFlagFileWatch(*serves->second);
  }
  // What has ended meanwhile is seen by its pidfd; strangers were told of once.
  OnChildSignal();
  return absl::OkStatus();
}

}  // namespace baton
