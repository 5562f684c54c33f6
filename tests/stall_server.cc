// A server whose workers get stuck or crash, on request. Each service waits for
// a client's first bytes, and then
//
//   spin   turns in a loop for ever
//   crash  writes to where it must not
//   wait   gets a child, its worker's only one, and waits in the kernel until
//          that ends: "sleep" as a process mostly does, "disk" as one does
//          whose disk does not answer; then it answers "awake"
//   stop   stops its own process, and answers "awake" when that goes on
//   log    writes a line to the log, and answers "logged"
//
// and the built-in services.

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/string_view.h"
#include "baton.h"
#include "glog/logging.h"

namespace baton {
namespace {

// NOLINTNEXTLINE: so that there is something in the loop.
volatile unsigned spun = 0;

// The log has to name it.
Task<> SpinForEver(Connection conn) {
  const ReadResult order = co_await conn.ReadSome({.idle = true});
  if (!order) co_return;
  while (true) spun = spun + 1;
}

Task<> WriteToNowhere(Connection conn) {
  const ReadResult order = co_await conn.ReadSome({.idle = true});
  if (!order) co_return;
  int* volatile nowhere = reinterpret_cast<int*>(16);
  *nowhere = 1;
}

// clone(2) with CLONE_VFORK: the caller is in uninterruptible sleep until the
// child ends. A fork in the library's eyes this is not: no other thread may be
// in its way.
__attribute__((noinline)) void WaitForChild(unsigned long flags) {
  const auto pid =
      static_cast<pid_t>(syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0));
  PCHECK(pid >= 0) << "clone";
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) pause();
  }
  PCHECK(waitpid(pid, nullptr, 0) == pid) << "waitpid";
}

Task<> Wait(Connection conn) {
  while (auto order = co_await conn.ReadSome({.idle = true})) {
    const bool disk = order->front() == 'd';
    WaitForChild(disk ? CLONE_VFORK : 0);
    if (co_await conn.Write("awake") != IoError::kOk) break;
  }
}

Task<> Stop(Connection conn) {
  while (auto order = co_await conn.ReadSome({.idle = true})) {
    raise(SIGSTOP);
    if (co_await conn.Write("awake") != IoError::kOk) break;
  }
}

Task<> Log(Connection conn) {
  while (auto order = co_await conn.ReadSome({.idle = true})) {
    LOG(INFO) << "as a client wished";
    if (co_await conn.Write("logged") != IoError::kOk) break;
  }
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    baton::RegisterBuiltinServices(services);
    services.Stream("spin", baton::SpinForEver);
    services.Stream("crash", baton::WriteToNowhere);
    services.Stream("wait", baton::Wait);
    services.Stream("stop", baton::Stop);
    services.Stream("log", baton::Log);
  });
}
