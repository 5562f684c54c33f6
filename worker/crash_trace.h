#ifndef BATON_WORKER_CRASH_TRACE_H_
#define BATON_WORKER_CRASH_TRACE_H_

// Problem: a worker that crashes, or that the master ends because it is stuck,
// takes with it what everybody wants to know: where it was. In production there
// is often no core file and no debugger, but there is the log.
//
// Contract
// * While a CrashTrace lives, a process that gets SIGSEGV, SIGBUS, SIGILL,
//   SIGFPE or SIGABRT (so does a CHECK that fails) first writes to `log`, in
//   its format and with its role, whole lines:
//
//     crashed signal="SIGABRT" from_pid=4242 thread="baton" load_base="0x5..."
//     crash_frame index=0 function="SpinForEver()" address="0x55d0c0a1b2c3"
//     crash_frame index=1 ...
//
//   and then ends by that signal, with a core file where the system makes one.
// * Children inherit it. A worker that has run out of stack has a stack for it
//   on its first thread.
// * Names come from the executable's symbol table, also when another file has
//   its name by now; without /proc or that table there are addresses. A
//   coroutine has the name of its function; parameters are left out.
// * Only what is async-signal-safe is used. A stack that is destroyed may end
//   the trace early, and the process with it: what is written by then is
//   written.
// * With glibc from 2.35 on, unwinding takes no lock of the dynamic loader
//   (_dl_find_object). With an older C library, a worker that crashes or is
//   ended while a thread of it holds that one (dlopen) leaves the `crashed`
//   line and no frames, and ends by the master's SIGKILL.
// * The core file of a worker that the master has ended may take a minute
//   (Supervisor::kCoreDumpLimit), and none beyond the deadline of a stop.
//
// One in a process, made while there is one thread; the sink outlives it.

#include "worker/log_sink.h"

namespace baton {

class CrashTrace {
 public:
  // `program`: argv[0].
  CrashTrace(const char* program, LineLogSink& log);
  // From now on a crash is just that.
  ~CrashTrace();
  CrashTrace(const CrashTrace&) = delete;
  CrashTrace& operator=(const CrashTrace&) = delete;
};

}  // namespace baton

#endif  // BATON_WORKER_CRASH_TRACE_H_
