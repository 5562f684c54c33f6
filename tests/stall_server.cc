// A server whose workers get stuck, on request. A client of
//
//   stall  sends a word:
//            spin   its worker turns in a loop for ever
//            sleep  its worker waits in a system call, until its child (the
//                   only process that it has) ends; then "awake"
//            disk   the same, in the sleep that no signal interrupts
//            log    its worker writes a line to the log, and answers "logged"
//            crash  its worker writes to where it must not
//
// and the built-in services.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "baton.h"
#include "glog/logging.h"

namespace {

volatile int spun = 0;

// What the log has to name.
baton::Task<> SpinForEver(baton::Connection /*conn*/) {
  while (true) spun = spun + 1;
  co_return;
}

baton::Task<> WriteToNowhere(baton::Connection /*conn*/) {
  int* volatile nowhere = reinterpret_cast<int*>(16);
  *nowhere = 1;
  co_return;
}

// With CLONE_VFORK the caller sleeps uninterruptibly until the child ends, as
// if its disk did not answer - clone(2).
void WaitForChild(unsigned long flags) {
  const auto pid =
      static_cast<pid_t>(syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0));
  PCHECK(pid >= 0) << "clone";
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (true) pause();
  }
  PCHECK(waitpid(pid, nullptr, 0) == pid) << "waitpid";
}

baton::Task<> Stall(baton::Connection conn) {
  while (auto word = co_await conn.ReadSome({.idle = true})) {
    const std::string order(*word);
    std::string answer = "?";
    if (order == "spin") {
      co_await SpinForEver(std::move(conn));
      co_return;
    }
    if (order == "crash") {
      co_await WriteToNowhere(std::move(conn));
      co_return;
    }
    if (order == "sleep" || order == "disk") {
      WaitForChild(order == "disk" ? CLONE_VFORK : 0);
      answer = "awake";
    } else if (order == "log") {
      LOG(INFO) << "the stall service logs";
      answer = "logged";
    }
    if (co_await conn.Write(answer) != baton::IoError::kOk) break;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return baton::Main(argc, argv, [](baton::Services& services) {
    baton::RegisterBuiltinServices(services);
    services.Stream("stall", Stall);
  });
}
