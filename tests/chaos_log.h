#ifndef BATON_TESTS_CHAOS_LOG_H_
#define BATON_TESTS_CHAOS_LOG_H_

// The server's log file, followed across its rotations: who its processes are,
// where it listens, how often what has happened, and whether anything has that
// must not.

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "net/endpoint.h"
#include "net/unique_fd.h"
#include "nlohmann/json.hpp"

namespace baton {

class ChaosLog {
 public:
  // `fail` is told of what must not be. `killed`: whether the test has ended
  // this process.
  ChaosLog(std::string path, absl::AnyInvocable<void(const std::string&)> fail,
           absl::AnyInvocable<bool(pid_t)> killed);

  // Reads what is new.
  void Poll();
  // Moves the file away: the server is to open another one.
  void Rotate();

  // Those that have not ended, as far as the log has been read.
  const std::map<pid_t, int>& workers() const { return workers_; }  // slots
  const std::set<pid_t>& all_workers() const { return all_workers_; }
  // The last one of which it was said that it serves, or that it leaves.
  pid_t last_serving() const { return last_serving_; }
  pid_t last_leaving() const { return last_leaving_; }
  // "admin" or "control"; 0: there is none.
  pid_t helper(const std::string& name) const;
  // How often; `outcome` of a reload, or nothing.
  int Count(const std::string& event, const std::string& outcome = "") const;
  // Why reloads and upgrades have failed, and how often.
  std::string Reasons() const;
  // Where a listener or helper is whose URL begins like that, now. None if the
  // configuration that serves does not have it.
  std::optional<Endpoint> AddressOf(const std::string& url) const;
  std::optional<Endpoint> helper_address(const std::string& name) const;
  std::string Tail() const;

 private:
  struct File {
    UniqueFd fd;
    std::string rest;  // a line that is not whole yet
  };
  using Json = nlohmann::json;

  void Read(File& file);
  void OnLine(const std::string& line);
  void OnEvent(const std::string& event, const Json& fields);
  void OnWorkerExit(pid_t pid, const std::string& status);

  const std::string path_;
  absl::AnyInvocable<void(const std::string&)> fail_;
  absl::AnyInvocable<bool(pid_t)> killed_;
  std::vector<File> files_;
  bool opened_ = false;  // the one at path_ is among them
  std::map<pid_t, int> workers_;
  std::set<pid_t> all_workers_, killed_by_master_;
  pid_t last_serving_ = 0, last_leaving_ = 0;
  std::map<std::string, pid_t> helpers_;
  std::map<std::string, Endpoint> addresses_, helper_addresses_;
  std::string listen_;  // of the configuration that serves
  std::map<std::pair<std::string, std::string>, int> counts_;
  std::map<std::string, int> reasons_;
  std::deque<std::string> tail_;
};

}  // namespace baton

#endif  // BATON_TESTS_CHAOS_LOG_H_
