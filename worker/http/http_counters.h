#ifndef BATON_WORKER_HTTP_HTTP_COUNTERS_H_
#define BATON_WORKER_HTTP_HTTP_COUNTERS_H_

#include "net/counter.h"

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
};

}  // namespace baton

#endif  // BATON_WORKER_HTTP_HTTP_COUNTERS_H_
