#ifndef BATON_WORKER_HTTP_HTTP_WORKER_H_
#define BATON_WORKER_HTTP_HTTP_WORKER_H_

// What all HTTP connections of a worker share, so that each of them need not
// have it: the parser, the date, the numbers of requests. Belongs to the loop's
// thread, which has one.

#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "net/cidr.h"
#include "worker/files/file_watch.h"
#include "worker/http/http_counters.h"
#include "worker/http/http_head.h"
#include "worker/http/http_parser.h"
#include "worker/http/router.h"

namespace baton {

class AccessLogs;

class HttpWorker {
 public:
  struct Options {
    HttpCounters* counters = nullptr;  // null: counts for itself
    // Peers whose Forwarded and X-Forwarded-For fields are believed.
    std::vector<Cidr> forwarded_from;
  };

  explicit HttpWorker(Options options);
  ~HttpWorker();
  HttpWorker(const HttpWorker&) = delete;
  HttpWorker& operator=(const HttpWorker&) = delete;

  // Of this thread: there must be one.
  static HttpWorker& Current();
  // Null if there is none: where listeners are only checked.
  static HttpWorker* CurrentOrNull();

  // For listeners that are made from then on; outlives them. Null, as at the
  // beginning: there are no logs.
  void SetAccessLogs(AccessLogs* logs) { access_logs_ = logs; }
  AccessLogs* access_logs() { return access_logs_; }

  // For the files of all listeners, which it outlives.
  FileWatch& file_watch() { return file_watch_; }

  HttpParser& parser() { return parser_; }
  // For whoever parses and is done before anybody else runs.
  HttpHead& scratch_head() { return scratch_head_; }
  HttpPathParameters& scratch_parameters() { return scratch_parameters_; }
  HttpCounters& counters() { return *counters_; }

  // A request has been answered that was there when this turn of the loop
  // began.
  void AnsweredInThisTurn() { ++answered_in_turn_; }
  // This turn has taken so long.
  void OnTurnEnd(int64_t nanos) {
    if (answered_in_turn_ == 0) return;
    counters_->request_nanos.Add(static_cast<uint64_t>(nanos),
                                 answered_in_turn_);
    answered_in_turn_ = 0;
  }
  const std::vector<Cidr>& forwarded_from() const { return forwarded_from_; }

  // Seconds of the wall clock, whatever that does.
  static int64_t WallSeconds();
  // "Date: Sat, 21 Nov 2026 02:14:10 GMT\r\n" of the wall clock, whatever that
  // does. Valid until the next call.
  absl::string_view DateField();
  // The same behind the status line of a 200.
  absl::string_view OkAndDate();
  // Of no other request of any worker.
  std::string NewRequestId();
  // For what a client can cause: false if it was said too often in this
  // second.
  bool MayLog();

 private:
  HttpCounters own_counters_;
  HttpCounters* const counters_;
  const std::vector<Cidr> forwarded_from_;
  AccessLogs* access_logs_ = nullptr;
  FileWatch file_watch_;
  HttpParser parser_;
  HttpHead scratch_head_;
  HttpPathParameters scratch_parameters_;
  time_t date_second_ = -1;
  std::string ok_and_date_;
  uint64_t answered_in_turn_ = 0;
  const uint64_t id_prefix_;
  uint64_t ids_ = 0;
  time_t log_second_ = 0;
  int logged_ = 0;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_WORKER_H_
