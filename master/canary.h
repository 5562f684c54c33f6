#ifndef BATON_MASTER_CANARY_H_
#define BATON_MASTER_CANARY_H_

#include "master/config.h"
#include "master/handoff.h"
#include "worker/log_sink.h"
#include "worker/services.h"

namespace baton {

// The first worker of a binary that is to take over a running server. It is a
// worker like any other, but that it has no listener, and that the master which
// started it is of another binary: if it comes up and lives through its
// probation, so will the others.
//
// Returns the exit code of the process.
int RunCanary(const Handoff& handoff, const Config& config,
              const Services& services, LineLogSink& log);

}  // namespace baton

#endif  // BATON_MASTER_CANARY_H_
