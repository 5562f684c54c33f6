#ifndef BATON_WORKER_LOG_SINK_H_
#define BATON_WORKER_LOG_SINK_H_

// Problem: glog writes files of its own, by severity, buffered, named after the
// process; master and workers together need one log, in one format, that
// an operator can rotate and that never holds up a request.
//
// LineLogSink is the only destination of glog in the process: one line a
// record (log_line.h), one write a line, to one descriptor (log_writer.h). It
// is in worker/ because both layers above net log: the master makes it before
// the first fork, a worker inherits it. net/ returns errors and does not log.
//
// Contract
// * While one lives, everything that LOG, VLOG and LogEvent say goes to it,
//   and nothing to glog's files or, below, to its stderr copy. The one line
//   that glog itself prints (that a CHECK has failed) goes to descriptor 2. At
//   most one at a time. SIGPIPE must be ignored.
// * Fork: nothing is buffered, so no line appears twice. The child calls
//   AfterFork(role), keeps fd() among the descriptors that it owns, and is told
//   of another log by a descriptor for Reopen(). The pid is the caller's, by
//   getpid(2), always.
// * A line that the log does not take at once is dropped and counted. The
//   next one that gets through is preceded by "log_lines_dropped count=N".
// * Thread-safe. As any use of glog: not in a signal handler, but for what is
//   said to be for that.

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "net/counter.h"
#include "net/unique_fd.h"
#include "worker/log_line.h"
#include "worker/log_writer.h"

namespace baton {

class LineLogSink final : public google::LogSink {
 public:
  // `fd` as OpenLog() gives it. `role` names the process: "master".
  LineLogSink(UniqueFd fd, LogFormat format, absl::string_view role);
  ~LineLogSink() override;
  LineLogSink(const LineLogSink&) = delete;
  LineLogSink& operator=(const LineLogSink&) = delete;

  // In the child: its role, and a drop count of its own.
  void AfterFork(absl::string_view role);

  // From the next line on, the log is `fd`, in that format.
  void Reopen(UniqueFd fd, LogFormat format);

  int fd() const;

  // Lines that this process lost.
  uint64_t dropped() const;
  // Where they are counted too, from now on. It outlives the sink.
  void CountDroppedIn(Counter* counter);

  // For the handler of a signal that ends the process (crash_trace.h): no lock
  // is taken, nothing allocated, and another thread may be in the middle of
  // anything else here.
  struct CrashView {
    LogFormat format;
    absl::string_view role;
    int64_t utc_offset_seconds;  // of the clock in text lines
  };
  CrashView AtCrash() const;
  void WriteAtCrash(absl::string_view line);

  void send(google::LogSeverity severity, const char* full_filename,
            const char* base_filename, int line,
            const google::LogMessageTime& time, const char* message,
            size_t message_len) override;
  using google::LogSink::send;

 private:
  // Requires mutex_.
  void ReportDropped(const LogRecord& like);

  mutable std::mutex mutex_;
  LogWriter writer_;
  std::atomic<LogFormat> format_;
  // The last one holds; those before are kept for who may be reading them.
  std::deque<std::string> roles_;
  std::atomic<const std::string*> role_;
  std::atomic<int64_t> utc_offset_seconds_{0};
  uint64_t dropped_ = 0;
  Counter* dropped_counter_ = nullptr;
  uint64_t reported_ = 0;  // the part of dropped_ that the log knows of
};

}  // namespace baton

#endif  // BATON_WORKER_LOG_SINK_H_
