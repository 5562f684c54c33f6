#ifndef BATON_WORKER_HTTP_ACCESS_LOG_H_
#define BATON_WORKER_HTTP_ACCESS_LOG_H_

// Problem: a system call for each request would be a good part of what a
// request costs, and a disk that is full or a pipe that nobody empties must not
// become the clients' problem.
//
// AccessLog is one file of a worker, whatever number of listeners write to it:
// lines wait in a buffer and go out together.
//
// Contract
// * Add() never waits and never fails. The buffer is written when it is half
//   full, and within a second after its first line.
// * What the log does not take (disk full, full pipe, reader gone: see
//   worker/log_writer.h) is kept and tried again, less and less often down to
//   once a second. When the buffer is full, new lines are dropped and counted.
//   So are those of a log that is not open.
// * Lines of several workers in one file do not mix.
// * Memory: kBufferBytes from the first line on. Time: a timer that exists only
//   while lines wait.
// * A process that crashes takes along what waits.
// * Belongs to the loop's thread.

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "net/event_loop.h"
#include "net/unique_fd.h"
#include "worker/access_log_file.h"
#include "worker/http/access_line.h"
#include "worker/http/http_counters.h"
#include "worker/http/peer_names.h"
#include "worker/log_writer.h"

namespace baton {

class AccessLog {
 public:
  static constexpr size_t kBufferBytes = size_t{64} * 1024;
  // Less than a second, with what the loop's timers may be late.
  static constexpr absl::Duration kFlushAfter = absl::Milliseconds(900);
  static constexpr absl::Duration kFirstRetry = absl::Milliseconds(20);
  static constexpr absl::Duration kLastRetry = absl::Seconds(1);

  // `counters` outlives it.
  AccessLog(EventLoop& loop, HttpCounters& counters);
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  // From now on it is `fd`. What the one before does not take any more is this
  // one's.
  void Open(UniqueFd fd);

  void Add(AccessFormat format, const AccessRecord& record,
           const timespec& now);

  // Writes what waits, as far as the log takes it.
  void Flush();
  // The same, and drops the rest: the process ends.
  void End();

 private:
  void Write();
  void Drop(uint64_t lines);

  HttpCounters& counters_;
  std::optional<LogWriter> writer_;
  AccessDate date_;
  std::unique_ptr<char[]> buffer_;
  size_t size_ = 0;
  uint64_t lines_ = 0;         // in the buffer
  absl::Duration retry_ = {};  // zero: the log takes what it is given
  Timer timer_;
};

// Those of a worker, by path, and what they have in common.
class AccessLogs {
 public:
  AccessLogs(EventLoop& loop, HttpCounters& counters,
             std::vector<AccessLogFile> open = {});

  // The log at `path`, which is closed unless it was among those that are
  // open. At a stable address.
  AccessLog& Get(const std::string& path);
  // Of a path that no listener has, nothing.
  void Reopen(const std::string& path, UniqueFd fd);

  void Flush();
  void End();

  PeerNames& peers() { return peers_; }
  int pid() const { return pid_; }

 private:
  EventLoop& loop_;
  HttpCounters& counters_;
  const int pid_;
  std::map<std::string, std::unique_ptr<AccessLog>> logs_;
  PeerNames peers_;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_ACCESS_LOG_H_
