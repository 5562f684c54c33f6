#ifndef BATON_MASTER_HELPER_PROCESS_H_
#define BATON_MASTER_HELPER_PROCESS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "master/config.h"
#include "master/helper_services.h"
#include "master/listener_slots.h"
#include "master/process.h"
#include "master/supervisor_types.h"
#include "net/fd_channel.h"
#include "worker/log_sink.h"

namespace baton {

// An admin or a control child as its master makes it: see helpers.h.

struct HelperSpec {
  HelperKind kind = HelperKind::kAdmin;
  Generation generation = 0;
  // All of these outlive the call; in the child they live for ever.
  const Config* config = nullptr;
  LineLogSink* log = nullptr;
  std::vector<ListenerSlots::Listener> listeners;
};

// The master's ends.
struct HelperProcess {
  Process process;
  FdChannel channel;    // worker/channel_messages.h
  FdChannel inquiries;  // inquiry.h
};

// Errors: the errno's code, naming the call that failed.
absl::StatusOr<HelperProcess> ForkHelper(const HelperSpec& spec);

}  // namespace baton

#endif  // BATON_MASTER_HELPER_PROCESS_H_
