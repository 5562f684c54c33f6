#include "tests/chaos_operations.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "tests/chaos_connection.h"
#include "tests/chaos_sockets.h"
#include "tests/server_process.h"

namespace baton {
namespace {

constexpr int kMostWorkers = 4;
constexpr absl::Duration kLongestHandoverWait = absl::Seconds(2);

// Nothing is cut: whoever is busy keeps its worker, and there are fewer steps
// in a run than old workers a slot may have. No time-out of the server's ends a
// connection either: the machine may stand still for a while.
constexpr char kFlags[] =
    "--workers=2\n"
    "--drain_timeout=0s\n"
    "--max_draining=1000\n"
    "--ready_timeout=30s\n"
    "--idle_timeout=1h\n"
    "--write_timeout=1h\n"
    "--tcp_user_timeout=0s\n"
    "--listen=echo://127.0.0.1:0,tell://127.0.0.1:0,"
    "chaos://127.0.0.1:0?header_timeout=1h&body_timeout=1h";
constexpr char kExtraListener[] = ",tell://127.0.0.2:0";

}  // namespace

std::string ChaosOperations::BuildOfServer(bool second) {
  return PathOf(second ? "tests/chaos_server_b" : "tests/chaos_server_a");
}

ChaosOperations::ChaosOperations(std::string folder, ChaosLedger* ledger,
                                 ChaosLog* log)
    : folder_(std::move(folder)), ledger_(ledger), log_(log) {
  taken_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  PCHECK(taken_);
  const Endpoint any = *Endpoint::Parse("127.0.0.1:0");
  PCHECK(bind(taken_.get(), any.sockaddr(), any.length()) == 0);
  PCHECK(listen(taken_.get(), 1) == 0);
  taken_address_ = Endpoint::LocalOf(taken_.get())->ToString();
  PutBinary(BuildOfServer(/*second=*/false));
}

void ChaosOperations::SetMaster(pid_t master) {
  master_ = master;
  rlimit limit;
  PCHECK(prlimit(master, RLIMIT_NOFILE, nullptr, &limit) == 0);
  masters_descriptors_ = limit.rlim_cur;
}

void ChaosOperations::Run(const ChaosStep& step) {
  ++counts_[step.operation];
  switch (step.operation) {
    case ChaosOperation::kReload:
      return Reload(step.argument, /*by_control=*/false);
    case ChaosOperation::kReloadByControl:
      return Reload(step.argument, /*by_control=*/true);
    case ChaosOperation::kBadReload:
      return BadReload(step.argument);
    case ChaosOperation::kCrashOnProbation:
      return CrashingReload(/*later=*/false);
    case ChaosOperation::kCrashLater:
      return CrashingReload(/*later=*/true);
    case ChaosOperation::kExtraListener:
      return ToggleExtraListener(step.argument);
    case ChaosOperation::kMoreWorkers:
      return Scale(1, step.argument);
    case ChaosOperation::kFewerWorkers:
      return Scale(-1, step.argument);
    case ChaosOperation::kScaleByControl:
      return Scale(0, step.argument);
    case ChaosOperation::kKillWorker:
      return KillWorker(SomeWorker(step.argument));
    case ChaosOperation::kKillInHandover:
      return KillInHandover(step.argument);
    case ChaosOperation::kKillHelper:
      return KillHelper(step.argument);
    case ChaosOperation::kStopWorker:
      return Stop(SomeWorker(step.argument), "worker", step.argument);
    case ChaosOperation::kStopMaster:
      return Stop(master_, "master", step.argument);
    case ChaosOperation::kRecycleWorker:
      return Signal(SomeWorker(step.argument), SIGTERM, "SIGTERM to worker");
    case ChaosOperation::kReopenLog:
      return ReopenLog();
    case ChaosOperation::kWorkerDescriptors:
      return TakeDescriptors(SomeWorker(step.argument), "worker",
                             step.argument);
    case ChaosOperation::kMasterDescriptors:
      return FailForks(step.argument);
    case ChaosOperation::kUpgrade:
      return Upgrade(step.argument);
  }
}

int ChaosOperations::Count(ChaosOperation operation) const {
  const auto it = counts_.find(operation);
  return it == counts_.end() ? 0 : it->second;
}

std::string ChaosOperations::Counts() const {
  std::string text;
  for (const auto& [operation, count] : counts_) {
    absl::StrAppend(&text, text.empty() ? "" : ", ",
                    ChaosOperationName(operation), " ", count);
  }
  return text;
}

void ChaosOperations::Note(const std::string& what) {
  ledger_->NoteOperation(what);
}

// --- time

void ChaosOperations::After(absl::Duration delay,
                            absl::AnyInvocable<void()> heal) {
  heals_.emplace(ledger_->now() + delay, std::move(heal));
}

void ChaosOperations::Tick() {
  log_->Poll();
  while (!heals_.empty() && heals_.begin()->first <= ledger_->now()) {
    auto heal = std::move(heals_.begin()->second);
    heals_.erase(heals_.begin());
    heal();
  }
  std::erase_if(commands_,
                [this](Command& command) { return ReadAnswer(command); });
}

void ChaosOperations::HealAll() {
  Note("all faults end");
  for (auto& [when, heal] : heals_) heal();
  heals_.clear();
  unlink((folder_ + "/crash").c_str());
  // Somebody may still be connected to it, and finds a successor in this way.
  extra_ = true;
  WriteFlags("--probation=0s");
}

// --- workers

pid_t ChaosOperations::SomeWorker(uint64_t argument) const {
  std::vector<pid_t> alive;
  for (const auto& [pid, slot] : log_->workers()) {
    if (IsAlive(pid)) alive.push_back(pid);
  }
  return alive.empty() ? 0 : alive[argument % alive.size()];
}

void ChaosOperations::Signal(pid_t pid, int signal, const std::string& what) {
  Note(absl::StrCat(what, " ", pid));
  if (pid != 0) PCHECK(kill(pid, signal) == 0 || errno == ESRCH);
}

void ChaosOperations::KillWorker(pid_t pid) {
  if (pid == 0) return Note("no worker to kill");
  size_t connections = 0;
  const bool killed =
      KillFrozen(pid, [&](const std::vector<ConnectionKey>& held) {
        connections = held.size();
        ledger_->NoteDeath(pid, held);
      });
  Note(absl::StrCat(killed ? "killed worker " : "has gone before: worker ", pid,
                    " with ", connections, " connections"));
}

// A handover takes some milliseconds: a kill that knows of none seldom meets
// it.
void ChaosOperations::KillInHandover(uint64_t argument) {
  log_->Poll();
  const pid_t serving = log_->last_serving(), leaving = log_->last_leaving();
  const bool heir = argument % 3 != 0;
  if (argument / 3 % 2 == 0) {
    Reload(argument / 1000, /*by_control=*/false);
  } else {
    Signal(SomeWorker(argument / 1000), SIGTERM, "SIGTERM to worker");
  }
  const absl::Duration give_up = ledger_->now() + kLongestHandoverWait;
  while (heir ? log_->last_serving() == serving
              : log_->last_leaving() == leaving) {
    if (ledger_->now() > give_up) return Note("no handover");
    log_->Poll();
  }
  // More or less far in it.
  const absl::Duration at =
      ledger_->now() + absl::Microseconds(argument / 6 % 4000);
  while (ledger_->now() < at) {
  }
  Note(heir ? "in a handover, its heir:" : "in a handover, who leaves:");
  KillWorker(heir ? log_->last_serving() : log_->last_leaving());
}

void ChaosOperations::KillHelper(uint64_t argument) {
  const char* name = argument % 2 == 0 ? "admin" : "control";
  const pid_t pid = log_->helper(name);
  if (pid == 0 || !absl::StartsWith(TitleOf(pid), "baton: ")) {
    return Note(absl::StrCat("no helper to kill: ", name));
  }
  helper_killed_ = ledger_->now();
  Signal(pid, SIGKILL, absl::StrCat("SIGKILL to ", name));
}

void ChaosOperations::Stop(pid_t pid, const std::string& whose,
                           uint64_t argument) {
  const auto length = absl::Milliseconds(200 + argument / 16 % 2801);
  Signal(pid, SIGSTOP,
         absl::StrCat("SIGSTOP, for ", absl::FormatDuration(length), ", to ",
                      whose));
  if (pid == 0) return;
  After(length, [this, pid] { Signal(pid, SIGCONT, "SIGCONT to"); });
}

void ChaosOperations::ReopenLog() {
  log_->Rotate();
  Signal(master_, SIGUSR1, "SIGUSR1 to master");
}

void ChaosOperations::TakeDescriptors(pid_t pid, const std::string& whose,
                                      uint64_t argument) {
  if (pid == 0) return Note("no " + whose + " to take descriptors from");
  rlimit limit;
  if (prlimit(pid, RLIMIT_NOFILE, nullptr, &limit) != 0) return;
  // Workers raise theirs to what they may have.
  const rlim_t before = pid == master_ ? masters_descriptors_ : limit.rlim_max;
  const auto length = absl::Milliseconds(200 + argument / 64 % 1301);
  limit.rlim_cur = std::min<rlim_t>(
      before,
      static_cast<rlim_t>(CountDescriptors(pid).all()) + argument / 8 % 8);
  Note(absl::StrCat(whose, " ", pid, " has at most ", limit.rlim_cur,
                    " descriptors for ", absl::FormatDuration(length)));
  PCHECK(prlimit(pid, RLIMIT_NOFILE, &limit, nullptr) == 0 || errno == ESRCH);
  After(length, [this, pid, limit, before]() mutable {
    Note(absl::StrCat(pid, " has its descriptors back"));
    limit.rlim_cur = before;
    PCHECK(prlimit(pid, RLIMIT_NOFILE, &limit, nullptr) == 0 || errno == ESRCH);
  });
}

// A moment in which nobody has to be forked would pass unnoticed.
void ChaosOperations::FailForks(uint64_t argument) {
  TakeDescriptors(master_, "master", argument);
  const uint64_t next = argument / 100'000;
  switch (argument / 10'000 % 3) {
    case 0:
      return KillWorker(SomeWorker(next));
    case 1:
      return Signal(SomeWorker(next), SIGTERM, "SIGTERM to worker");
    default:
      return Reload(next, /*by_control=*/false);
  }
}

// --- configurations

void ChaosOperations::WriteFile(const std::string& text) {
  const std::string unfinished = flag_file() + "~";
  std::ofstream(unfinished) << text << "\n";
  PCHECK(rename(unfinished.c_str(), flag_file().c_str()) == 0);
}

void ChaosOperations::WriteFlags(absl::string_view more) {
  WriteFile(absl::StrCat(kFlags, extra_ ? kExtraListener : "", "\n", more));
}

std::string ChaosOperations::GoodFlags(uint64_t argument) const {
  constexpr const char* kProbations[] = {"0s", "50ms", "300ms", "1s"};
  std::string flags = absl::StrCat("--probation=", kProbations[argument % 4]);
  if (argument / 4 % 3 == 0) {
    absl::StrAppend(&flags, "\n--max_requests=", 100 + argument / 12 % 1900);
  }
  return flags;
}

void ChaosOperations::Reload(uint64_t argument, bool by_control) {
  WriteFlags(GoodFlags(argument));
  if (by_control) return Ask("/reload");
  Signal(master_, SIGHUP, "SIGHUP to master");
}

void ChaosOperations::BadReload(uint64_t argument) {
  constexpr const char* kBad[] = {
      "\n--crash_loop_limit=many", "\n--no_such_flag=1",
      ",nonsense://127.0.0.1:0",   ",echo://127.0.0.2:0?colour=red",
      "\n--stop_timeout=soon",     "\n\x01\xff what is no flag at all",
  };
  constexpr size_t kKinds = sizeof(kBad) / sizeof(kBad[0]);
  const size_t kind = argument % (kKinds + 2);
  Note(absl::StrCat("bad flags, kind ", kind));
  if (kind == kKinds + 1) {
    unlink(flag_file().c_str());
  } else if (kind == kKinds) {
    WriteFile(absl::StrCat(kFlags, ",echo://", taken_address_));
  } else {
    WriteFile(absl::StrCat(kFlags, kBad[kind]));
  }
  Signal(master_, SIGHUP, "SIGHUP to master");
}

void ChaosOperations::CrashingReload(bool later) {
  std::ofstream(folder_ + "/crash") << "one worker\n";
  WriteFlags(absl::StrCat("--probation=", later ? "100ms" : "600ms",
                          "\n--chaos_crash_after_ms=", later ? 700 : 100));
  Signal(master_, SIGHUP,
         absl::StrCat("a worker will crash ", later ? "later" : "at first",
                      ": SIGHUP to master"));
}

void ChaosOperations::ToggleExtraListener(uint64_t argument) {
  extra_ = !extra_;
  Note(extra_ ? "a listener more" : "a listener less");
  Reload(argument, /*by_control=*/false);
}

void ChaosOperations::Scale(int by, uint64_t argument) {
  const int before = wanted_;
  if (by == 0) {
    wanted_ = 1 + static_cast<int>(argument % kMostWorkers);
    return Ask(absl::StrCat("/scale?workers=", wanted_));
  }
  wanted_ = std::clamp(wanted_ + by, 1, kMostWorkers);
  if (wanted_ == before) return Note("as many workers as may be");
  Signal(master_, by > 0 ? SIGTTIN : SIGTTOU,
         absl::StrCat(by > 0 ? "SIGTTIN" : "SIGTTOU", " to master"));
}

void ChaosOperations::PutBinary(const std::string& binary) {
  const std::string name = folder_ + "/server", next = name + "~";
  PCHECK(symlink(binary.c_str(), next.c_str()) == 0);
  PCHECK(rename(next.c_str(), name.c_str()) == 0);
}

// To the other build and back; and now and then to what is no server, or not
// there at all.
void ChaosOperations::Upgrade(uint64_t argument) {
  const uint64_t kind = argument / 2 % 8;
  if (kind == 0) {
    PutBinary("/bin/false");
  } else if (kind == 1) {
    PutBinary(folder_ + "/nothing");
  } else {
    second_build_ = !second_build_;
    PutBinary(BuildOfServer(second_build_));
    // It reads the configuration, too; now and then a bad one.
    if (argument / 16 % 4 != 0) WriteFlags(GoodFlags(argument / 64));
  }
  Note(kind == 0   ? "no server as binary"
       : kind == 1 ? "no binary"
                   : (second_build_ ? "the second build" : "the first build"));
  if (argument % 2 == 0) return Ask("/upgrade");
  Signal(master_, SIGUSR2, "SIGUSR2 to master");
}

// --- the control socket

void ChaosOperations::Ask(const std::string& target) {
  Note("POST " + target);
  const Endpoint server = *Endpoint::Parse(control());
  Command command{target, ledger_->now(),
                  UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), ""};
  PCHECK(command.socket);
  // The master has the socket, whoever serves it.
  if (connect(command.socket.get(), server.sockaddr(), server.length()) != 0) {
    const int error = errno;
    return ledger_->Fail(
        absl::StrCat("the control socket refuses: errno ", error));
  }
  const std::string request =
      absl::StrCat("POST ", target, " HTTP/1.0\r\n\r\n");
  (void)send(command.socket.get(), request.data(), request.size(),
             MSG_NOSIGNAL);
  commands_.push_back(std::move(command));
}

bool ChaosOperations::ReadAnswer(Command& command) {
  char bytes[4096];
  ssize_t got;
  while ((got = recv(command.socket.get(), bytes, sizeof(bytes),
                     MSG_DONTWAIT)) > 0) {
    command.answer.append(bytes, static_cast<size_t>(got));
  }
  if (got < 0 && errno == EAGAIN) return false;
  const std::string line = command.answer.substr(0, command.answer.find('\r'));
  Note(absl::StrCat(command.what, " is answered: ", line));
  if (line.empty() && helper_killed_ <= command.asked) {
    ledger_->Fail(absl::StrCat(command.what, " is not answered"));
  }
  return true;
}

}  // namespace baton
