#include "master/child_process.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "master/close_fds.h"
#include "master/drop_rights.h"
#include "master/process_title.h"
#include "net/errno_status.h"

namespace baton {

absl::Status SetUpChild(ChildSetup setup) {
  setup.log->AfterFork(setup.role);
  setup.keep.push_back(setup.log->fd());
  CloseAllFdsExcept(std::move(setup.keep));
  ProcessTitle::Set(absl::StrCat("baton: ", setup.title));
  // The master's mask; a worker blocks what it wants to read itself.
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  PCHECK(sigprocmask(SIG_UNBLOCK, &child, nullptr) == 0);
  if (setup.run_as.has_value()) {
    if (absl::Status status = DropRights(*setup.run_as); !status.ok()) {
      return status;
    }
  }
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
    return ErrnoStatus("prctl(PR_SET_PDEATHSIG)", "", errno);
  }
  // It may have died before it could be told on.
  if (getppid() != setup.master) {
    return absl::AbortedError("the master is gone");
  }
  return absl::OkStatus();
}

}  // namespace baton
