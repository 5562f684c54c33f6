#ifndef BATON_MASTER_METRICS_TEXT_H_
#define BATON_MASTER_METRICS_TEXT_H_

#include <string>

#include "master/server_status.h"

namespace baton {

// What /metrics says, in Prometheus' text format 0.0.4, with its naming
// conventions. A slot's counters are those of all workers that it has had, so
// they never run backwards while the server lives; what is bounded by nothing
// (addresses, paths) is no label. Pure.
std::string MetricsText(const ServerStatus& status);

}  // namespace baton

#endif  // BATON_MASTER_METRICS_TEXT_H_
