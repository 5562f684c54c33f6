#ifndef BATON_TESTS_SERVER_PROCESS_H_
#define BATON_TESTS_SERVER_PROCESS_H_

// The real server, for tests of the whole process.
//
// The only things that such a test may rely on are those that an operator has:
// the command line, signals, exit codes, the log, /proc. The harness starts the
// binary as Bazel built it, reads its JSON log, and thereby knows when things
// have happened: no test guesses how long something takes.
//
// Contract
// * Every wait ends within kPatience: then the test fails and says what it
//   waited for, with the log so far. A wait is for something that surely comes,
//   so a slow machine only makes a test slow.
// * A server that a test leaves running is killed, and one whose test dies,
// too.
// * Listen on port 0 of loopback and ask address() for the port.

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"

namespace baton {

inline constexpr absl::Duration kPatience = absl::Seconds(40);

// Without it in its environment, a server has neither admin port nor control
// socket unless its arguments say so.
inline constexpr char kOwnAdmin[] = "OWN_ADMIN=1";
// Without it, a server's log is JSON and it has no probation, whatever its flag
// file says.
inline constexpr char kOwnFlags[] = "OWN_FLAGS=1";

// How a process that has run to its end went.
struct Finished {
  int exit_code = -1;  // -1 if a signal ended it
  int signal = 0;
  std::string out;
  std::string err;
};

// Where a binary is: `binary` is an absolute path, or from the top of the
// workspace and among the test's data.
std::string PathOf(const std::string& binary);

// Runs the binary to its end. `environment` is added to ours; `binary` as
// below.
Finished RunServer(const std::vector<std::string>& args,
                   const std::vector<std::string>& environment = {},
                   const std::string& binary = "master/baton");

class ServerProcess {
 public:
  // Starts it with `args` and --log_format=json. `binary`: see PathOf().
  explicit ServerProcess(const std::vector<std::string>& args,
                         const std::vector<std::string>& environment = {},
                         const std::string& binary = "master/baton");
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // Waits until it serves.
  void WaitReady();

  // The next record of that event, among those not yet asked for, of which
  // `matches` holds; earlier ones are skipped for good. Returns its fields.
  nlohmann::json WaitFor(
      const std::string& event,
      const std::function<bool(const nlohmann::json&)>& matches =
          [](const nlohmann::json&) { return true; });

  void Signal(int number);

  // Waits for its end. `err` is the whole log.
  Finished Wait();

  pid_t pid() const { return pid_; }
  // Its children now, from /proc; zombies do not count.
  std::vector<pid_t> Workers() const;
  // Where it listens, in the order in which it said so.
  const Endpoint& address(size_t index = 0) const;
  size_t address_count() const { return addresses_.size(); }
  const std::string& log() const { return log_; }

 private:
  // One more line, parsed; null at the end of the log.
  nlohmann::json NextRecord(absl::Duration deadline, const std::string& what);
  bool ReadMore(absl::Duration deadline, const std::string& what);

  pid_t pid_ = -1;
  UniqueFd out_;
  UniqueFd err_;
  std::string log_;
  size_t parsed_ = 0;  // of log_
  std::vector<Endpoint> addresses_;
  bool finished_ = false;
};

// A path for a unix socket, short and unused, in a folder of its own that goes
// with this object.
class SocketPath {
 public:
  SocketPath();
  ~SocketPath();
  SocketPath(const SocketPath&) = delete;
  SocketPath& operator=(const SocketPath&) = delete;

  const std::string& get() const { return path_; }

 private:
  std::string path_;
};

// What ps would show, without NULs at the end; empty when there is none.
std::string TitleOf(pid_t pid);
// What can be read of it; empty if there is none.
std::string ReadFile(const std::string& path);
// Whether a process that is no zombie has this PID.
bool IsAlive(pid_t pid);
// Whether it has something open whose name, as in /proc, contains this.
bool HasOpen(pid_t pid, const std::string& what);
// Waits for a condition that nothing reports, by looking again and again.
void WaitUntil(const std::string& what, const std::function<bool()>& condition);

}  // namespace baton

#endif  // BATON_TESTS_SERVER_PROCESS_H_
