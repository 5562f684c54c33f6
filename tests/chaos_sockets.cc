#include "tests/chaos_sockets.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "glog/logging.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"

namespace baton {
namespace {

// The numbers of its descriptors.
std::vector<int> DescriptorsOf(const std::string& process) {
  const std::string path = absl::StrCat("/proc/", process, "/fd");
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(path.c_str()),
                                                   &closedir);
  std::vector<int> numbers;
  if (folder == nullptr) return numbers;
  while (const dirent* entry = readdir(folder.get())) {
    int number = 0;
    if (absl::SimpleAtoi(entry->d_name, &number)) numbers.push_back(number);
  }
  return numbers;
}

// Calls `look` with a copy of each descriptor, which is gone after that.
void ForEachDescriptor(pid_t pid, absl::FunctionRef<void(int)> look) {
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return;
  for (const int number : DescriptorsOf(absl::StrCat(pid))) {
    const UniqueFd copy(
        static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), number, 0)));
    if (copy) look(copy.get());
  }
}

bool IsListening(int fd) {
  int listening = 0;
  socklen_t size = sizeof(listening);
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 &&
         listening != 0;
}

void Append(const ConnectionKey& key, std::vector<ConnectionKey>& keys) {
  if (key != ConnectionKey()) keys.push_back(key);
}

}  // namespace

std::string ConnectionKey::ToString() const {
  return absl::StrCat(client, ">", server);
}

ConnectionKey KeyOfServerEnd(int fd) {
  const absl::StatusOr<Endpoint> local = Endpoint::LocalOf(fd);
  const absl::StatusOr<Endpoint> peer = Endpoint::PeerOf(fd);
  if (!local.ok() || !peer.ok() || local->family() != AF_INET) return {};
  return {.client = peer->port(), .server = local->port()};
}

ConnectionKey KeyOfClientEnd(int fd) {
  const ConnectionKey key = KeyOfServerEnd(fd);
  return {.client = key.server, .server = key.client};
}

std::vector<ConnectionKey> OwnConnections() {
  std::vector<ConnectionKey> keys;
  for (const int fd : DescriptorsOf("self")) Append(KeyOfServerEnd(fd), keys);
  return keys;
}

std::vector<ConnectionKey> ConnectionsOf(pid_t pid) {
  std::vector<ConnectionKey> keys;
  ForEachDescriptor(pid, [&](int fd) { Append(KeyOfServerEnd(fd), keys); });
  return keys;
}

DescriptorCount CountDescriptors(pid_t pid) {
  DescriptorCount count;
  ForEachDescriptor(pid, [&](int fd) {
    ++(IsListening(fd) ? count.listening : count.others);
  });
  return count;
}

bool KillFrozen(
    pid_t pid,
    absl::FunctionRef<void(const std::vector<ConnectionKey>&)> note) {
  // Of a worker's threads the first one is the loop: only that opens and closes
  // connections.
  if (ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) {
    PCHECK(errno == ESRCH || errno == EPERM) << "PTRACE_SEIZE";
    // EPERM is what a process is answered with that is a zombie or ends.
    return false;
  }
  PCHECK(ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) == 0 ||
         errno == ESRCH);
  int status = 0;
  PCHECK(waitpid(pid, &status, __WALL) == pid) << "waitpid";
  if (!WIFSTOPPED(status)) return false;
  note(ConnectionsOf(pid));
  PCHECK(kill(pid, SIGKILL) == 0);
  // The parent hears of its end when the tracer has.
  do {
    PCHECK(waitpid(pid, &status, __WALL) == pid) << "waitpid";
  } while (WIFSTOPPED(status));
  return true;
}

}  // namespace baton
