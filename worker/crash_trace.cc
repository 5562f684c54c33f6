#include "worker/crash_trace.h"

#include <link.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <ctime>

#include "absl/debugging/internal/symbolize.h"
#include "absl/debugging/symbolize.h"
#include "glog/logging.h"
#include "worker/crash_line.h"

namespace baton {
namespace {

struct CrashSignal {
  int number;
  absl::string_view name;
};
constexpr std::array<CrashSignal, 5> kSignals = {{{SIGSEGV, "SIGSEGV"},
                                                  {SIGBUS, "SIGBUS"},
                                                  {SIGILL, "SIGILL"},
                                                  {SIGFPE, "SIGFPE"},
                                                  {SIGABRT, "SIGABRT"}}};

constexpr size_t kStackBytes = size_t{256} * 1024;
constexpr size_t kMaxFrames = 64;
constexpr size_t kMaxFunctionBytes = 384;

// A signal handler has no other way to what it needs.
std::atomic<LineLogSink*> crash_log{nullptr};
std::atomic<pid_t> crashing_thread{0};
// By how much the executable's addresses are shifted; 0 if they are fixed.
std::atomic<uintptr_t> load_base{0};

struct Stack {
  std::array<uintptr_t, kMaxFrames> addresses;
  size_t count = 0;
};

_Unwind_Reason_Code AddFrame(_Unwind_Context* context, void* argument) {
  auto& stack = *static_cast<Stack*>(argument);
  int is_next_instruction = 0;
  const uintptr_t address = _Unwind_GetIPInfo(context, &is_next_instruction);
  if (address == 0) return _URC_END_OF_STACK;
  // Where the signal came; what was before it is this file's own.
  if (is_next_instruction != 0) stack.count = 0;
  if (stack.count == stack.addresses.size()) return _URC_END_OF_STACK;
  // A return address may be that of the next function already.
  stack.addresses[stack.count++] =
      is_next_instruction != 0 ? address : address - 1;
  return _URC_NO_REASON;
}

Stack UnwindStack() {
  Stack stack;
  _Unwind_Backtrace(AddFrame, &stack);
  return stack;
}

// The executable's code is looked up in what was started, whatever has its name
// by then (a newer version mostly), and if nobody but root may see its folder.
// Abseil has that for its own users only; without it there are addresses.
int ReadNamesFromSelf(dl_phdr_info* object, size_t /*size*/, void* /*none*/) {
  load_base = object->dlpi_addr;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    const uintptr_t begin = object->dlpi_addr + part.p_vaddr;
    const uintptr_t end = begin + part.p_memsz;
    absl::debugging_internal::RegisterFileMappingHint(
        reinterpret_cast<const void*>(begin / page * page),
        reinterpret_cast<const void*>((end + page - 1) / page * page),
        part.p_offset / page * page, "/proc/self/exe");
  }
  return 1;  // the first one is the executable - dl_iterate_phdr(3)
}

absl::string_view NameOf(int number) {
  for (const CrashSignal& signal : kSignals) {
    if (signal.number == number) return signal.name;
  }
  return "?";
}

class Report {
 public:
  explicit Report(LineLogSink& log) : log_(log), view_(log.AtCrash()) {
    timespec now = {};
    clock_gettime(CLOCK_REALTIME, &now);
    origin_.unix_seconds = now.tv_sec;
    origin_.microseconds = static_cast<int32_t>(now.tv_nsec / 1000);
    origin_.utc_offset_seconds = view_.utc_offset_seconds;
    origin_.pid = getpid();
    origin_.role = view_.role;
    origin_.file = "crash_trace.cc";
    origin_.line = __LINE__;
  }

  void Signal(int number, const siginfo_t& info) {
    CrashLine line(view_.format, origin_, "crashed");
    line.Field("signal", NameOf(number));
    // Sent by somebody, or the hardware's complaint - sigaction(2).
    if (info.si_code <= 0) {
      line.Field("from_pid", info.si_pid);
    } else {
      line.HexField("fault_address", reinterpret_cast<uintptr_t>(info.si_addr));
    }
    std::array<char, 16> thread = {};
    prctl(PR_GET_NAME, thread.data());
    line.Field("thread", absl::string_view(thread.data()));
    line.HexField("load_base", load_base);
    log_.WriteAtCrash(line.Finish());
  }

  void Frame(size_t index, uintptr_t address) {
    CrashLine line(view_.format, origin_, "crash_frame");
    line.Field("index", static_cast<int64_t>(index));
    std::array<char, kMaxFunctionBytes> function = {};
    if (absl::Symbolize(reinterpret_cast<const void*>(address), function.data(),
                        static_cast<int>(function.size()))) {
      line.Field("function", absl::string_view(function.data()));
    }
    line.HexField("address", address);
    log_.WriteAtCrash(line.Finish());
  }

 private:
  LineLogSink& log_;
  const LineLogSink::CrashView view_;
  CrashLine::Origin origin_;
};

void OnCrash(int number, siginfo_t* info, void* /*context*/) {
  const auto self = static_cast<pid_t>(syscall(SYS_gettid));
  pid_t nobody = 0;
  if (!crashing_thread.compare_exchange_strong(nobody, self)) {
    // Another thread is on it, and ends the process.
    while (true) pause();
  }
  if (LineLogSink* log = crash_log) {
    Report report(*log);
    report.Signal(number, *info);
    const Stack stack = UnwindStack();
    for (size_t i = 0; i < stack.count; ++i) {
      report.Frame(i, stack.addresses[i]);
    }
  }
  // Takes effect when this returns.
  struct sigaction end = {};
  end.sa_handler = SIG_DFL;
  sigaction(number, &end, nullptr);
  syscall(SYS_tgkill, getpid(), self, number);
}

// abort() may not throw, which is another type of function to g++.
__attribute__((noreturn)) void Abort() { abort(); }

}  // namespace

CrashTrace::CrashTrace(const char* program, LineLogSink& log) {
  static std::array<char, kStackBytes> stack;
  crash_log = &log;
  absl::InitializeSymbolizer(program);
  dl_iterate_phdr(ReadNamesFromSelf, nullptr);
  // What a first call sets up is set up outside of a handler.
  UnwindStack();
  stack_t own = {};
  own.ss_sp = stack.data();
  own.ss_size = stack.size();
  PCHECK(sigaltstack(&own, nullptr) == 0) << "sigaltstack";
  struct sigaction action = {};
  action.sa_sigaction = OnCrash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  // So that a crash in the handler ends the process.
  for (const CrashSignal& signal : kSignals) {
    sigaddset(&action.sa_mask, signal.number);
  }
  for (const CrashSignal& signal : kSignals) {
    PCHECK(sigaction(signal.number, &action, nullptr) == 0) << signal.name;
  }
  // Else a failed CHECK would print a stack of glog's own to stderr.
  google::InstallFailureFunction(&Abort);
}

CrashTrace::~CrashTrace() { crash_log = nullptr; }

}  // namespace baton
