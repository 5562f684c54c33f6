#ifndef BATON_WORKER_HTTP_HTTP_COUNTERS_H_
#define BATON_WORKER_HTTP_HTTP_COUNTERS_H_

#include "net/counter.h"
#include "net/log_histogram.h"

namespace baton {

// What a worker counts about HTTP beside TrafficCounters::requests, which is
// its responses. One writer: the loop's thread. Lives in the scoreboard.
struct HttpCounters {
  Counter responses_2xx;
  Counter responses_3xx;
  Counter responses_4xx;  // rejected ones and time-outs included
  Counter responses_5xx;
  Counter rejected;  // requests that are against the protocol or a limit of it
  Counter timeouts;  // header_timeout, body_timeout: answered 408
  Counter handler_failures;  // 500, and handlers past their time-out
  // From the turn of the loop in which a request was there to the end of the
  // one in which its response was: what waited behind others is in it.
  NanosHistogram request_nanos;
  BytesHistogram response_bytes;  // of bodies, before any transfer coding
  // Lines of access logs that were written, and those that were given up: a
  // response of a listener with a log is one of either, in the end.
  Counter access_log_lines;
  Counter access_log_dropped;
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_COUNTERS_H_
